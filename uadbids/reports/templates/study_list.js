  // The contact sheet and the table: a page of scans at a time, so that thousands do not slow it down.
  let first = 0, order = [], current = -1;
  const rows = make("tbody"), sheet = byId("sheet");
  const range = make("span", { "aria-live": "polite" });
  const by = head => {
    // Numbers are sorted for their extremes: the highest come first.
    sorted = { head, up: sorted.head === head ? !sorted.up : !head.numeric };
    first = 0;
    list();
  };
  const columns = heads.map(head => {
    const button = make("button", { type: "button", ...(head.about ? { title: head.about } : {}) }, head.title);
    button.addEventListener("click", () => by(head));
    return make("th", { scope: "col", class: head.numeric ? "n" : "" }, button);
  });
  const sorting = byId("sort-by");
  sorting.append(...heads.map((head, k) => make("option", { value: k }, head.title)));
  sorting.addEventListener("input", () => by(heads[sorting.value]));
  const turn = (text, move) => {
    const button = make("button", { type: "button" }, text);
    button.addEventListener("click", () => { first = move(); list(); });
    return button;
  };
  const back = turn("Previous", () => Math.max(0, first - PAGE));
  const on = turn("Next", () => first + PAGE);
  byId("table").append(
    make("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Table of all scans" },
      make("table", { class: "roomy" }, make("thead", {}, make("tr", {}, ...columns)), rows)));
  byId("pager").append(back, on, range);

  const named = i => {
    if (!link(i)) return data.scans[i];
    const name = make("a", { href: link(i) }, data.scans[i]);
    name.addEventListener("click", event => {
      // With a key of the browser's own it opens as any link does.
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      review(i);
    });
    return name;
  };
  const picture = i => {
    if (!data.thumbnails[i]) return make("span", { class: "none" }, "no picture");
    const path = [data.participants[i], "figures", `${data.scans[i]}_desc-thumbnail_FLAIR.svg`];
    return make("img", { loading: "lazy", src: path.map(encodeURIComponent).join("/"),
      alt: `${data.scans[i]}: largest finding, or what is doubtful` });
  };
  const value = (head, i) => {
    if (head.cell) return head.cell(i);
    const found = head.key(i);
    return found === null && !head.numeric ? "" : number(found).replaceAll(",", ", ");
  };

  function list() {
    order = [...shown].sort((a, b) => compare(a, b) || a - b);
    const page = order.slice(first, first + PAGE);
    rows.replaceChildren(...page.map(i => make("tr", { "data-scan": i }, ...heads.map((head, place) =>
      place === 0 ? make("td", { class: "name" }, named(i))
        : make("td", { class: head.numeric ? "n" : "name" }, value(head, i))))));
    sheet.replaceChildren(...page.map(i => {
      const card = make("li", { "data-scan": i }, picture(i), make("strong", {}, named(i)), badge(i),
        make("span", { class: "soft" }, data.flags[i].replaceAll(",", ", ")));
      if (sorted.head !== heads[0] && !sorted.head.cell)
        card.append(make("span", { class: "soft" }, `${sorted.head.title}: ${number(sorted.head.key(i))}`));
      return card;
    }));
    columns.forEach((cell, k) => {
      cell.toggleAttribute("aria-sort", false);
      const arrow = heads[k] === sorted.head ? (sorted.up ? " ▲" : " ▼") : "";
      if (arrow) cell.setAttribute("aria-sort", sorted.up ? "ascending" : "descending");
      cell.firstChild.textContent = heads[k].title + arrow;
    });
    sorting.value = heads.indexOf(sorted.head);
    range.textContent = order.length ? `${first + 1} to ${first + page.length} of ${order.length}` : "none";
    back.disabled = first === 0;
    on.disabled = first + PAGE >= order.length;
    mark();
  }

  function mark() {
    for (const each of document.querySelectorAll("[data-scan]"))
      each.classList.toggle("current", Number(each.dataset.scan) === current);
  }

  // To the next or previous scan in the order that is shown.
  function step(by) {
    const now = order.indexOf(current);
    const place = now < 0 ? (by > 0 ? first : first) : Math.min(Math.max(now + by, 0), order.length - 1);
    if (!order.length) return;
    current = order[place];
    const page = Math.floor(place / PAGE) * PAGE;
    if (page !== first) { first = page; list(); } else mark();
    const here = [...document.querySelectorAll(".current")].find(each => each.offsetParent);
    here?.scrollIntoView({ block: "nearest" });
  }

  for (const choice of document.querySelectorAll("[name=layout]"))
    choice.addEventListener("input", () => {
      byId("table").hidden = choice.value !== "table";
      sheet.hidden = choice.value !== "sheet";
    });
  if (data.thumbnails.some(Boolean)) byId("as-sheet").click();
