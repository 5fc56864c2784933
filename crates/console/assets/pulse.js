// The river: as many calls as came in the last second, from left to right through four gates. What a gate refuses
// leaves downwards, in red. Widths follow the logarithm of the rates, so that one call and ten thousand can be seen.
"use strict";

const river = document.getElementById("river");
const table = document.getElementById("river-table");
const says = document.getElementById("river-says");
const GATES = ["authentication", "policy", "access", "resource"];
// Of sign-ins alone, right behind the first: it has a row in the table and no line of its own in the river.
const CONDITIONAL = "conditional access";
const AT = [200, 390, 580, 770];
const MIDDLE = 110;
const DROPS_MAX = 120;

function made(name, attributes, within = river) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  within.append(element);
  return element;
}

const width = (rate) => (rate <= 0 ? 0 : 6 + 16 * Math.log10(1 + rate));

const water = made("path", { class: "water" });
const spills = GATES.map(() => made("path", { class: "spill" }));
const labels = GATES.map((gate, at) => {
  made("line", { class: "gate-line", x1: AT[at], x2: AT[at], y1: 22, y2: 190 });
  made("text", { x: AT[at], y: 16, "text-anchor": "middle" }).textContent = gate;
  return made("text", { class: "soft", x: AT[at], y: 292, "text-anchor": "middle" });
});
const arriving = made("text", { class: "soft", x: 12, y: 16 });
const passing = made("text", { class: "soft", x: 948, y: 16, "text-anchor": "end" });
const drops = [];

let before = null;
let rates = { calls: 0, refused: [0, 0, 0, 0] };

function draw() {
  let left = rates.calls;
  const top = [[0, left]];
  const edges = [];
  GATES.forEach((_, at) => {
    const refused = Math.min(rates.refused[at], left);
    const bottom = MIDDLE + width(left) / 2;
    edges.push([AT[at], left]);
    left -= refused;
    edges.push([AT[at] + 12, left]);
    // Out of the river's lower part, in a bend, and down.
    const broad = Math.min(width(refused), width(refused + left));
    const [begin, inner, outer] = [AT[at] - 60, AT[at] + 14 - broad / 2, AT[at] + 14 + broad / 2];
    const bend = `M${begin} ${bottom - broad} Q${outer} ${bottom - broad} ${outer} ${bottom + 60}`;
    const back = `V270 H${inner} V${bottom + 60} Q${inner} ${bottom} ${begin} ${bottom}Z`;
    spills[at].setAttribute("d", refused > 0 ? `${bend} ${back}` : "");
    labels[at].textContent = refused > 0 ? `${refused.toLocaleString()}/s refused` : "";
  });
  const all = [...top, ...edges, [960, left]];
  const upper = all.map(([x, rate]) => `${x} ${MIDDLE - width(rate) / 2}`);
  const lower = all.map(([x, rate]) => `${x} ${MIDDLE + width(rate) / 2}`).reverse();
  water.setAttribute("d", rates.calls > 0 ? `M${upper.join("L")}L${lower.join("L")}Z` : "");
  arriving.textContent = `${rates.calls.toLocaleString()} calls/s`;
  passing.textContent = `${left.toLocaleString()}/s pass`;
  says.textContent = `${rates.calls} calls in the last second, ${rates.calls - left} refused: ${GATES.map(
    (gate, at) => `${rates.refused[at]} at ${gate}`,
  ).join(", ")}. The table below holds the same.`;
}

function tell(row, total, rate) {
  row.querySelector("[data-total]").textContent = total.toLocaleString();
  row.querySelector("[data-rate]").textContent = rate.toLocaleString();
}

async function beat() {
  if (document.hidden) return;
  const answer = await fetch(river.dataset.from, { headers: { accept: "application/json" } });
  if (!answer.ok) return;
  const now = await answer.json();
  if (before) {
    const seconds = Math.max(0.2, (now.timeMs - before.timeMs) / 1000);
    const rate = (a, b) => Math.max(0, Math.round((a - b) / seconds));
    // The page's own question is a call, too, and says nothing.
    const own = now.own - before.own;
    const refused = (gate) => rate(now.refusals[gate], before.refusals[gate]);
    rates = { calls: rate(now.calls - own, before.calls), refused: GATES.map(refused) };
    rates.refused[0] += refused(CONDITIONAL);
    for (const gate of [...GATES, CONDITIONAL]) {
      tell(table.querySelector(`[data-gate="${gate}"]`), now.refusals[gate], refused(gate));
    }
    tell(table.querySelector('[data-gate="calls"]'), now.calls, rates.calls);
    draw();
  }
  before = now;
}

// A few drops for many calls: as many as the eye can follow.
function drip() {
  const wanted = Math.min(DROPS_MAX, Math.ceil(width(rates.calls)));
  if (rates.calls === 0 || drops.length >= wanted) return;
  const refused = rates.refused.findIndex((rate) => Math.random() < rate / Math.max(1, rates.calls));
  const drop = made("circle", { class: refused < 0 ? "drop" : "drop refused", r: 3 });
  const spread = (Math.random() - 0.5) * width(rates.calls) * 0.8;
  drops.push({ drop, x: 0, y: MIDDLE + spread, leaves: refused < 0 ? Infinity : AT[refused] + 14, speed: 180 + Math.random() * 120 });
}

const still = matchMedia("(prefers-reduced-motion: reduce)");
let last = performance.now();
function frame(now) {
  const seconds = Math.min(0.1, (now - last) / 1000);
  last = now;
  drip();
  for (let at = drops.length - 1; at >= 0; at -= 1) {
    const it = drops[at];
    if (it.x < it.leaves) it.x = Math.min(it.leaves, it.x + it.speed * seconds);
    else it.y += it.speed * seconds;
    if (it.x > 960 || it.y > 275) {
      it.drop.remove();
      drops.splice(at, 1);
    } else {
      it.drop.setAttribute("transform", `translate(${it.x.toFixed(1)} ${it.y.toFixed(1)})`);
    }
  }
  requestAnimationFrame(frame);
}

draw();
setInterval(() => beat().catch(() => {}), 1000);
beat().catch(() => {});
if (!still.matches) requestAnimationFrame(frame);
