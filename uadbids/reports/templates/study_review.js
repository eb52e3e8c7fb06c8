  // One scan after the other, with its page below the buttons; everything from the keyboard, too.
  const panel = byId("review"), note = byId("note");
  const open_now = () => !panel.hidden;
  const buttons = Object.fromEntries(Object.entries(WORDS).map(([rating, word]) => {
    const button = make("button", { type: "button", class: `action ${rating}`, "aria-pressed": "false" },
      `${SIGNS[rating]} ${word} (${word[0]})`);
    button.addEventListener("click", () => judge(rating));
    return [rating, button];
  }));
  byId("verdicts").append(...Object.values(buttons));

  // The address holds the scan, so that the browser's own back and reload work.
  function review(i) {
    const address = `#review=${encodeURIComponent(data.scans[i])}`;
    if (open_now()) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
    follow();
  }
  function follow() {
    const name = location.hash.startsWith("#review=") ? decodeURIComponent(location.hash.slice(8)) : null;
    const i = name === null ? -1 : data.scans.indexOf(name);
    const was = open_now();
    panel.hidden = i < 0;
    document.body.classList.toggle("reviewing", i >= 0);
    if (i < 0) { byId("frame").replaceChildren(); if (was) step(0); return; }
    current = i;
    mark();
    byId("review-name").textContent = data.scans[i];
    const place = order.indexOf(i);
    byId("review-place").textContent = [place < 0 ? "" : `${place + 1} of ${order.length}`,
      data.flags[i] && `flags: ${data.flags[i].replaceAll(",", ", ")}`].filter(Boolean).join("; ");
    note.value = ratingOf(i)[1];
    press();
    // A new frame each time leaves no trace in the browser's history.
    byId("frame").replaceChildren(link(i)
      ? make("iframe", { src: link(i), title: `Report of ${data.scans[i]}` })
      : make("p", {}, "There is no report of this scan."));
    if (!was) byId("review-next").focus();
  }
  const press = () => {
    for (const [rating, button] of Object.entries(buttons))
      button.setAttribute("aria-pressed", ratingOf(current)[0] === rating);
  };
  const judge = rating => {
    if (current < 0) return;
    // The same again takes it back.
    rate(current, ratingOf(current)[0] === rating ? "" : rating);
    if (open_now()) press();
  };
  const go = by => { step(by); if (open_now() && current >= 0) review(current); };
  const leave = () => { history.pushState(null, "", location.pathname + location.search); follow(); };
  note.addEventListener("input", () => rate(current, ratingOf(current)[0], note.value));
  byId("review-back").addEventListener("click", leave);
  byId("review-next").addEventListener("click", () => go(1));
  byId("review-previous").addEventListener("click", () => go(-1));
  byId("review-start").addEventListener("click", () => {
    if (current < 0 || !order.includes(current)) { current = -1; step(1); }
    if (current >= 0) review(current);
  });

  const KEYS = {
    j: () => go(1), k: () => go(-1),
    a: () => judge("accept"), d: () => judge("doubt"), r: () => judge("reject"),
    n: () => { if (open_now()) note.focus(); },
    Escape: () => { if (open_now()) leave(); },
    Enter: () => { if (!open_now() && current >= 0) review(current); },
  };
  addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (typing(event)) { if (event.key === "Escape") event.target.blur(); return; }
    // Enter on a button or a link is theirs.
    if (event.key === "Enter" && event.target !== document.body) return;
    const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (act) { event.preventDefault(); act(); }
  });
  // The page of a scan hands on the keys that it has no use for (viewer.js).
  addEventListener("message", event => {
    const frame = byId("frame").querySelector("iframe");
    if (frame && event.source === frame.contentWindow && Object.hasOwn(KEYS, event.data?.key)) KEYS[event.data.key]();
  });
  addEventListener("popstate", follow);
