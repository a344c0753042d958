// The player: sound, and its outline, which is drawn by wavesurfer.js.

const element = (id) => document.getElementById(id);

const clock = (seconds) => {
  const whole = Number.isFinite(seconds) ? Math.floor(seconds) : 0;
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
};

export const startPlayer = (tell) => {
  const box = element("player"), audio = element("audio"), place = element("player-at");
  const own = new Map(); // sound of files that were dropped, by song
  let wave = null, song = null, queue = [], asked = 0;

  const colours = () => {
    const all = getComputedStyle(document.documentElement);
    return { waveColor: all.getPropertyValue("--wave").trim(), progressColor: all.getPropertyValue("--accent").trim() };
  };
  const makeWave = () => {
    wave = window.WaveSurfer.create({
      container: "#wave", media: audio, height: "auto", barWidth: 2, barGap: 1.5, barRadius: 2,
      cursorWidth: 0, interact: false, normalize: true, hideScrollbar: true,
      cspNonce: document.querySelector("meta[name=nonce]").content, ...colours(),
    });
    wave.on("error", () => {});
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => wave.setOptions(colours()));
  };

  const buttons = () => [...document.querySelectorAll("[data-play]:not([hidden])")];
  const described = (button) => ({ ...button.dataset });
  const show = () => {
    const isPlaying = !audio.paused;
    box.classList.toggle("playing", isPlaying);
    element("player-play").setAttribute("aria-label", isPlaying ? "Pause" : "Play");
    for (const one of document.querySelectorAll("[data-play]")) {
      const isThis = isPlaying && song && one.dataset.item === song.item;
      one.classList.toggle("playing", isThis);
      one.setAttribute("aria-label", `${isThis ? "Pause" : "Play"} ${one.dataset.title}`);
      if (own.has(one.dataset.item)) one.hidden = false;
    }
  };
  const showTime = () => {
    const length = audio.duration || song?.seconds || 0;
    element("player-clock").textContent = `${clock(audio.currentTime)} / ${clock(length)}`;
    place.value = length ? Math.round((1000 * audio.currentTime) / length) : 0;
    place.setAttribute("aria-valuetext", `${clock(audio.currentTime)} of ${clock(length)}`);
  };

  const play = async (chosen) => {
    song = chosen;
    const number = ++asked;
    const query = new URLSearchParams({ item: chosen.item });
    box.hidden = false;
    element("player-title").textContent = chosen.title;
    element("player-title").href = `/song?${query}`;
    element("player-artist").textContent = chosen.artist;
    element("player-cover").src = `/page/cover?${query}`;
    if (!wave) makeWave();
    const source = own.get(chosen.item) || chosen.audio;
    audio.src = source;
    audio.play().catch((error) => {
      if (error.name !== "AbortError" && number === asked) tell(`${chosen.title} cannot be played.`);
    });
    show();
    let outline = { peaks: [], seconds: 0 };
    if (!own.has(chosen.item)) try {
      const answer = await fetch(`/page/outline?${query}`);
      if (answer.ok) outline = await answer.json();
    } catch { /* it plays without */ }
    if (number !== asked) return;
    song.seconds = outline.seconds;
    // The outline alone: the sound itself is read by the element, part by part.
    const isPlaying = !audio.paused, at = audio.currentTime;
    if (outline.peaks.length) await wave.load(source, [outline.peaks], outline.seconds);
    else if (own.has(chosen.item)) await wave.load(source).catch(() => {});
    else wave.empty?.();
    if (number !== asked) return;
    if (at && Math.abs(audio.currentTime - at) > 1) audio.currentTime = at;
    if (isPlaying && audio.paused) audio.play().catch(() => {});
    box.dataset.drawn = chosen.item;
  };
  const toggle = () => (audio.paused ? audio.play().catch(() => {}) : audio.pause());
  const step = (by) => {
    const at = queue.findIndex((one) => one.item === song?.item);
    const next = queue[at + by];
    if (next) play(next);
    else if (by < 0) audio.currentTime = 0;
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-play]");
    if (!button) return;
    event.preventDefault();
    event.stopPropagation();
    if (song && button.dataset.item === song.item) return void toggle();
    const list = button.closest("ul, ol");
    queue = buttons().filter((one) => one.closest("ul, ol") === list).map(described);
    play(described(button));
  });
  element("player-play").addEventListener("click", toggle);
  element("player-back").addEventListener("click", () => (audio.currentTime > 3 ? (audio.currentTime = 0) : step(-1)));
  element("player-next").addEventListener("click", () => step(1));
  place.addEventListener("input", () => {
    const length = audio.duration || song?.seconds;
    if (length) audio.currentTime = (length * place.value) / 1000;
  });
  for (const name of ["play", "pause", "ended", "emptied"]) audio.addEventListener(name, show);
  for (const name of ["timeupdate", "durationchange", "seeked"]) audio.addEventListener(name, showTime);
  audio.addEventListener("ended", () => step(1));
  document.addEventListener("keydown", (event) => {
    const isFree = !event.target.closest("a, button, input, textarea, select, summary, [role=button]");
    if (event.key === " " && isFree && song) {
      event.preventDefault();
      toggle();
    }
  });

  return {
    refresh: show,
    keep: (item, file) => {
      if (own.has(item)) URL.revokeObjectURL(own.get(item));
      own.set(item, URL.createObjectURL(file));
      show();
    },
  };
};
