// Corrections: choose a mention in the note by pointer or keyboard, then correct it in the card below.
// Positions count Unicode code points; a browser counts UTF-16 units, so they are converted.
(() => {
  "use strict";
  const byId = (id) => document.getElementById(id);
  const card = () => byId("correction");
  const mentions = () => [...byId("note").querySelectorAll("mark.mention[id]:not(.is-hidden)")];
  let chosen = null; // the mention's element, or null while one is added
  let draft = null; // {start, end} in the note, as it will be sent
  let letters = []; // the note, a character each

  const read = () => { letters = [...byId("note").textContent]; };
  const words = () => letters.slice(draft.start, draft.end).join("").replace(/\s+/g, " ");

  // ---- choosing -------------------------------------------------------------------------------------------
  const stop = (mark) => {
    mentions().forEach((one) => { one.tabIndex = one === mark ? 0 : -1; });
  };

  const choose = (mark) => {
    const form = card();
    document.querySelectorAll(".is-chosen").forEach((one) => one.classList.remove("is-chosen"));
    chosen = mark;
    draft = { start: Number(mark.dataset.start), end: Number(mark.dataset.end) };
    document.querySelectorAll(`[data-mention="${CSS.escape(mark.id)}"]`).forEach((one) => one.classList.add("is-chosen"));
    stop(mark);
    form.hidden = false;
    open(false);
    form.querySelector("[data-words]").textContent = words();
    form.querySelector("[data-more]").textContent = mark.dataset.more;
    form.elements.label.value = mark.dataset.label;
    form.elements.assertion.value = mark.dataset.assertion;
    form.querySelector('[data-for="found"]').hidden = false;
    form.querySelector('[data-verdict="withdraw"]').hidden = !mark.dataset.verdict;
    form.querySelectorAll("[data-verdict]").forEach((one) => {
      if (one.dataset.verdict !== "withdraw") one.setAttribute("aria-pressed", String(one.dataset.verdict === mark.dataset.verdict));
    });
  };

  // The card covers part of the note; the chosen mention stays visible.
  const keepInSight = (mark) => mark.scrollIntoView({ block: "nearest" });

  const close = () => {
    const back = chosen;
    card().hidden = true;
    document.querySelectorAll(".is-chosen").forEach((one) => one.classList.remove("is-chosen"));
    chosen = draft = null;
    back?.focus({ preventScroll: true });
  };

  const step = (by) => {
    const all = mentions();
    if (!all.length) return;
    const place = chosen ? all.indexOf(chosen) : by > 0 ? -1 : 0;
    const next = all[(place + by + all.length) % all.length];
    choose(next);
    next.focus({ preventScroll: true });
    keepInSight(next);
  };

  // ---- fixing ---------------------------------------------------------------------------------------------
  const open = (isOpen) => {
    const form = card();
    form.querySelector('[data-for="fix"]').hidden = !isOpen;
    form.querySelector("[data-fix]").setAttribute("aria-expanded", String(isOpen));
    if (!isOpen) return;
    form.elements.label.focus();
    keepInSight(chosen);
  };

  const isSpace = (place) => /\s/.test(letters[place] ?? " ");
  // To the next edge of a word in this direction: beginnings for `start`, ends for `end`.
  const edge = (side, place, by) => {
    const isEdge = (at) => side === "start" ? !isSpace(at) && isSpace(at - 1) : !isSpace(at - 1) && isSpace(at);
    for (let at = place + by; at >= 0 && at <= letters.length; at += by) if (isEdge(at)) return at;
    return place;
  };
  const move = (side, by) => {
    const moved = { ...draft, [side]: edge(side, draft[side], by) };
    if (moved.end <= moved.start) return;
    draft = moved;
    card().querySelector("[data-words]").textContent = words();
    paint();
  };

  // The draft is shown as the browser's own selection, so that the note's elements stay as they are.
  const pointAt = (place) => {
    let left = place;
    const walker = document.createTreeWalker(byId("note"), NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const own = [...node.data];
      if (left <= own.length) return [node, own.slice(0, left).join("").length];
      left -= own.length;
    }
    return null;
  };
  const paint = () => {
    const [from, to] = [pointAt(draft.start), pointAt(draft.end)];
    if (from && to) getSelection().setBaseAndExtent(...from, ...to);
  };

  // ---- adding ---------------------------------------------------------------------------------------------
  const placeOf = (node, offset) => {
    const range = document.createRange();
    range.selectNodeContents(byId("note"));
    range.setEnd(node, offset);
    return [...range.toString()].length;
  };
  const add = (start, end) => {
    const form = card();
    document.querySelectorAll(".is-chosen").forEach((one) => one.classList.remove("is-chosen"));
    chosen = null;
    draft = { start, end };
    form.hidden = false;
    form.querySelector('[data-for="found"]').hidden = true;
    form.querySelector("[data-words]").textContent = words();
    form.querySelector("[data-more]").textContent = "a mention that was missed";
    form.elements.assertion.value = "present";
    form.querySelector('[data-for="fix"]').hidden = false;
  };
  const addSelected = () => {
    const selection = getSelection();
    const box = byId("note");
    if (selection.isCollapsed || !selection.rangeCount) return;
    const range = selection.getRangeAt(0);
    if (!box.contains(range.startContainer) || !box.contains(range.endContainer)) return;
    read();
    let [start, end] = [placeOf(range.startContainer, range.startOffset), placeOf(range.endContainer, range.endOffset)];
    while (start < end && isSpace(start)) start += 1;
    while (end > start && isSpace(end - 1)) end -= 1;
    if (end > start) add(start, end);
  };
  // By keyboard: the next occurrence of these words after the one shown last.
  const find = (asked) => {
    read();
    const low = letters.map((letter) => { const lower = letter.toLowerCase(); return [...lower].length === 1 ? lower : letter; });
    const wanted = [...asked.trim().toLowerCase()];
    if (!wanted.length) return;
    const first = draft && !chosen ? draft.start + 1 : 0;
    for (let turn = 0; turn < low.length; turn += 1) {
      const at = (first + turn) % low.length;
      if (wanted.every((letter, place) => low[at + place] === letter)) {
        add(at, at + wanted.length);
        paint();
        pointAt(at)?.[0].parentElement.scrollIntoView({ block: "center" });
        tell(`Found ${words()}. Choose a label and save, or find the next.`);
        return;
      }
    }
    tell("The note does not contain these words.");
  };

  // ---- sending --------------------------------------------------------------------------------------------
  const tell = (text) => { byId("told").textContent = text; };
  const send = async (fields, said) => {
    const form = card();
    const shown = byId("note").scrollTop;
    const place = chosen ? mentions().indexOf(chosen) : -1;
    const id = chosen?.id;
    let response;
    try {
      response = await fetch(form.action, { method: "POST", body: new URLSearchParams(fields), credentials: "same-origin" });
    } catch {
      tell("Not saved: notemill view does not answer.");
      return;
    }
    if (!response.ok) {
      tell("Not saved. Load the page again.");
      return;
    }
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    document.querySelector(".note-side").replaceWith(fresh.querySelector(".note-side"));
    document.querySelector(".mentions").replaceWith(fresh.querySelector(".mentions"));
    document.dispatchEvent(new Event("notemill:renewed"));
    byId("note").scrollTop = shown;
    getSelection().removeAllRanges();
    chosen = draft = null;
    ready();
    tell(said);
    const again = (id && byId(id)) || mentions()[Math.max(place, 0)];
    if (!again) return;
    choose(again);
    again.focus({ preventScroll: true });
    keepInSight(again);
  };

  const say = (verdict) => {
    if (!chosen) return;
    const { foundStart, foundEnd, foundLabel, start, end, label, assertion } = chosen.dataset;
    const result = { accepted: "Accepted", rejected: "Rejected", withdraw: "Undone" }[verdict];
    send(
      { verdict, found_start: foundStart, found_end: foundEnd, found_label: foundLabel, start, end, label, assertion },
      `${result}: ${words()}.`,
    );
  };
  const save = () => {
    const { label, assertion } = card().elements;
    const { start, end } = draft;
    const found = chosen
      ? { verdict: "fixed", found_start: chosen.dataset.foundStart, found_end: chosen.dataset.foundEnd, found_label: chosen.dataset.foundLabel }
      : { verdict: "added", found_start: start, found_end: end, found_label: label.value };
    if (chosen?.dataset.verdict === "added") found.verdict = "added";
    send({ ...found, start, end, label: label.value, assertion: assertion.value }, `Saved: ${words()}.`);
  };

  // ---- events ---------------------------------------------------------------------------------------------
  document.addEventListener("click", (event) => {
    const at = (selector) => event.target.closest?.(selector);
    const mark = at("mark.mention[data-mention]");
    if (mark && getSelection().isCollapsed) {
      choose(byId(mark.dataset.mention));
      chosen.focus({ preventScroll: true });
      keepInSight(chosen);
    } else if (at("[data-to-mention]")) {
      event.preventDefault();
      const target = byId(at("[data-to-mention]").dataset.toMention);
      choose(target);
      target.focus({ preventScroll: true });
      target.scrollIntoView({ block: "center" });
    } else if (at("[data-accept-rest]")) {
      send({ verdict: "accept_rest" }, "The remaining mentions are accepted.");
    } else if (at("#correction [data-verdict]")) say(at("[data-verdict]").dataset.verdict);
    else if (at("#correction [data-fix]")) open(card().querySelector('[data-for="fix"]').hidden);
    else if (at("#correction [data-step]")) step(Number(at("[data-step]").dataset.step));
    else if (at("#correction [data-move]")) move(...at("[data-move]").dataset.move.split(" ").map((one, place) => place ? Number(one) : one));
    else if (at("#correction [data-close]")) close();
  });
  document.addEventListener("pointerup", (event) => {
    // Deferred until the click has cleared the selection; not for the card's buttons, which select as well.
    if (event.target.closest?.("#note")) setTimeout(addSelected);
  });
  document.addEventListener("submit", (event) => {
    if (event.target.matches("#correction")) {
      event.preventDefault();
      if (draft) save();
    } else if (event.target.matches("#find")) {
      event.preventDefault();
      find(event.target.elements.words.value);
    }
  });
  // Letter keys work only while a mention or the card has the focus, so that other elements keep theirs.
  const KEYS = { a: () => say("accepted"), r: () => say("rejected"), u: () => say("withdraw"), f: () => open(true) };
  const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const isOnMention = event.target.matches?.("mark.mention");
    const isInCard = Boolean(event.target.closest?.("#correction"));
    if (event.key === "Escape" && (isInCard || isOnMention)) close();
    else if (isOnMention && event.key in STEPS) step(STEPS[event.key]);
    else if (isOnMention && (event.key === "Enter" || event.key === " ")) card().querySelector("button[data-verdict]").focus();
    else if ((isOnMention || (isInCard && event.target.matches("button"))) && event.key in KEYS) KEYS[event.key]();
    else return;
    event.preventDefault();
  });
  document.addEventListener("focusin", (event) => {
    if (event.target.matches?.("mark.mention[id]") && event.target !== chosen) choose(event.target);
  });

  const ready = () => {
    read();
    const first = mentions()[0];
    if (first) first.tabIndex = 0; // one stop for the Tab key; the arrow keys move between mentions
  };
  ready();
})();
