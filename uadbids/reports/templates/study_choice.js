  // Columns to sort and filter by, and which scans are shown.
  const known = values => values.filter(value => value !== null && value !== undefined && value !== "");
  const heads = [
    { title: "Scan", key: i => data.scans[i] },
    { title: "Rating", key: i => ratingOf(i)[0] || null, cell: badge, words: true },
    { title: "Flags", key: i => data.flags[i] || null },
    { title: "Warnings", key: i => data.warnings[i], numeric: true },
    ...data.covariates.map(c => ({ title: c.title, key: i => c.values[i] ?? null, numeric: c.numeric,
      words: !c.numeric, covariate: true })),
    ...(new Set(data.settings).size > 1 ? [{ title: "Settings", key: i => Number(data.settings[i]), numeric: true }] : []),
    ...data.columns.map(c => ({ title: titled(c), about: c.description, key: i => c.values[i], numeric: true })),
  ];
  let sorted = { head: heads[0], up: true };
  const names = new Intl.Collator("en", { numeric: true });
  function compare(a, b) {
    const [x, y] = [a, b].map(sorted.head.key);
    if (x === null || y === null) return (x === null) - (y === null);
    const way = sorted.up ? 1 : -1;
    return way * (sorted.head.numeric ? x - y : names.compare(x, y));
  }

  const filters = new Map();  // title of a column -> [in words, whether a scan passes]
  const column = byId("filter-column"), terms = byId("filter-terms"), chips = byId("filters");
  const filterable = heads.filter(head => head.numeric || head.words);
  column.append(...filterable.map((head, k) => make("option", { value: k }, head.title)));
  function ask() {
    const head = filterable[column.value];
    if (head.numeric) {
      const ends = ["from", "to"].map(end => make("input", { type: "number", step: "any", id: `filter-${end}` }));
      terms.replaceChildren(...ends.map((field, k) => make("label", {}, ["from ", "to "][k], field)));
    } else {
      const values = [...new Set(known(all.map(head.key)))].sort(names.compare);
      const levels = head.title === "Rating" ? Object.keys(WORDS) : values;
      terms.replaceChildren(make("label", {}, "is ", make("select", { id: "filter-value" },
        ...levels.map(value => make("option", { value }, value)), make("option", { value: "" }, "not given"))));
    }
  }
  column.addEventListener("input", ask);
  byId("filter-add").addEventListener("click", () => {
    const head = filterable[column.value], end = id => byId(id).value;
    if (head.numeric) {
      const low = end("filter-from"), high = end("filter-to");
      if (!low && !high) return;
      const words = `${head.title} ${low && `from ${low} `}${high && `to ${high}`}`.trim();
      filters.set(head.title, [words, i => head.key(i) !== null
        && (!low || head.key(i) >= Number(low)) && (!high || head.key(i) <= Number(high))]);
    } else {
      const value = end("filter-value");
      filters.set(head.title, [`${head.title}: ${value || "not given"}`, i => (head.key(i) ?? "") === value]);
    }
    choose();
  });

  const search = byId("search"), flagged = byId("flagged"), settings = byId("settings-choice");
  const codes = i => data.flags[i] ? data.flags[i].split(",") : [];
  for (const code of [...new Set(all.flatMap(codes))].sort())
    flagged.append(make("option", { value: `=${code}` }, code));
  function choose() {
    const wanted = search.value.trim().toLowerCase(), flag = flagged.value;
    const isFlagged = i => flag === "" || (flag === "*" ? marked[i] : flag === "-" ? !marked[i] : codes(i).includes(flag.slice(1)));
    shown = all.filter(i => data.scans[i].toLowerCase().includes(wanted) && isFlagged(i)
      && (!settings?.value || data.settings[i] === settings.value)
      && [...filters.values()].every(([, passes]) => passes(i)));
    chips.replaceChildren(...[...filters].map(([title, [words]]) => {
      const button = make("button", { type: "button", class: "chip" }, `${words} ✕`);
      button.setAttribute("aria-label", `Remove the filter ${words}`);
      button.addEventListener("click", () => { filters.delete(title); choose(); });
      return button;
    }));
    byId("shown-count").textContent = `${shown.length} of ${all.length} scans`;
    first = 0;
    render();
    list();
  }
  for (const control of [search, flagged, settings]) control?.addEventListener("input", choose);
