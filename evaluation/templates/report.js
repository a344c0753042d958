"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const config = {
    displayModeBar: false,
    scrollZoom: false,
    showTips: false,
  };

  // "$accent" in a figure stands for the value the style sheet gives --accent.
  const paint = (node, style) => {
    if (typeof node === "string") {
      if (node === "inherit") return style.fontFamily;
      return node.startsWith("$") ? style.getPropertyValue("--" + node.slice(1)).trim() : node;
    }
    if (Array.isArray(node)) return node.map((inner) => paint(inner, style));
    if (node === null || typeof node !== "object") return node;
    return Object.fromEntries(
      Object.entries(node).map(([key, value]) => [key, paint(value, style)]),
    );
  };

  // Paper is light and has a width of its own (A4 less its margins), whatever the screen is.
  const paper = { whole: 676, half: 328 };
  let onPaper = false;

  const widthOf = (place) => {
    if (!onPaper) return place.clientWidth;
    return place.closest("figure").classList.contains("whole") ? paper.whole : paper.half;
  };

  const draw = () => {
    const style = getComputedStyle(document.body);
    for (const [id, figure] of Object.entries(figures)) {
      const place = document.getElementById(id);
      const { data, layout } = paint(figure, style);
      const width = widthOf(place);
      // The numbers under a narrow plot must not run into one another.
      if (width < 420) layout.xaxis.nticks = 4;
      Plotly.react(place, data, { ...layout, width }, config);
    }
  };

  // Paper cannot be unfolded.
  const folded = [];
  const unfold = () => {
    for (const part of document.querySelectorAll("details:not([open])")) {
      part.open = true;
      folded.push(part);
    }
  };

  const toPaper = () => {
    onPaper = true;
    unfold();
    document.documentElement.dataset.theme = "light";
    draw();
  };
  const toScreen = () => {
    onPaper = false;
    for (const part of folded.splice(0)) part.open = false;
    delete document.documentElement.dataset.theme;
    draw();
  };

  draw();
  document.documentElement.dataset.drawn = Object.keys(figures).length;
  new ResizeObserver(draw).observe(document.querySelector("main"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  window.addEventListener("beforeprint", toPaper);
  window.addEventListener("afterprint", toScreen);
})();
