  byId("controls").hidden = false;
  ask();
  count();
  choose();
  follow();
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; render(); } });
  addEventListener("scroll", () => point(null, -1), { passive: true });
