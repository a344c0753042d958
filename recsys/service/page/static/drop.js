// New songs: dropped anywhere or chosen, sent one after the other, and shown when they were heard.

import { go } from "./go.js";

const made = (tag, text, attributes = {}) => {
  const one = document.createElement(tag);
  one.textContent = text;
  for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
  return one;
};

const percent = (share) =>
  share > 0.995 && share < 1 ? "over 99 %" : `${Math.round(100 * share)} %`;

const named = (heard) => {
  if (heard.caution) return "unlike anything I know";
  if (!heard.predicted) return "heard";
  return `sounds like ${heard.predicted}, ${percent(heard.probability)}`;
};

const send = (file, progress) =>
  new Promise((resolve) => {
    const form = new FormData();
    form.append("file", file, file.name);
    const request = new XMLHttpRequest();
    request.open("POST", "/v1/items");
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) progress(event.loaded / event.total);
    });
    const failed = (detail) => resolve({ ok: false, detail });
    request.addEventListener("load", () => {
      const answer = request.response;
      if (request.status < 300 && answer) resolve({ ok: true, ...answer });
      else failed(answer?.detail || `The service said ${request.status}.`);
    });
    request.addEventListener("error", () => failed("The service does not answer."));
    request.send(form);
  });

export const startDropping = (player, tell) => {
  const tray = document.getElementById("tray"), list = document.getElementById("tray-list");
  const mayChange = document.body.dataset.mayChange === "yes";
  let waiting = Promise.resolve(), pending = 0;

  const take = (file, isAlone) => {
    const row = made("li", "");
    const close = made("button", "×", { type: "button", class: "close", "aria-label": `Close ${file.name}` });
    const said = made("span", "waits", { class: "by" });
    const bar = made("progress", "", { max: "1", value: "0", "aria-label": `Sending ${file.name}` });
    row.append(made("span", file.name, { class: "name" }), close, said, bar);
    close.addEventListener("click", () => {
      row.remove();
      tray.hidden = !list.children.length;
    });
    list.prepend(row);
    tray.hidden = false;
    pending += 1;
    waiting = waiting.then(async () => {
      said.textContent = "is being sent";
      tell(`${file.name} is being sent`);
      const heard = await send(file, (share) => {
        bar.value = share;
        if (share === 1) {
          said.textContent = "I am listening …";
          bar.removeAttribute("value");
        }
      });
      bar.remove();
      pending -= 1;
      if (!heard.ok) {
        said.remove();
        row.append(made("p", heard.detail, { class: "wrong", role: "alert" }));
        return;
      }
      player.keep(heard.item_id, file);
      const address = `/song?${new URLSearchParams({ item: heard.item_id, dropped: "true" })}`;
      said.replaceChildren(made("a", named(heard), { href: address }));
      tell(`${file.name}: ${named(heard)}`);
      if (isAlone && !pending) {
        row.remove();
        tray.hidden = !list.children.length;
        go(address);
      }
    });
  };
  list.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link) return;
    event.preventDefault();
    go(link.getAttribute("href"));
  });
  const takeAll = (files) => {
    const all = [...files];
    if (!all.length) return;
    if (!mayChange) return void tell("Your key lets you ask; adding songs needs one that may write.");
    all.forEach((file) => take(file, all.length === 1));
  };

  const holdsFiles = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  let depth = 0;
  const shown = (isShown) => document.documentElement.classList.toggle("dropping", isShown && mayChange);
  addEventListener("dragenter", (event) => {
    if (!holdsFiles(event)) return;
    depth += 1;
    shown(true);
  });
  addEventListener("dragleave", (event) => {
    if (!holdsFiles(event)) return;
    depth = Math.max(0, depth - 1);
    shown(depth > 0);
  });
  addEventListener("dragover", (event) => { if (holdsFiles(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    depth = 0;
    shown(false);
    takeAll(event.dataTransfer.files);
  });
  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-recording]")) return;
    takeAll(event.target.files);
    event.target.value = "";
  });
};
