// Reloads the changing part of a page until the server marks it as finished.
(() => {
  "use strict";
  const SECONDS = 2;
  const live = document.querySelector("[data-live]");
  const told = document.querySelector("[data-live-told]");
  if (!live) return;
  const isOver = () => live.querySelector("[data-over]")?.dataset.over === "1";
  const look = async () => {
    if (isOver()) return;
    setTimeout(look, SECONDS * 1000);
    if (document.hidden) return;
    try {
      const response = await fetch(live.dataset.live, { credentials: "same-origin" });
      if (!response.ok || live.contains(document.activeElement)) return;
      live.innerHTML = await response.text(); // ours, escaped by the server
      if (isOver() && told) told.textContent = "The run is finished.";
    } catch { /* the server is away; perhaps it comes back */ }
  };
  setTimeout(look, SECONDS * 1000);
})();
