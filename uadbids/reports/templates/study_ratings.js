  // Ratings live in this browser, and go into a table that `group --ratings` reads.
  const WORDS = { accept: "Accept", doubt: "Doubt", reject: "Reject" };
  const SIGNS = { accept: "✓", doubt: "?", reject: "✗" };
  const STORE = `uadbids ratings of ${location.pathname}`;
  const ratings = new Map(Object.entries(data.ratings));
  const keep = () => {
    // A browser that keeps nothing still rates until the page is closed.
    try { localStorage.setItem(STORE, JSON.stringify([...ratings])); } catch { }
  };
  try {
    for (const [scan, rating] of JSON.parse(localStorage.getItem(STORE) ?? "[]")) ratings.set(scan, rating);
  } catch { }
  const ratingOf = i => ratings.get(data.scans[i]) ?? ["", ""];
  const rate = (i, rating, note = ratingOf(i)[1]) => {
    ratings.set(data.scans[i], [rating, note]);
    keep();
    count();
    for (const badge of document.querySelectorAll(`[data-rated="${i}"]`)) show(badge, i);
  };
  const show = (badge, i) => {
    const [rating, note] = ratingOf(i);
    badge.className = `rating ${rating}`;
    badge.textContent = rating ? `${SIGNS[rating]} ${rating}` : "";
    badge.title = note;
  };
  const badge = i => {
    const element = make("span", { "data-rated": i });
    show(element, i);
    return element;
  };
  const count = () => {
    const rated = all.filter(i => ratingOf(i)[0]);
    byId("rated-count").textContent = `${rated.length} of ${all.length} rated`;
    byId("export").disabled = !all.some(i => ratingOf(i).some(Boolean));
  };
  const cell = text => text.replaceAll(/\s+/g, " ").trim() || "n/a";
  byId("export").addEventListener("click", () => {
    const lines = all.filter(i => ratingOf(i).some(Boolean))
      .map(i => [data.scans[i], ...ratingOf(i)].map(cell).join("\t"));
    const table = ["scan\trating\tnote", ...lines, ""].join("\n");
    const address = URL.createObjectURL(new Blob([table], { type: "text/tab-separated-values" }));
    make("a", { href: address, download: "ratings.tsv" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  });
