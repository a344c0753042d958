// What is around the pages: search, lists that move, focus, and new songs.
import { startPlayer } from "./player.js";
import { startDropping } from "./drop.js";
import { drawMaps } from "./map.js";

const root = document.documentElement;
root.classList.add("scripted");
const main = document.getElementById("main");
const told = document.getElementById("told");
export const tell = (text) => { told.textContent = text; };

// ---------------------------------------------------------------- after a page has changed

const markPage = () => {
  for (const link of document.querySelectorAll("[data-page]")) {
    if (link.getAttribute("href") === location.pathname) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
};

let kept = null; // the element that has the focus and is to keep it
document.addEventListener("htmx:beforeRequest", (event) => {
  const link = event.target.closest?.("[data-keep]");
  kept = link ? link.id : null;
});
document.addEventListener("htmx:afterSettle", (event) => {
  drawMaps(event.target);
  markPage();
  player.refresh();
  if (event.target !== main) return;
  closeSearch();
  const again = kept && document.getElementById(kept);
  kept = null;
  const heading = again || main.querySelector("h1");
  heading?.focus({ preventScroll: true });
  if (!again) tell(document.title);
  showMarked();
});
// The song that a link has led to this list for.
const showMarked = () => main.querySelector(".marked")?.scrollIntoView({ block: "center" });
document.addEventListener("htmx:sendError", () => tell("The service does not answer."));

// ---------------------------------------------------------------- search

const search = document.getElementById("search");
const found = document.getElementById("found");
const closeSearch = () => {
  if (!search) return;
  found.replaceChildren();
  search.value = "";
};
if (search) {
  const box = search.parentElement;
  const links = () => [...found.querySelectorAll("[data-found]")];
  box.addEventListener("keydown", (event) => {
    const all = links(), at = all.indexOf(document.activeElement);
    if (event.key === "Escape") {
      closeSearch();
      search.focus();
    } else if (event.key === "ArrowDown" && all.length) all[Math.min(at + 1, all.length - 1)].focus();
    else if (event.key === "ArrowUp" && at >= 0) (all[at - 1] || search).focus();
    else if (event.key === "Enter" && at < 0 && all.length) all[0].click();
    else return;
    event.preventDefault();
  });
  search.addEventListener("input", () => { if (!search.value.trim()) found.replaceChildren(); });
  document.addEventListener("pointerdown", (event) => {
    if (!box.contains(event.target)) found.replaceChildren();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.closest("input, textarea") && !event.ctrlKey && !event.metaKey) {
      search.focus();
      event.preventDefault();
    }
  });
}

// ---------------------------------------------------------------- lists

// Rows move from where they were to where they are.
let before = null;
const places = (list) =>
  new Map([...list.querySelectorAll("[data-key]")].map((row) => [row.dataset.key, row.getBoundingClientRect().top]));
document.addEventListener("htmx:beforeSwap", (event) => {
  const list = event.detail.target.querySelector?.("[data-flip]");
  before = list && event.detail.target.id === "list" ? places(list) : null;
});
document.addEventListener("htmx:afterSwap", (event) => {
  if (!before || event.target.id !== "list") return;
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
    for (const row of event.target.querySelectorAll("[data-key]")) {
      const was = before.get(row.dataset.key), is = row.getBoundingClientRect().top;
      const timing = { duration: 260, easing: "cubic-bezier(.2,.7,.2,1)" };
      if (was === undefined) row.animate([{ opacity: 0 }, { opacity: 1 }], timing);
      else if (was !== is) row.animate([{ transform: `translateY(${was - is}px)` }, { transform: "none" }], timing);
    }
  }
  before = null;
  const marks = [...event.target.querySelectorAll("[data-play]")].map((one) => one.dataset.item);
  const map = document.querySelector("aside [data-map]");
  if (map) {
    map.dataset.marks = JSON.stringify(marks);
    drawMaps(map.parentElement);
  }
});

// What the slider and "Show more" say stays in the address.
document.addEventListener("htmx:configRequest", (event) => {
  const slider = document.getElementById("discovery");
  if (event.detail.path.startsWith("/page/list") && event.target.dataset.more && slider) {
    event.detail.parameters.discovery = slider.value; // as it stands now
    event.detail.path = event.detail.path.replace(/&?discovery=[^&]*/, "");
    const length = slider.form.querySelector("[name=k]");
    if (length) length.value = event.target.dataset.more;
  }
});
document.addEventListener("htmx:afterOnLoad", (event) => {
  const slider = document.getElementById("discovery");
  if (event.detail.target?.id !== "list" || !slider) return;
  const address = new URL(location.href);
  address.searchParams.set("discovery", slider.value);
  const state = history.state;
  history.replaceState(state, "", address);
});

// Why: opened once it is asked for, closed by the same button.
document.addEventListener("htmx:confirm", (event) => {
  const button = event.target.closest?.("[data-why]");
  if (!button) return;
  const place = document.getElementById(button.getAttribute("aria-controls"));
  if (button.getAttribute("aria-expanded") === "true") {
    event.preventDefault();
    place.replaceChildren();
    button.setAttribute("aria-expanded", "false");
  } else button.setAttribute("aria-expanded", "true");
});

// A link that acts as a button is pressed by the space bar, too.
document.addEventListener("keydown", (event) => {
  const link = event.key === " " && event.target.closest("a[role=button]");
  if (!link) return;
  event.preventDefault();
  link.click();
});

// ---------------------------------------------------------------- begin

const player = startPlayer(tell);
startDropping(player, tell);
drawMaps(document);
markPage();
showMarked();
root.dataset.ready = "yes";
