// The map: every song is a point; songs that sound alike lie near each other.

import { go } from "./go.js";

const load = async (items) => {
  const query = new URLSearchParams(items.map((item) => ["item", item]));
  const answer = await fetch(`/page/map.json?${query}`);
  if (!answer.ok) throw new Error((await answer.json()).detail);
  return answer.json();
};

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const draw = async (box) => {
  const canvas = box.querySelector("canvas"), said = box.querySelector(".map-said");
  const hint = box.querySelector(".map-hint");
  const item = box.dataset.item;
  const marks = new Set(JSON.parse(box.dataset.marks || "[]"));
  const wanted = [...(item ? [item] : []), ...marks].slice(0, 100);
  let data;
  try {
    data = await load(wanted);
  } catch (error) {
    said.textContent = error.message;
    return;
  }
  const songs = data.points.map((at, n) => ({
    at, id: data.id[n], title: data.title[n], artist: data.artist[n], colour: data.groups[data.group[n]].colour,
  }));
  for (const extra of data.extra) songs.push({ ...extra, colour: "#8A8F98" });
  const special = (song) => song.id === item || marks.has(song.id);
  const isChoosing = Boolean(item) || marks.size > 0;
  let places = [], width = 0, height = 0, under = null;

  const put = () => {
    const ratio = devicePixelRatio || 1;
    width = canvas.clientWidth;
    height = canvas.clientHeight;
    if (!width) return;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const xs = songs.map((song) => song.at[0]), ys = songs.map((song) => song.at[1]);
    const low = [Math.min(...xs), Math.min(...ys)], high = [Math.max(...xs), Math.max(...ys)];
    const edge = 30;
    const across = (width - 2 * edge) / Math.max(high[0] - low[0], 1);
    const down = (height - 2 * edge) / Math.max(high[1] - low[1], 1);
    // Stretched to the box, but by no more than half as much again.
    const least = Math.min(across, down);
    const sx = Math.min(across, 3 * least), sy = Math.min(down, 3 * least);
    places = songs.map(({ at: [x, y] }) => [
      width / 2 + sx * (x - (low[0] + high[0]) / 2), height / 2 - sy * (y - (low[1] + high[1]) / 2),
    ]);
    paint(ratio);
  };
  const paint = (ratio = devicePixelRatio || 1) => {
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const r = songs.length > 1500 ? 2.2 : songs.length > 400 ? 3.2 : 4.6;
    const dot = (n, size, alpha) => {
      pen.globalAlpha = alpha;
      pen.fillStyle = songs[n].colour;
      pen.beginPath();
      pen.arc(...places[n], size, 0, 2 * Math.PI);
      pen.fill();
    };
    songs.forEach((song, n) => { if (!special(song)) dot(n, r, isChoosing ? 0.28 : 0.85); });
    if (songs.length > 30) labels(pen);
    const ring = (n, size, colour) => {
      pen.globalAlpha = 1;
      pen.strokeStyle = colour;
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(...places[n], size, 0, 2 * Math.PI);
      pen.stroke();
    };
    songs.forEach((song, n) => {
      if (marks.has(song.id) && song.id !== item) {
        dot(n, r + 1.5, 1);
        ring(n, r + 3.5, style("--ink"));
      }
    });
    const chosen = songs.findIndex((song) => song.id === item);
    if (chosen >= 0) {
      ring(chosen, r + 12, style("--accent"));
      pen.globalAlpha = 0.18;
      pen.fillStyle = style("--accent");
      pen.fill();
      dot(chosen, r + 4, 1);
      ring(chosen, r + 5, style("--raised"));
      const name = (songs[chosen].title || songs[chosen].id).slice(0, 40);
      pen.font = "600 14px system-ui, sans-serif";
      pen.textBaseline = "middle";
      const wide = pen.measureText(name).width, [x, y] = places[chosen];
      const isLeft = x + r + 20 + wide > width;
      pen.textAlign = isLeft ? "right" : "left";
      pen.lineWidth = 4;
      pen.strokeStyle = style("--raised");
      pen.strokeText(name, x + (isLeft ? -r - 18 : r + 18), y);
      pen.fillStyle = style("--ink");
      pen.fillText(name, x + (isLeft ? -r - 18 : r + 18), y);
    }
    if (under !== null) ring(under, r + 4, style("--ink"));
  };
  // What the colours mean, where most songs of a colour are.
  const labels = (pen) => {
    const taken = [];
    pen.font = "600 13px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.lineWidth = 4;
    pen.globalAlpha = isChoosing ? 0.75 : 1;
    const middle = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
    data.groups.forEach((group, number) => {
      const own = places.filter((_, n) => data.group[n] === number);
      if (!group.named || own.length < 4 || data.groups.length > 18) return;
      const name = group.name.slice(0, 24), half = pen.measureText(name).width / 2 + 6;
      const x = Math.min(Math.max(middle(own.map((one) => one[0])), half), width - half);
      const top = Math.min(...own.map((one) => one[1])), centre = middle(own.map((one) => one[1]));
      const free = [top - 14, centre, centre + 26, centre - 26].find((y) => y > 12 && y < height - 12 &&
        !taken.some(([a, b, c]) => Math.abs(a - x) < half + c && Math.abs(b - y) < 18));
      if (free === undefined) return;
      taken.push([x, free, half]);
      pen.strokeStyle = style("--raised");
      pen.strokeText(name, x, free);
      pen.fillStyle = style("--ink");
      pen.fillText(name, x, free);
    });
    pen.globalAlpha = 1;
  };
  const nearest = (event) => {
    const box = canvas.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    let best = null, least = 18;
    places.forEach(([a, b], n) => {
      const far = Math.hypot(a - x, b - y);
      if (far < least) [best, least] = [n, far];
    });
    return best;
  };
  const point = (n) => {
    if (n === under) return;
    under = n;
    hint.hidden = n === null;
    canvas.classList.toggle("over", n !== null);
    if (n !== null) {
      const name = document.createElement("b");
      name.textContent = songs[n].title || songs[n].id;
      hint.replaceChildren(name, songs[n].artist);
      const [x, y] = places[n];
      const left = Math.min(Math.max(x - hint.offsetWidth / 2, 6), width - hint.offsetWidth - 6);
      const top = y > hint.offsetHeight + 22 ? y - hint.offsetHeight - 12 : y + 14;
      hint.style.transform = `translate(${left}px, ${top}px)`; // by a script: the policy allows it
    }
    paint();
  };
  box.onpointermove = (event) => point(nearest(event));
  box.onpointerleave = () => point(null);
  box.onclick = (event) => {
    const n = nearest(event);
    if (n === null) return;
    go(`/song?${new URLSearchParams({ item: songs[n].id })}`);
  };
  box.resizes?.disconnect();
  box.resizes = new ResizeObserver(put);
  box.resizes.observe(canvas);
  put();
  said.textContent = data.total > data.points.length ? `${data.points.length.toLocaleString("en")} of ${data.total.toLocaleString("en")} songs` : "";
  const legend = box.parentElement.querySelector("[data-legend]");
  legend?.replaceChildren(...data.groups.map((group) => {
    const row = document.createElement("li");
    const drawn = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    drawn.setAttribute("viewBox", "0 0 12 12");
    drawn.setAttribute("aria-hidden", "true");
    const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    for (const [name, value] of [["cx", 6], ["cy", 6], ["r", 6], ["fill", group.colour]]) dot.setAttribute(name, value);
    drawn.append(dot);
    row.append(drawn, `${group.name} (${group.n.toLocaleString("en")})`);
    return row;
  }));
  box.dataset.drawn = String(songs.length);
};

const seen = new Map();
export const drawMaps = (within) => {
  for (const box of within.querySelectorAll?.("[data-map]") || []) {
    const what = `${box.dataset.item}\n${box.dataset.marks}`;
    if (seen.get(box) === what) continue;
    seen.set(box, what);
    draw(box);
  }
  for (const box of seen.keys()) if (!box.isConnected) seen.delete(box);
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const box of seen.keys()) draw(box);
});
