// What every page does: times in the reader's own zone, and parts that keep themselves up to date.
"use strict";

function localTimes(within) {
  for (const time of within.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) {
      time.title = time.dateTime;
      time.textContent = at.toLocaleString();
    }
  }
}

// A part with `data-from` is replaced by what that address says, unless the reader is in it.
async function renew(part) {
  if (document.hidden || part.contains(document.activeElement)) return;
  const answer = await fetch(part.dataset.from, { headers: { accept: "application/json" } });
  if (!answer.ok) return;
  const told = await answer.json();
  if (part.dataset.shown === told.html) return;
  part.dataset.shown = told.html;
  // Made by the server, which escapes everything that it did not write itself.
  part.innerHTML = told.html;
  localTimes(part);
}

localTimes(document);
for (const part of document.querySelectorAll("div[data-from]")) {
  setInterval(() => renew(part).catch(() => {}), 2000);
}
