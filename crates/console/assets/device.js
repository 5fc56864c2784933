// What a device sends, as it comes: new messages at the top of the table, and the numbers in them as small lines.
"use strict";

const telemetry = document.getElementById("telemetry");
const STEP_MS = 500;
const FAILED_MS = 10000;
const ROWS_MAX = 20;
const POINTS_MAX = 300;
const LINES_MAX = 6;

if (telemetry) {
  const body = telemetry.querySelector("tbody");
  const lines = document.getElementById("telemetry-lines");
  // Name to its line: the points, and what draws them.
  const series = new Map();
  let next = telemetry.dataset.next;

  const made = (name, within, attributes = {}) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    within.append(element);
    return element;
  };
  const child = (name, within, style) => {
    const element = document.createElement(name);
    element.className = style;
    within.append(element);
    return element;
  };

  function line(name) {
    const part = child("div", lines, "series");
    const title = child("span", part, "name");
    title.textContent = name;
    const picture = made("svg", part, { viewBox: "0 0 300 44", preserveAspectRatio: "none" });
    const found = { points: [], value: child("strong", part, "number"), path: made("polyline", picture) };
    series.set(name, found);
    return found;
  }

  function add(points) {
    for (const [time, numbers] of points) {
      for (const [name, value] of Object.entries(numbers)) {
        const found = series.get(name) ?? (series.size < LINES_MAX ? line(name) : null);
        if (!found) continue;
        found.points.push([time, value]);
        if (found.points.length > POINTS_MAX) found.points.shift();
      }
    }
    for (const { points: all, value, path } of series.values()) {
      const times = all.map(([time]) => time);
      const numbers = all.map(([, number]) => number);
      const [first, low] = [times[0], Math.min(...numbers)];
      const width = Math.max(1, times.at(-1) - first);
      const height = Math.max(...numbers) - low || 1;
      const at = ([time, number]) => `${((time - first) / width) * 296 + 2},${40 - ((number - low) / height) * 36}`;
      const shown = all.map(at);
      // One point alone would not be seen.
      path.setAttribute("points", shown.length > 1 ? shown.join(" ") : `2,22 298,22`);
      value.textContent = numbers.at(-1).toLocaleString();
    }
  }

  // The server waits for a while where there is nothing yet.
  async function step() {
    if (document.hidden) return;
    const answer = await fetch(`${telemetry.dataset.step}&from=${next}`);
    if (!answer.ok) throw new Error(`${answer.status}`);
    const told = await answer.json();
    next = told.next;
    if (!told.html) return;
    // Made by the server, which escapes everything that it did not write itself.
    body.querySelector(".none")?.remove();
    body.insertAdjacentHTML("afterbegin", told.html);
    while (body.rows.length > ROWS_MAX) body.deleteRow(-1);
    localTimes(body);
    add(told.points);
  }

  add(JSON.parse(telemetry.dataset.points));
  const again = (pause) => setTimeout(() => step().then(() => again(STEP_MS), () => again(FAILED_MS)), pause);
  again(STEP_MS);
}
