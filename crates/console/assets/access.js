// Another path lit or another time, without leaving the page: the server draws, this puts its answer in place.
"use strict";

const access = document.getElementById("access");
let asked = 0;

// `kept` is where the reader is: by its id or its key in the picture it is found again in the answer.
async function show(address, kept) {
  asked += 1;
  const own = asked;
  const target = new URL(address, location.href);
  const answer = await fetch(`${target.pathname}${target.search}&part=1`, { headers: { accept: "application/json" } });
  if (!answer.ok || answer.redirected) {
    location.assign(target);
    return;
  }
  const told = await answer.json();
  if (own !== asked) return;
  history.replaceState(null, "", target);
  put(told.html);
  const again = kept && [...access.querySelectorAll("[data-key]")].find((it) => it.dataset.key === kept);
  if (again) again.focus();
}

// Made by the server, which escapes everything that it did not write itself.
function put(html) {
  const made = document.createElement("template");
  made.innerHTML = html;
  const slider = document.getElementById("at");
  const isHeld = slider !== null && slider === document.activeElement;
  if (isHeld) {
    // Whoever holds the slider goes on holding it.
    const next = made.content.getElementById("at");
    slider.setAttribute("aria-valuetext", next.getAttribute("aria-valuetext"));
    access.querySelector(".times output").textContent = made.content.querySelector(".times output").textContent;
    next.form.replaceWith(slider.form);
  }
  access.replaceChildren(made.content);
  if (isHeld) slider.focus();
  localTimes(access);
}

access.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-key], .times a.button");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  show(link.getAttribute("href"), link.dataset.key).catch(() => {});
});

access.addEventListener("input", (event) => {
  if (event.target.id !== "at") return;
  const fields = new URLSearchParams(new FormData(event.target.form));
  show(`${location.pathname}?${fields}`, null).catch(() => {});
});
