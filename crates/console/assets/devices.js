// The devices of a hub as a map: a cell each, in the order of their ids, so that what stands together fails together.
// Loaded in steps and anew while somebody looks. Two layers: all devices, drawn when something changed, and the mark
// of the one at hand, drawn as the pointer moves.
"use strict";

const fleet = document.getElementById("fleet");
const AGAIN_MS = 20000;
const HEIGHT = 520;
const CELL_MAX = 26;
const CELL_MIN = 4;
const WORDS = { connected: "connected", disconnected: "not connected", disabled: "disabled" };

if (fleet) {
  const map = document.getElementById("fleet-map");
  const tip = document.getElementById("fleet-tip");
  const says = document.getElementById("fleet-says");
  const all = document.getElementById("fleet-all").getContext("2d");
  const mark = document.getElementById("fleet-here").getContext("2d");
  const form = document.getElementById("devices-search");
  const field = form.elements.search;
  const links = [...document.querySelectorAll(".legend a")];
  const most = Number(fleet.dataset.most);
  const numbers = links.map((it) => it.querySelector("[data-count]"));
  // As many as the server has just counted: the map takes its room before it is loaded.
  const expected = Math.min(most, Number(numbers[0].textContent));
  for (const it of numbers) it.textContent = Number(it.textContent).toLocaleString();

  let devices = [];
  let refused = new Set();
  let chosen = fleet.dataset.state;
  let begin = fleet.dataset.search;
  let columns = 1;
  let cell = CELL_MAX;
  let here = -1;

  const isWanted = ([id, state]) =>
    (!chosen || chosen === state || (chosen === "refused" && refused.has(id))) && (!begin || id.startsWith(begin));

  function measure() {
    const width = map.clientWidth;
    const count = Math.max(1, devices.length || expected);
    cell = Math.max(CELL_MIN, Math.min(CELL_MAX, Math.floor(Math.sqrt((width * HEIGHT) / count))));
    columns = Math.max(1, Math.floor(width / cell));
    const height = Math.ceil(count / columns) * cell;
    for (const layer of [all, mark]) {
      const { canvas } = layer;
      canvas.width = width * devicePixelRatio;
      canvas.height = height * devicePixelRatio;
      layer.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    }
    map.style.height = `${height}px`;
  }

  function colours() {
    const style = getComputedStyle(fleet);
    return Object.fromEntries(["good", "bad", "warn", "soft", "link"].map((it) => [it, style.getPropertyValue(`--${it}`)]));
  }

  // Forms tell the states apart, too: full, a dot, a stroke, and a corner for whoever was refused.
  function draw() {
    const colour = colours();
    const gap = cell > 8 ? 2 : 1;
    const side = cell - gap;
    all.clearRect(0, 0, map.clientWidth, map.clientHeight);
    devices.forEach((device, at) => {
      const [id, state] = device;
      const x = (at % columns) * cell;
      const y = Math.floor(at / columns) * cell;
      const isRefused = refused.has(id);
      all.globalAlpha = isWanted(device) ? 1 : 0.1;
      if (isRefused && state !== "connected") {
        all.fillStyle = colour.bad;
        all.fillRect(x, y, side, side);
      } else if (state === "connected") {
        all.fillStyle = colour.good;
        all.fillRect(x, y, side, side);
        if (isRefused) {
          all.fillStyle = colour.bad;
          all.fillRect(x, y, side / 2, side / 2);
        }
      } else if (state === "disabled") {
        all.fillStyle = colour.warn;
        all.fillRect(x, y + side * 0.35, side, Math.max(1, side * 0.3));
      } else {
        const dot = Math.max(2, side * 0.4);
        all.fillStyle = colour.soft;
        all.fillRect(x + (side - dot) / 2, y + (side - dot) / 2, dot, dot);
      }
    });
    all.globalAlpha = 1;
    point();
  }

  function told(device) {
    const [id, state] = device;
    return `${id}: ${WORDS[state] ?? state}${refused.has(id) ? ", refused in the last hour" : ""}`;
  }

  function point() {
    mark.clearRect(0, 0, map.clientWidth, map.clientHeight);
    const device = devices[here];
    tip.hidden = !device;
    if (!device) return;
    const x = (here % columns) * cell;
    const y = Math.floor(here / columns) * cell;
    mark.strokeStyle = colours().link;
    mark.lineWidth = 2;
    mark.strokeRect(x - 2, y - 2, cell + 2, cell + 2);
    tip.textContent = told(device);
    tip.style.top = `${y + cell + 6}px`;
    tip.style.left = `${Math.max(0, Math.min(x, map.clientWidth - tip.offsetWidth))}px`;
  }

  // At most once a frame, however often the pointer moves.
  let isDue = false;
  function soon() {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      point();
    });
  }

  const at = (event) => {
    const column = Math.floor(event.offsetX / cell);
    const index = Math.floor(event.offsetY / cell) * columns + column;
    return column < columns && index < devices.length ? index : -1;
  };
  const open = () => {
    if (devices[here]) location.assign(fleet.dataset.device + encodeURIComponent(devices[here][0]));
  };

  map.addEventListener("pointermove", (event) => {
    if (event.target === tip || here === at(event)) return;
    here = at(event);
    soon();
  });
  map.addEventListener("pointerleave", () => {
    here = -1;
    soon();
  });
  map.addEventListener("click", (event) => {
    if (event.target !== tip) here = at(event);
    open();
  });
  map.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -Infinity, End: Infinity };
    if (event.key === "Enter") return open();
    if (event.key === "Escape") {
      here = -1;
      return point();
    }
    if (!(event.key in steps) || devices.length === 0) return;
    event.preventDefault();
    const wish = here < 0 ? 0 : here + steps[event.key];
    here = Math.max(0, Math.min(devices.length - 1, wish));
    point();
    says.textContent = told(devices[here]);
  });

  function summary() {
    const wanted = devices.filter(isWanted).length;
    const of = wanted === devices.length ? "" : `${wanted.toLocaleString()} of `;
    const more = devices.length >= most ? `; the map draws the first ${most.toLocaleString()}` : "";
    says.textContent = `${of}${devices.length.toLocaleString()} devices${more}.`;
  }

  // The numbers of the legend are of the same moment as the map, where the map holds all devices.
  function count() {
    if (devices.length >= most) return;
    const counts = { "": devices.length, connected: 0, disconnected: 0, disabled: 0, refused: refused.size };
    for (const [, state] of devices) counts[state] += 1;
    for (const link of links) {
      link.querySelector("[data-count]").textContent = counts[link.dataset.state].toLocaleString();
    }
  }

  async function load() {
    const loaded = [];
    let names = null;
    let after = "";
    do {
      const answer = await fetch(`${fleet.dataset.from}${after && `&after=${encodeURIComponent(after)}`}`);
      if (!answer.ok) throw new Error(`${answer.status}`);
      const step = await answer.json();
      names ??= new Set(step.refused ?? []);
      loaded.push(...step.devices);
      after = step.next;
    } while (after && loaded.length < most);
    devices = loaded.slice(0, most);
    refused = names;
    measure();
    draw();
    count();
  }

  // The table follows the filter of the map.
  let asked = 0;
  async function follow() {
    const wish = new URLSearchParams();
    if (chosen) wish.set("state", chosen);
    if (begin) wish.set("search", begin);
    asked += 1;
    const own = asked;
    history.replaceState(null, "", `${location.pathname}?view=devices&${wish}`);
    const answer = await fetch(`${fleet.dataset.table}&${wish}`);
    if (!answer.ok || own !== asked) return;
    const table = document.getElementById("devices-table");
    // Made by the server, which escapes everything that it did not write itself.
    table.innerHTML = (await answer.json()).html;
    localTimes(table);
  }

  function choose(state, search) {
    [chosen, begin] = [state, search];
    for (const link of links) {
      if (link.dataset.state === chosen) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    draw();
    summary();
    follow().catch(() => {});
  }

  for (const link of links) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      choose(chosen === link.dataset.state ? "" : link.dataset.state, begin);
    });
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    choose(chosen, field.value.trim());
  });
  field.addEventListener("input", () => {
    begin = field.value.trim();
    draw();
    summary();
  });

  addEventListener("resize", () => {
    measure();
    draw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  async function again() {
    if (!document.hidden) await load().catch(() => {});
    setTimeout(again, AGAIN_MS);
  }
  fleet.hidden = false;
  measure();
  load()
    .then(summary)
    .catch(() => {
      says.textContent = "The map could not be loaded. The table below holds the same.";
    })
    .then(() => setTimeout(again, AGAIN_MS));
}
