"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const all = data.scans.map((_, i) => i);
  const marked = all.map(i => Boolean(data.flags[i] || data.warnings[i]));
  const PAGE = 50, HEIGHT = 76, SIDE = 14, MIDDLE = 28, SPREAD = 22, BASE = 56;
  const NEAR = 14;  // a pointer this far from a point, in pixels, still means it
  let shown = all;

  const byId = id => document.getElementById(id);
  // Everything from the data goes through textContent and setAttribute: it is text, never markup.
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const draw = (tag, attributes = {}, text = "") => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.textContent = text;
    return element;
  };
  const number = value => value === null ? "n/a" : String(value);
  const exact = value => String(Number(value.toPrecision(4)));
  const brief = value => value && Math.abs(value) < 1e-3
    ? value.toExponential(1).replace(".0e", "e") : String(Number(value.toPrecision(3)));
  const titled = column => column.units ? `${column.title} (${column.units})` : column.title;
  const link = i => data.pages[i]
    ? `${encodeURIComponent(data.pages[i])}#${encodeURIComponent(data.scans[i])}` : "";
  const open = i => { if (link(i)) window.open(link(i), "_blank", "noopener"); };

  // Strip plots. A point's height means nothing; it spreads with the number of points beside it,
  // in a fixed order, so that the same study always looks the same.
  const quantile = (sorted, share) => {
    const place = (sorted.length - 1) * share, low = Math.floor(place);
    return sorted[low] + (place - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
  };
  const ticks = (low, high, skewed) => {
    const rough = (high - low) / (skewed ? 6 : 4) || 1;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map(m => m * power).find(s => s >= rough);
    const found = [];
    for (let k = Math.ceil(low / step); k * step <= high * (1 + 1e-9); k++)
      found.push(Number((k * step).toPrecision(6)));
    return found;
  };

  class Strip {
    constructor(column) {
      this.column = column;
      const values = column.values.filter(v => v !== null).sort((a, b) => a - b);
      this.quartiles = [0, .25, .5, .75, 1].map(share => quantile(values, share));
      [this.low, , , , this.high] = this.quartiles;
      this.root = column.skewed && this.low >= 0;
      if (this.root) this.low = 0;
      if (this.low === this.high) { this.low -= .5; this.high += .5; this.root = false; }
      const name = `strip-${column.title.replace(/\W+/g, "-")}`;
      this.svg = draw("svg", { role: "img", tabindex: 0, "aria-labelledby": `${name} ${name}-text` });
      const [lowest, , median, , highest] = this.quartiles.map(exact);
      const summary = `${values.length} scans from ${lowest} to ${highest}, median ${median}`;
      this.element = make("figure", { class: "strip" },
        make("figcaption", {}, make("strong", { id: name, title: column.description }, titled(column)),
          make("span", { class: "soft", id: `${name}-text` }, `: ${summary}`)),
        this.svg);
      this.svg.addEventListener("pointermove", event => point(this, this.near(event), event));
      this.svg.addEventListener("pointerleave", event => {
        if (event.pointerType === "mouse") point(this, -1);
      });
      this.svg.addEventListener("click", event => {
        const i = this.near(event);
        // A finger cannot hover: its tap shows the scan, with a link to open.
        if (i >= 0 && event.pointerType !== "touch") open(i); else point(this, i, event);
      });
      this.svg.addEventListener("keydown", event => this.key(event));
      this.svg.addEventListener("blur", () => point(this, -1));
    }

    x(value) {
      const scale = this.root ? Math.sqrt : v => v;
      const share = (scale(value) - scale(this.low)) / (scale(this.high) - scale(this.low));
      return SIDE + share * (this.width - 2 * SIDE);
    }

    place() {
      const { values } = this.column;
      this.order = shown.filter(i => values[i] !== null).sort((a, b) => values[a] - values[b] || a - b);
      const bins = new Map();
      const bin = i => Math.round(this.x(values[i]) / 6);
      for (const i of this.order) bins.set(bin(i), (bins.get(bin(i)) || 0) + 1);
      const most = Math.max(8, ...bins.values());
      this.points = new Map(this.order.map((i, rank) => {
        const here = bins.get(bin(i));
        // Steps of the golden ratio fill an interval evenly, however many they are.
        const spread = here === 1 ? 0 : ((rank * 0.6180339887) % 1 - .5) * 2 * here / most;
        return [i, [this.x(values[i]), MIDDLE + SPREAD * spread]];
      }));
    }

    render() {
      this.width = Math.max(this.element.clientWidth, 240);
      this.place();
      const size = Math.max(2.4, 9 - 1.8 * Math.log10(this.order.length + 1));
      const [, q1, median, q3] = this.quartiles.map(q => this.x(q));
      const at = i => this.points.get(i).map(v => v.toFixed(1));
      const dots = this.order.filter(i => !marked[i]).map(i => `M${at(i).join(" ")}h0`).join("");
      const s = (size * .75).toFixed(1);
      const marks = this.order.filter(i => marked[i]).map(i =>
        `M${at(i)[0]} ${(at(i)[1] - s).toFixed(1)}l${s} ${s} -${s} ${s} -${s} -${s}z`).join("");
      this.ring = draw("circle", { class: "ring", r: Math.max(size, 6), visibility: "hidden" });
      this.svg.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
      this.svg.replaceChildren(
        draw("rect", { class: "box", x: q1, y: MIDDLE - SPREAD, width: Math.max(q3 - q1, 1), height: 2 * SPREAD }),
        draw("path", { class: "axis", d: `M${SIDE} ${BASE}H${this.width - SIDE}` }),
        ...this.ticks(),
        draw("path", { class: "dots", d: dots, "stroke-width": size.toFixed(1) }),
        draw("path", { class: "marks", d: marks, "stroke-width": (size / 9).toFixed(1) }),
        draw("path", { class: "median", d: `M${median} ${MIDDLE - SPREAD - 4}v9m0 ${2 * SPREAD - 10}v9` }),
        this.ring);
    }

    ticks() {
      let free = 0;  // where the next text may begin
      return ticks(this.low, this.high, this.root).flatMap(value => {
        const x = this.x(value), text = brief(value), half = 3.5 * text.length;
        const mark = draw("path", { class: "axis", d: `M${x} ${BASE}v4` });
        const middle = Math.min(Math.max(x, half), this.width - half);
        if (middle - half < free) return [mark];
        free = middle + half + 8;
        return [mark, draw("text", { x: middle, y: BASE + 16, "text-anchor": "middle" }, text)];
      });
    }

    near(event) {
      const frame = this.svg.getBoundingClientRect(), scale = this.width / frame.width;
      const x = (event.clientX - frame.left) * scale, y = (event.clientY - frame.top) * scale;
      let best = -1, least = NEAR ** 2;
      for (const [i, [px, py]] of this.points) {
        const distance = (px - x) ** 2 + (py - y) ** 2;
        if (distance < least) { least = distance; best = i; }
      }
      return best;
    }

    key(event) {
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      const ends = { Home: 0, End: this.order.length - 1 }[event.key];
      const now = this.order.indexOf(active);
      if (event.key === "Enter" && now >= 0) return open(active);
      if (event.key === "Escape") return point(this, -1);
      if (step === undefined && ends === undefined) return undefined;
      event.preventDefault();
      const next = ends ?? (now < 0 ? (step > 0 ? 0 : this.order.length - 1) : now + step);
      return point(this, this.order[Math.min(Math.max(next, 0), this.order.length - 1)] ?? -1);
    }

    mark(i) {
      const place = this.points.get(i);
      this.ring.setAttribute("visibility", place ? "visible" : "hidden");
      if (place) { this.ring.setAttribute("cx", place[0]); this.ring.setAttribute("cy", place[1]); }
    }
  }

  const strips = data.columns.filter(c => c.values.some(v => v !== null)).map(c => new Strip(c));
  byId("strips").append(...strips.map(strip => strip.element));
  const render = () => { point(null, -1); for (const strip of strips) strip.render(); };

  // The scan that is pointed at, in all strips.
  const tip = byId("tip");
  let active = -1;
  function point(strip, i, event) {
    if (i !== active) {
      active = i;
      for (const each of strips) each.ring && each.mark(i);
      tip.hidden = i < 0;
      if (i < 0) return;
      const name = link(i)
        ? make("a", { href: link(i), target: "_blank", rel: "noopener" }, data.scans[i])
        : data.scans[i];
      const lines = [`${titled(strip.column)}: ${number(strip.column.values[i])}`];
      if (data.flags[i]) lines.push(`Flags: ${data.flags[i].replaceAll(",", ", ")}`);
      if (data.warnings[i]) lines.push(`Warnings: ${data.warnings[i]}`);
      if (!link(i)) lines.push("No report");
      tip.replaceChildren(make("strong", {}, name), ...lines.map(line => make("div", {}, line)));
    }
    if (i < 0) return;
    const frame = strip.svg.getBoundingClientRect();
    const [x, y] = strip.points.get(i);
    const left = frame.left + x * frame.width / strip.width;
    const top = frame.top + y * frame.height / HEIGHT;
    tip.style.left = `${Math.max(4, Math.min(left + 12, innerWidth - tip.offsetWidth - 8))}px`;
    const above = top - tip.offsetHeight - 14;
    tip.style.top = `${above > 4 ? above : top + 14}px`;
  }

  // The table: a page of rows at a time, so that thousands of scans do not slow it down.
  const heads = [
    { title: "Scan", key: i => data.scans[i] },
    { title: "Flags", key: i => data.flags[i] || null },
    { title: "Warnings", key: i => data.warnings[i], numeric: true },
    ...(new Set(data.settings).size > 1 ? [{ title: "Settings", key: i => Number(data.settings[i]), numeric: true }] : []),
    ...data.columns.map(c => ({ title: titled(c), about: c.description, key: i => c.values[i], numeric: true })),
  ];
  let sorted = { head: heads[0], up: true }, first = 0;
  const names = new Intl.Collator("en", { numeric: true });
  const rows = make("tbody"), range = make("span", { "aria-live": "polite" });
  const columns = heads.map(head => {
    const button = make("button", { type: "button", ...(head.about ? { title: head.about } : {}) }, head.title);
    const cell = make("th", { scope: "col", class: head.numeric ? "n" : "" }, button);
    button.addEventListener("click", () => {
      // Numbers are sorted for their extremes: the highest come first.
      sorted = { head, up: sorted.head === head ? !sorted.up : !head.numeric };
      first = 0;
      list();
    });
    return cell;
  });
  const turn = (text, move) => {
    const button = make("button", { type: "button" }, text);
    button.addEventListener("click", () => { first = move(); list(); });
    return button;
  };
  const back = turn("Previous", () => Math.max(0, first - PAGE));
  const on = turn("Next", () => first + PAGE);
  byId("table").append(
    make("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Table of all scans" },
      make("table", { class: "roomy" }, make("thead", {}, make("tr", {}, ...columns)), rows)),
    make("div", { class: "pager" }, back, on, range));

  function compare(a, b) {
    const [x, y] = [a, b].map(sorted.head.key);
    if (x === null || y === null) return (x === null) - (y === null);
    const way = sorted.up ? 1 : -1;
    return way * (sorted.head.numeric ? x - y : names.compare(x, y));
  }

  function list() {
    const order = [...shown].sort((a, b) => compare(a, b) || a - b);
    const page = order.slice(first, first + PAGE);
    rows.replaceChildren(...page.map(i => make("tr", {}, ...heads.map((head, place) => {
      if (place === 0) return make("td", { class: "name" }, link(i) ? make("a", { href: link(i) }, data.scans[i]) : data.scans[i]);
      const value = head.key(i);
      return make("td", { class: head.numeric ? "n" : "name" }, value === null && !head.numeric ? "" : number(value).replaceAll(",", ", "));
    }))));
    columns.forEach((cell, k) => {
      cell.toggleAttribute("aria-sort", false);
      const arrow = heads[k] === sorted.head ? (sorted.up ? " ▲" : " ▼") : "";
      if (arrow) cell.setAttribute("aria-sort", sorted.up ? "ascending" : "descending");
      cell.firstChild.textContent = heads[k].title + arrow;
    });
    range.textContent = order.length ? `${first + 1} to ${first + page.length} of ${order.length}` : "none";
    back.disabled = first === 0;
    on.disabled = first + PAGE >= order.length;
  }

  // Which scans are shown.
  const search = byId("search"), flagged = byId("flagged"), settings = byId("settings-choice");
  const codes = i => data.flags[i] ? data.flags[i].split(",") : [];
  for (const code of [...new Set(all.flatMap(codes))].sort())
    flagged.append(make("option", { value: `=${code}` }, code));
  function choose() {
    const wanted = search.value.trim().toLowerCase(), flag = flagged.value;
    const isFlagged = i => flag === "" || (flag === "*" ? marked[i] : flag === "-" ? !marked[i] : codes(i).includes(flag.slice(1)));
    shown = all.filter(i => data.scans[i].toLowerCase().includes(wanted) && isFlagged(i)
      && (!settings?.value || data.settings[i] === settings.value));
    byId("shown-count").textContent = `${shown.length} of ${all.length} scans`;
    first = 0;
    render();
    list();
  }
  for (const control of [search, flagged, settings]) control?.addEventListener("input", choose);
  byId("controls").hidden = false;
  choose();
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; render(); } });
  addEventListener("scroll", () => point(null, -1), { passive: true });
})();
