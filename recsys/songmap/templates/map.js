"use strict";
(() => {
  const data = JSON.parse(document.getElementById("songs").textContent);
  const element = (id) => document.getElementById(id);
  const decoded = (text, kind) =>
    new kind(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
  const places = decoded(data.points, Int16Array); // x, y, z of each song, largest ±32767
  const groupOf = decoded(data.group, Uint8Array);
  const count = groupOf.length;
  const text = (column, song) => column.values[column.rows ? column.rows[song] : song];
  const titleOf = (song) => text(data.title, song) || text(data.id, song);
  const byline = (song) => [text(data.artist, song), text(data.genre, song)].filter(Boolean);

  // ------------------------------------------------------------------ the view

  const isMany = count > 2500; // then points are stamped as pixels, not drawn as shapes
  const canvas = element("map");
  const pen = canvas.getContext("2d", { willReadFrequently: isMany });
  const EDGE = 32767;
  const FRONT = { yaw: 0, pitch: 0 };
  const view = { yaw: -0.6, pitch: 0.42, zoom: 1, x: 0, y: 0 };
  let width = 0, height = 0, ratio = 1, scale = 1, middle = [0, 0], centre = 0;
  const across = new Float32Array(count);
  const down = new Float32Array(count);
  const depth = new Float32Array(count); // -1 is far, 1 is near

  const turned = () => {
    const sy = Math.sin(view.yaw), cy = Math.cos(view.yaw);
    const sp = Math.sin(view.pitch), cp = Math.cos(view.pitch);
    // Rows of the matrix from the songs' axes to right, up and near.
    return [cy, 0, sy, sy * sp, cp, -cy * sp, -sy * cp, sp, cy * cp];
  };

  // What fits: the smallest rectangle around all points as they are seen at first.
  const fit = () => {
    const [a, b, c, d, e, f] = turned();
    let left = Infinity, right = -Infinity, low = Infinity, high = -Infinity;
    for (let i = 0; i < places.length; i += 3) {
      const x = a * places[i] + b * places[i + 1] + c * places[i + 2];
      const y = d * places[i] + e * places[i + 1] + f * places[i + 2];
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < low) low = y;
      if (y > high) high = y;
    }
    // The buttons above and the line below are kept free.
    const isNarrow = width < 500, side = isNarrow ? 26 : 56;
    const top = isNarrow ? 72 : 60, bottom = isNarrow ? 40 : 52;
    const inside = { w: Math.max(width - 2 * side, 40), h: Math.max(height - top - bottom, 40) };
    centre = top + inside.h / 2;
    scale = Math.min(inside.w / Math.max(right - left, 1), inside.h / Math.max(high - low, 1));
    middle = [(left + right) / 2, (low + high) / 2];
  };

  const project = () => {
    const [a, b, c, d, e, f, g, h, k] = turned();
    const s = scale * view.zoom;
    const x0 = width / 2 + view.x - s * middle[0], y0 = centre + view.y + s * middle[1];
    for (let song = 0, i = 0; song < count; song++, i += 3) {
      const x = places[i], y = places[i + 1], z = places[i + 2];
      across[song] = x0 + s * (a * x + b * y + c * z);
      down[song] = y0 - s * (d * x + e * y + f * z);
      depth[song] = (g * x + h * y + k * z) / EDGE;
    }
    return (x, y, z) => [
      x0 + s * (a * x + b * y + c * z), y0 - s * (d * x + e * y + f * z),
    ];
  };

  // ------------------------------------------------------------------ what is shown

  const chosenGroups = new Set();
  let found = null; // songs that a search found, or null
  let song = -1; // the chosen one
  let under = -1; // the one under the pointer
  const faint = new Uint8Array(count);
  const markFaint = () => {
    const hit = found && found.length ? new Set(found) : null;
    for (let i = 0; i < count; i++) {
      faint[i] = (chosenGroups.size && !chosenGroups.has(groupOf[i])) || (hit && !hit.has(i)) ? 1 : 0;
    }
  };

  // ------------------------------------------------------------------ drawing

  const outline = (context, shape, x, y, r) => {
    context.beginPath();
    if (shape === 0 || shape === 3) context.arc(x, y, r, 0, 2 * Math.PI);
    else if (shape === 1 || shape === 5) context.rect(x - 0.88 * r, y - 0.88 * r, 1.76 * r, 1.76 * r);
    else if (shape === 4) {
      const w = 0.38 * r;
      const corners = [[w, r], [w, w], [r, w], [r, -w], [w, -w], [w, -r]];
      for (const [right, low] of [...corners, ...corners.map(([a, b]) => [-a, -b])]) {
        context.lineTo(x + right, y + low);
      }
      context.closePath();
    } else {
      context.moveTo(x, y - 1.2 * r);
      context.lineTo(x + 1.2 * r, y);
      context.lineTo(x, y + 1.2 * r);
      context.lineTo(x - 1.2 * r, y);
      context.closePath();
    }
  };
  const isOpen = (shape) => shape === 3 || shape > 4;
  const drawPoint = (context, group, x, y, r, edge) => {
    const { colour, shape } = data.groups[group];
    outline(context, shape, x, y, isOpen(shape) ? r * 0.86 : r);
    if (isOpen(shape)) {
      context.strokeStyle = colour;
      context.lineWidth = Math.max(1.4, r * 0.36);
      context.stroke();
      return;
    }
    context.fillStyle = colour;
    context.fill();
    if (edge) {
      context.strokeStyle = edge;
      context.lineWidth = 0.8;
      context.stroke();
    }
  };

  const style = () => {
    const all = getComputedStyle(document.documentElement);
    return Object.fromEntries(
      ["back", "ink", "muted", "rule", "accent"].map((name) => [
        name, all.getPropertyValue(`--${name}`).trim(),
      ]),
    );
  };
  let colours = style();
  const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

  const radius = () =>
    (count > 30000 ? 1.6 : count > 4000 ? 2.4 : count > 800 ? 4 : 6) *
    Math.min(Math.max(Math.sqrt(view.zoom), 0.8), count > 4000 ? 3.2 : 2);

  // Far points first; a counting sort, as there may be very many.
  const LEVELS = 256;
  const order = new Uint32Array(count);
  const level = new Uint16Array(count);
  const sortByDepth = () => {
    const starts = new Uint32Array(2 * LEVELS + 1);
    for (let i = 0; i < count; i++) {
      const near = Math.max(0, Math.min(LEVELS - 1, ((depth[i] + 1.8) * LEVELS / 3.6) | 0));
      level[i] = faint[i] ? near : near + LEVELS;
      starts[level[i] + 1]++;
    }
    for (let i = 0; i < 2 * LEVELS; i++) starts[i + 1] += starts[i];
    for (let i = 0; i < count; i++) order[starts[level[i]]++] = i;
  };

  const drawFew = (r) => {
    for (const i of order) {
      if (across[i] < -r || across[i] > width + r || down[i] < -r || down[i] > height + r) continue;
      const plain = data.groups[groupOf[i]].named ? 0.95 : 0.6;
      pen.globalAlpha = faint[i] ? 0.13 : plain;
      drawPoint(pen, groupOf[i], across[i], down[i], r * (1 + 0.22 * depth[i]), colours.back);
    }
    pen.globalAlpha = 1;
  };

  // The pixels that a point of each shape covers, as offsets, made once for each size.
  let stamps = null, stampSize = 0;
  const stampsOf = (r) => {
    if (stamps && stampSize === r) return stamps;
    const side = 2 * Math.ceil(1.3 * r) + 1, half = (side - 1) / 2;
    const sheet = document.createElement("canvas");
    sheet.width = sheet.height = side;
    const small = sheet.getContext("2d", { willReadFrequently: true });
    stamps = data.groups.map((_, group) => {
      small.clearRect(0, 0, side, side);
      drawPoint(small, group, half + 0.5, half + 0.5, r, "");
      const { data: pixels } = small.getImageData(0, 0, side, side);
      const inside = [];
      for (let at = 0; at < side * side; at++) {
        if (pixels[4 * at + 3] > 110) inside.push((at % side) - half, Math.floor(at / side) - half);
      }
      return inside;
    });
    stampSize = r;
    return stamps;
  };

  const drawMany = (r) => {
    const w = canvas.width, h = canvas.height;
    const image = pen.getImageData(0, 0, w, h);
    const pixels = new Uint32Array(image.data.buffer);
    const marks = stampsOf(Math.max(1, r * ratio));
    const ground = channels(colours.back);
    // Far points are paler: sixteen steps of each colour, and one for those that were not chosen.
    const steps = data.groups.map((group) => {
      const own = channels(group.colour);
      const mixed = (share) => {
        const [red, green, blue] = own.map((value, at) => Math.round(share * value + (1 - share) * ground[at]));
        return (255 << 24) | (blue << 16) | (green << 8) | red;
      };
      const full = group.named ? 1 : 0.7;
      return [...Array(16).keys()].map((at) => mixed(full * (0.62 + 0.38 * at / 15))).concat(mixed(0.14));
    });
    for (const i of order) {
      const x = Math.round(across[i] * ratio), y = Math.round(down[i] * ratio);
      if (x < -16 || x >= w + 16 || y < -16 || y >= h + 16) continue;
      const mark = marks[groupOf[i]];
      const colour = steps[groupOf[i]][faint[i] ? 16 : ((level[i] - LEVELS) >> 4)];
      for (let at = 0; at < mark.length; at += 2) {
        const px = x + mark[at], py = y + mark[at + 1];
        if (px >= 0 && px < w && py >= 0 && py < h) pixels[py * w + px] = colour;
      }
    }
    pen.putImageData(image, 0, 0);
  };

  const drawAxes = (at) => {
    const length = EDGE * 0.55;
    pen.font = "12px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    data.axes.forEach((name, number) => {
      const end = [0, 0, 0];
      end[number] = length;
      const [x0, y0] = at(0, 0, 0), [x, y] = at(...end);
      pen.strokeStyle = colours.rule;
      pen.lineWidth = 1;
      pen.beginPath();
      pen.moveTo(x0, y0);
      pen.lineTo(x, y);
      pen.stroke();
      const far = Math.hypot(x - x0, y - y0);
      if (far < 24) return;
      const half = pen.measureText(name).width / 2 + 4;
      pen.fillStyle = colours.muted;
      pen.fillText(name, Math.min(Math.max(x + (x - x0) / far * 14, half), width - half),
        Math.min(Math.max(y + (y - y0) / far * 12, 10), height - 10));
    });
  };

  const ring = (i, r) => {
    pen.strokeStyle = colours.ink;
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(across[i], down[i], r + 4, 0, 2 * Math.PI);
    pen.stroke();
  };

  const label = (i, r) => {
    pen.font = "600 13px system-ui, sans-serif";
    pen.textBaseline = "middle";
    const name = titleOf(i).slice(0, 60), wide = pen.measureText(name).width;
    const isLeft = across[i] + r + 8 + wide > width;
    pen.textAlign = isLeft ? "right" : "left";
    const x = across[i] + (isLeft ? -r - 8 : r + 8);
    pen.strokeStyle = colours.back;
    pen.lineWidth = 4;
    pen.strokeText(name, x, down[i]);
    pen.fillStyle = colours.ink;
    pen.fillText(name, x, down[i]);
  };

  let asked = 0;
  const draw = () => {
    asked = 0;
    const at = project();
    sortByDepth();
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = colours.back;
    pen.fillRect(0, 0, width, height);
    drawAxes(at);
    const r = radius();
    (isMany ? drawMany : drawFew)(r);
    if (found && found.length <= 200) {
      for (const i of found) drawPoint(pen, groupOf[i], across[i], down[i], r + 1, colours.back);
    }
    if (song >= 0) {
      drawPoint(pen, groupOf[song], across[song], down[song], Math.max(r + 1, 4), colours.back);
      ring(song, Math.max(r, 4));
      label(song, Math.max(r, 4));
    }
    if (under >= 0 && under !== song) ring(under, r);
  };
  const redraw = () => { asked = asked || requestAnimationFrame(draw); };

  const resize = () => {
    const box = canvas.parentElement.getBoundingClientRect();
    const wider = Math.max(1, Math.round(box.width)), higher = Math.max(1, Math.round(box.height));
    const finer = Math.min(window.devicePixelRatio || 1, count > 30000 ? 1.5 : 3);
    if (wider === width && higher === height && finer === ratio) return;
    [width, height, ratio] = [wider, higher, finer];
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const { yaw, pitch } = view;
    Object.assign(view, front ? FRONT : START);
    fit();
    Object.assign(view, { yaw, pitch });
    draw(); // at once: a canvas that was resized is blank
  };

  // ------------------------------------------------------------------ moving

  const START = { yaw: view.yaw, pitch: view.pitch };
  let front = false;
  const look = (how) => {
    if (how === "all" || how === "front") {
      front = how === "front";
      Object.assign(view, front ? FRONT : START, { zoom: 1, x: 0, y: 0 });
      fit();
    } else zoomBy(how === "nearer" ? 1.3 : 1 / 1.3, width / 2, centre);
    redraw();
  };
  const zoomBy = (factor, x, y) => {
    const zoom = Math.min(Math.max(view.zoom * factor, 0.3), 400);
    const real = zoom / view.zoom;
    // The point under the fingers stays there.
    view.x = (x - width / 2) - real * (x - width / 2 - view.x);
    view.y = (y - centre) - real * (y - centre - view.y);
    view.zoom = zoom;
    redraw();
  };
  const turn = (right, up) => {
    view.yaw += right;
    view.pitch = Math.min(Math.max(view.pitch + up, -Math.PI / 2), Math.PI / 2);
    redraw();
  };

  const fingers = new Map();
  let moved = 0;
  const spread = () => {
    const [a, b] = [...fingers.values()];
    return { far: Math.hypot(a.x - b.x, a.y - b.y), x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
  };
  const here = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const nearest = (x, y, reach) => {
    let best = -1, least = reach * reach;
    for (let i = 0; i < count; i++) {
      const far = (across[i] - x) ** 2 + (down[i] - y) ** 2;
      if (far < least && !faint[i]) { least = far; best = i; }
    }
    return best;
  };
  const hint = element("hint");
  const point = (i) => {
    if (i === under) return;
    under = i;
    hint.style.visibility = i < 0 ? "hidden" : "visible";
    canvas.style.cursor = i < 0 ? "" : "pointer";
    if (i >= 0) {
      hint.replaceChildren(made("b", titleOf(i)), byline(i).join(" · "));
      const box = hint.getBoundingClientRect();
      const x = across[i] + 14 + box.width > width ? across[i] - 14 - box.width : across[i] + 14;
      const y = Math.min(Math.max(down[i] - box.height / 2, 4), height - box.height - 4);
      hint.style.transform = `translate(${Math.round(Math.max(x, 4))}px, ${Math.round(y)}px)`;
    }
    redraw();
  };

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, here(event));
    if (fingers.size === 1) moved = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = here(event);
    const before = fingers.get(event.pointerId);
    if (!before) {
      point(nearest(now.x, now.y, 14));
      return;
    }
    if (fingers.size === 1) {
      const x = now.x - before.x, y = now.y - before.y;
      moved += Math.abs(x) + Math.abs(y);
      fingers.set(event.pointerId, now);
      if (moved < 5) return;
      point(-1);
      if (event.shiftKey || event.buttons === 2) {
        view.x += x;
        view.y += y;
        redraw();
      } else turn(x * 0.007, y * 0.007);
      return;
    }
    const old = spread();
    fingers.set(event.pointerId, now);
    const fresh = spread();
    moved = 99;
    view.x += fresh.x - old.x;
    view.y += fresh.y - old.y;
    zoomBy(fresh.far / Math.max(old.far, 1), fresh.x, fresh.y);
  });
  const lift = (event) => {
    const place = fingers.get(event.pointerId);
    fingers.delete(event.pointerId);
    if (place && event.type === "pointerup" && moved < 5 && event.button === 0) {
      const hit = nearest(place.x, place.y, event.pointerType === "mouse" ? 14 : 26);
      if (hit >= 0) choose(hit);
    }
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("pointerleave", () => point(-1));
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const { x, y } = here(event);
    const lines = event.deltaMode === 1 ? 33 : 1;
    point(-1);
    zoomBy(Math.exp(-event.deltaY * lines * 0.0016), x, y);
  }, { passive: false });
  const KEYS = {
    ArrowLeft: () => turn(-0.12, 0), ArrowRight: () => turn(0.12, 0),
    ArrowUp: () => turn(0, -0.12), ArrowDown: () => turn(0, 0.12),
    "+": () => look("nearer"), "=": () => look("nearer"), "-": () => look("farther"),
    "0": () => look("all"), Home: () => look("all"), f: () => look("front"),
    Escape: () => choose(-1),
  };
  canvas.addEventListener("keydown", (event) => {
    const act = KEYS[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
  for (const button of document.querySelectorAll("[data-view]")) {
    button.addEventListener("click", () => look(button.dataset.view));
  }

  // ------------------------------------------------------------------ the chosen song

  const made = (tag, content, attributes = {}) => {
    const node = document.createElement(tag);
    node.append(content);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  };
  const panel = element("song");
  const NEAR = 5;
  const nearTo = (i) => {
    const far = (j) =>
      (places[3 * i] - places[3 * j]) ** 2 + (places[3 * i + 1] - places[3 * j + 1]) ** 2 +
      (places[3 * i + 2] - places[3 * j + 2]) ** 2;
    const best = [];
    for (let j = 0; j < count; j++) {
      if (j === i) continue;
      const one = [far(j), j];
      if (best.length === NEAR && one[0] >= best[NEAR - 1][0]) continue;
      best.push(one);
      best.sort((a, b) => a[0] - b[0]);
      best.length = Math.min(best.length, NEAR);
    }
    return best.map(([, j]) => j);
  };
  const songButton = (i) => {
    const button = made("button", titleOf(i), { type: "button" });
    const line = made("span", byline(i).join(" · "), { class: "by" });
    button.append(document.createElement("br"), line);
    button.addEventListener("click", () => choose(i, true));
    const row = document.createElement("li");
    row.append(button);
    return row;
  };
  const choose = (i, byList = false) => {
    song = i;
    panel.hidden = i < 0;
    panel.replaceChildren();
    if (i < 0) {
      redraw();
      return;
    }
    const name = made("h2", made("span", titleOf(i)));
    const close = made("button", "×", { type: "button", class: "close", "aria-label": "Close" });
    close.addEventListener("click", () => { choose(-1); element("find").focus({ preventScroll: true }); });
    name.append(close);
    panel.append(name);
    for (const line of [text(data.artist, i), text(data.album, i), text(data.genre, i)]) {
      if (line) panel.append(made("p", line));
    }
    panel.append(made("p", text(data.id, i), { class: "by" }));
    const recording = data.recording && data.recording[i];
    if (recording) {
      const player = made("audio", "", {
        controls: "", preload: "none", src: data.folder + recording,
        "aria-label": `Recording of ${titleOf(i)}`,
      });
      player.addEventListener("error", () =>
        player.replaceWith(made("p", "The recording is no longer where it was.", { class: "by" })));
      panel.append(player);
    }
    const list = document.createElement("ul");
    list.append(...nearTo(i).map(songButton));
    panel.append(made("h3", "Near it on this map"), list);
    if (byList && view.zoom > 1.2) bringIn(i);
    panel.scrollIntoView({ block: "nearest" });
    redraw();
  };
  // When one has come near, a song from a list may lie outside.
  const bringIn = (i) => {
    project();
    const edge = 40;
    if (across[i] < edge || across[i] > width - edge) view.x += width / 2 - across[i];
    if (down[i] < edge || down[i] > height - edge) view.y += height / 2 - down[i];
  };

  // ------------------------------------------------------------------ finding

  const folded = (words) =>
    words.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  let index = null; // folded texts, made when somebody searches first
  const field = element("find"), options = element("found"), MOST = 50;
  const said = element("count");
  let listed = [], active = -1;
  const search = () => {
    const words = folded(field.value).split(/\s+/).filter(Boolean);
    if (!words.length) {
      found = null;
      listed = [];
    } else {
      index = index || Array.from({ length: count }, (_, i) =>
        folded(`${text(data.title, i)} ${text(data.artist, i)} ${text(data.id, i)}`));
      found = [];
      for (let i = 0; i < count; i++) {
        if (words.every((word) => index[i].includes(word))) found.push(i);
      }
      // What begins with the words comes first.
      const first = (i) => (folded(titleOf(i)).startsWith(words[0]) ? 0 : 1);
      const top = found.length > 5000 ? found.slice(0, 5000) : [...found];
      listed = top.sort((a, b) => first(a) - first(b) || a - b).slice(0, MOST);
    }
    active = -1;
    show(found !== null);
    markFaint();
    redraw();
  };
  const show = (isOpened) => {
    options.hidden = !isOpened;
    field.setAttribute("aria-expanded", String(isOpened));
    field.removeAttribute("aria-activedescendant");
    if (!isOpened) {
      said.textContent = "";
      return;
    }
    options.replaceChildren(...listed.map((i, number) => {
      const row = made("li", titleOf(i), { role: "option", id: `found-${number}`, "aria-selected": "false" });
      row.append(document.createElement("br"), made("span", byline(i).join(" · "), { class: "by" }));
      // The field keeps the focus.
      row.addEventListener("pointerdown", (event) => event.preventDefault());
      row.addEventListener("click", () => take(number));
      return row;
    }));
    const more = found.length - listed.length;
    if (!found.length) options.append(made("li", "No song is called so.", { class: "none", role: "presentation" }));
    if (more > 0) options.append(made("li", `and ${more.toLocaleString("en")} more`, { class: "none", role: "presentation" }));
    said.textContent = `${found.length} found`;
  };
  const take = (number) => {
    const chosen = listed[number];
    field.value = "";
    found = null;
    show(false);
    markFaint();
    choose(chosen, true);
  };
  const mark = (number) => {
    active = (number + listed.length) % listed.length;
    [...options.querySelectorAll("[role=option]")].forEach((row, at) => {
      row.setAttribute("aria-selected", String(at === active));
      if (at === active) row.scrollIntoView({ block: "nearest" });
    });
    field.setAttribute("aria-activedescendant", `found-${active}`);
  };
  field.addEventListener("input", search);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      field.value = "";
      search();
    } else if (listed.length && event.key === "ArrowDown") mark(active + 1);
    else if (listed.length && event.key === "ArrowUp") mark(active < 0 ? -1 : active - 1);
    else if (listed.length && event.key === "Enter") take(Math.max(active, 0));
    else return;
    event.preventDefault();
  });

  // ------------------------------------------------------------------ the groups

  const list = element("groups"), everything = element("everything");
  const swatches = [];
  data.groups.forEach((group, number) => {
    const button = made("button", "", { type: "button", "aria-pressed": "false", title: "Show alone, with others that are chosen" });
    const swatch = made("canvas", "", { "aria-hidden": "true" });
    swatches.push(swatch);
    button.append(swatch, made("span", group.name, { class: "name" }),
      made("span", group.n.toLocaleString("en"), { class: "n" }));
    button.addEventListener("click", () => {
      if (!chosenGroups.delete(number)) chosenGroups.add(number);
      showGroups();
    });
    const row = document.createElement("li");
    row.append(button);
    list.append(row);
  });
  const showGroups = () => {
    [...list.querySelectorAll("button")].forEach((button, number) =>
      button.setAttribute("aria-pressed", String(chosenGroups.has(number))));
    list.parentElement.classList.toggle("chosen", chosenGroups.size > 0);
    everything.hidden = chosenGroups.size === 0;
    markFaint();
    redraw();
  };
  everything.addEventListener("click", () => {
    chosenGroups.clear();
    showGroups();
  });
  const drawSwatches = () => swatches.forEach((swatch, number) => {
    swatch.width = swatch.height = 32;
    drawPoint(swatch.getContext("2d"), number, 16, 16, 11, "");
  });

  // ------------------------------------------------------------------ begin

  drawSwatches();
  new ResizeObserver(resize).observe(canvas.parentElement);
  resize();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    colours = style();
    redraw();
  });
  document.documentElement.dataset.drawn = String(count);
})();
