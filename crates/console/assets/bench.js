// The policy bench: the verdict while typing. A draft is sent a moment after the last key, and nothing is saved by it.
"use strict";

const bench = document.getElementById("bench");
const sheet = document.getElementById("text");
const gutter = document.getElementById("gutter");
const verdict = document.getElementById("verdict");
const SOON_MS = 350;
// Not `bench.action`: that is the field of this name.
const ADDRESS = bench.getAttribute("action");
// Calls on record are many, and are asked for when somebody stops to think.
const LATER_MS = 1500;

let fault = Number(gutter.querySelector(".fault")?.textContent) || 0;
let soon = 0;
let later = 0;
let asking = null;

function numbered() {
  const wanted = Math.max(sheet.rows, sheet.value.split("\n").length);
  while (gutter.childElementCount < wanted) {
    const line = document.createElement("span");
    line.textContent = gutter.childElementCount + 1;
    gutter.append(line);
  }
  while (gutter.childElementCount > wanted) gutter.lastElementChild.remove();
  [...gutter.children].forEach((line, at) => line.classList.toggle("fault", at + 1 === fault));
  gutter.scrollTop = sheet.scrollTop;
}

async function ask(withFlips) {
  asking?.abort();
  asking = new AbortController();
  const fields = new URLSearchParams(new FormData(bench));
  fields.delete("do");
  fields.set("part", "verdict");
  if (withFlips) fields.set("flips", "1");
  verdict.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(ADDRESS, { method: "POST", body: fields, signal: asking.signal });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const told = await answer.json();
    // Made by the server, which escapes everything that it did not write itself.
    verdict.innerHTML = told.html;
    localTimes(verdict);
    fault = told.line || 0;
    sheet.setAttribute("aria-invalid", String(fault > 0));
    numbered();
    verdict.removeAttribute("aria-busy");
    if (!withFlips && !fault) later = setTimeout(() => ask(true), LATER_MS);
  } catch (error) {
    if (error.name === "AbortError") return;
    verdict.removeAttribute("aria-busy");
    verdict.textContent = "The draft could not be judged: the server did not answer, or you are no longer signed in.";
  }
}

function typed() {
  numbered();
  clearTimeout(soon);
  clearTimeout(later);
  soon = setTimeout(() => ask(false), SOON_MS);
}

bench.addEventListener("input", typed);
sheet.addEventListener("scroll", () => (gutter.scrollTop = sheet.scrollTop));
verdict.addEventListener("click", (event) => {
  const to = event.target.closest(".to-line");
  if (!to) return;
  event.preventDefault();
  const lines = sheet.value.split("\n");
  const line = Number(to.dataset.line);
  const from = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  sheet.focus();
  sheet.setSelectionRange(from, from + (lines[line - 1] || "").length);
});
numbered();
later = setTimeout(() => ask(true), LATER_MS);
