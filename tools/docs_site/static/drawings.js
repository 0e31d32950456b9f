// Draws the diagrams from their text, in the colours of the page, and anew when those change.
(() => {
  const blocks = [];
  const isDark = () => {
    const theme = document.body.dataset.theme;
    return theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  };
  let drawn = 0;
  const draw = async () => {
    mermaid.initialize({
      startOnLoad: false,
      securityLevel: "strict",
      theme: isDark() ? "dark" : "neutral",
      themeVariables: isDark() ? { edgeLabelBackground: "#1f2020" } : {},
    });
    for (const { place, text } of blocks) {
      const { svg } = await mermaid.render(`drawing-${drawn++}`, text);
      place.innerHTML = svg;
      place.dataset.drawn = isDark() ? "dark" : "light";
    }
  };
  document.addEventListener("DOMContentLoaded", () => {
    for (const block of document.querySelectorAll("div.drawing")) {
      const text = block.querySelector("pre").textContent;
      const place = document.createElement("figure");
      place.setAttribute("role", "img");
      place.setAttribute("aria-label", text);
      block.replaceChildren(place);
      blocks.push({ place, text });
    }
    if (blocks.length === 0) return;
    let dark = isDark();
    const again = () => {
      if (dark !== isDark()) {
        dark = isDark();
        draw();
      }
    };
    draw();
    new MutationObserver(again).observe(document.body, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  });
})();
