// The note and its annotations: a sentence highlights its sources; labels are shown or hidden.
(() => {
  "use strict";
  const WAIT_MS = 120; // ignores a pointer that only passes by
  const note = () => document.getElementById("note");
  let timer = 0;

  const litBy = (key) => [...note().querySelectorAll(`[data-lit~="${CSS.escape(key)}"]`)];

  const isInView = (leaf) => {
    const box = note().getBoundingClientRect();
    const place = leaf.getBoundingClientRect();
    return place.top >= Math.max(box.top, 0) && place.bottom <= Math.min(box.bottom, innerHeight);
  };

  // Scrolls only a note with a scroll area of its own, never the page.
  const bring = (leaf) => {
    const box = note();
    if (!leaf || box.scrollHeight <= box.clientHeight + 1 || isInView(leaf)) return;
    const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const top = leaf.getBoundingClientRect().top - box.getBoundingClientRect().top + box.scrollTop;
    box.scrollTo({ top: top - box.clientHeight / 3, behavior: isCalm ? "auto" : "smooth" });
  };

  const darken = () => {
    clearTimeout(timer);
    document.querySelectorAll(".is-lit, .is-lighting").forEach((one) => one.classList.remove("is-lit", "is-lighting"));
  };

  const light = (sentence, isAtOnce) => {
    darken();
    const leaves = litBy(sentence.dataset.lights);
    sentence.classList.add("is-lighting");
    leaves.forEach((leaf) => leaf.classList.add("is-lit"));
    if (!leaves.some(isInView)) timer = setTimeout(() => bring(leaves[0]), isAtOnce ? 0 : WAIT_MS);
  };

  const sentenceOf = (event) => event.target.closest?.("[data-lights]");
  document.addEventListener("pointerover", (event) => {
    const sentence = sentenceOf(event);
    if (sentence && !sentence.classList.contains("is-lighting")) light(sentence, false);
  });
  document.addEventListener("pointerout", (event) => {
    const sentence = sentenceOf(event);
    if (sentence && !sentence.contains(event.relatedTarget) && !sentence.contains(document.activeElement)) darken();
  });
  document.addEventListener("focusin", (event) => {
    const sentence = sentenceOf(event);
    if (sentence) light(sentence, true);
  });
  document.addEventListener("focusout", (event) => {
    if (sentenceOf(event)) darken();
  });

  // A source number or a passage jumps to its span in the note. The highlights stay.
  const goTo = (id) => {
    const place = document.getElementById(id);
    if (!place) return;
    place.scrollIntoView({ block: "center" });
    const key = place.dataset.lit?.split(" ")[0];
    if (key && !document.querySelector(".is-lit")) litBy(key).forEach((leaf) => leaf.classList.add("is-lit"));
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#at-"]');
    if (!link) return;
    event.preventDefault();
    history.pushState(null, "", link.getAttribute("href"));
    goTo(link.getAttribute("href").slice(1));
  });
  if (location.hash.startsWith("#at-")) addEventListener("load", () => goTo(location.hash.slice(1)));

  // Filters.
  const show = () => {
    const hidden = (name) =>
      new Set([...document.querySelectorAll(`[data-show-${name}]:not(:checked)`)].map((box) => box.getAttribute(`data-show-${name}`)));
    const labels = hidden("label");
    const assertions = hidden("assertion");
    document.querySelectorAll("mark.mention, .mention-list > li").forEach((one) => {
      one.classList.toggle("is-hidden", labels.has(one.dataset.label) || assertions.has(one.dataset.assertion));
    });
  };
  const remembered = (box, value) => {
    const name = `notemill-${box.dataset.bodyClass}`;
    try {
      if (value === undefined) return localStorage.getItem(name) === "true";
      localStorage.setItem(name, value);
    } catch { /* no storage */ }
    return false;
  };
  const dress = () => {
    document.querySelectorAll("[data-body-class]").forEach((box) => {
      box.checked = remembered(box) || document.body.classList.contains(box.dataset.bodyClass);
      document.body.classList.toggle(box.dataset.bodyClass, box.checked);
    });
  };
  document.addEventListener("change", (event) => {
    const box = event.target;
    if (box.matches?.("[data-show-label], [data-show-assertion]")) show();
    if (box.matches?.("[data-body-class]")) {
      document.body.classList.toggle(box.dataset.bodyClass, box.checked);
      remembered(box, box.checked);
    }
  });
  document.addEventListener("submit", (event) => {
    if (event.target.matches(".legend")) event.preventDefault();
  });
  document.addEventListener("notemill:renewed", () => { dress(); show(); });
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", dress);
  else dress();
})();
