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

  // Colours of a covariate: groups of scans, [name, colour, whether a scan is of it]. Those of Okabe
  // and Ito for words, and shades from light to dark for the fifths of numbers.
  const PLAIN = [["all", "#0b5c8a", () => true]], OTHERS = "#8b95a3";
  const HUES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
  const SHADES = ["#b5d3e7", "#7fb2d3", "#4a8fbd", "#1f6a9c", "#0a3f66"];
  let groups = PLAIN;
  function grouped(covariate) {
    if (!covariate) return PLAIN;
    const of = i => covariate.values[i] ?? null, missing = ["not given", OTHERS, i => of(i) === null];
    const values = all.map(of).filter(value => value !== null);
    if (covariate.numeric) {
      const ranked = values.sort((a, b) => a - b), cuts = [0, .2, .4, .6, .8, 1].map(q => quantile(ranked, q));
      const fifths = SHADES.map((colour, k) => [`${brief(cuts[k])} to ${brief(cuts[k + 1])}`, colour,
        i => of(i) !== null && (k === 0 || of(i) > cuts[k]) && of(i) <= cuts[k + 1]]);
      return [...fifths, missing];
    }
    const levels = [...new Set(values)].sort(), main = levels.slice(0, HUES.length);
    const found = main.map((level, k) => [level, HUES[k], i => of(i) === level]);
    if (levels.length > main.length)
      found.push(["others", OTHERS, i => of(i) !== null && !main.includes(of(i))]);
    return [...found, missing];
  }

  class Strip {
    constructor(column) {
      this.column = column;
      const values = all.filter(i => !rejected(i)).map(i => column.values[i])
        .filter(v => v !== null).sort((a, b) => a - b);
      this.quartiles = [0, .25, .5, .75, 1].map(share => quantile(values, share));
      [this.low, , , , this.high] = this.quartiles;
      this.root = column.skewed && this.low >= 0;
      if (this.root) this.low = 0;
      if (this.low === this.high) { this.low -= .5; this.high += .5; this.root = false; }
      const name = `strip-${column.title.replace(/\W+/g, "-")}`;
      this.svg = draw("svg", { role: "img", tabindex: 0, "aria-labelledby": `${name} ${name}-text` });
      const [lowest, , median, , highest] = this.quartiles.map(exact);
      const summary = values.length === 1 ? `1 scan: ${median}`
        : `${values.length} scans from ${lowest} to ${highest}, median ${median}`;
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
      this.order = shown.filter(i => values[i] !== null && !rejected(i)).sort((a, b) => values[a] - values[b] || a - b);
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
      const dot = i => `M${at(i).join(" ")}h0`;
      const unmarked = this.order.filter(i => !marked[i]);
      const dots = groups.map(([, colour, holds]) => draw("path", { class: "dots", stroke: colour,
        d: unmarked.filter(holds).map(dot).join(""), "stroke-width": size.toFixed(1) }));
      const s = (size * .75).toFixed(1);
      const diamond = i => `M${at(i)[0]} ${(at(i)[1] - s).toFixed(1)}l${s} ${s} -${s} ${s} -${s} -${s}z`;
      const flagged = this.order.filter(i => marked[i]);
      const marks = groups.map(([, colour, holds]) => draw("path", { class: "marks",
        d: flagged.filter(holds).map(diamond).join(""), "stroke-width": (size / 9).toFixed(1),
        ...(groups.length > 1 ? { fill: colour } : {}) }));
      this.ring = draw("circle", { class: "ring", r: Math.max(size, 6), visibility: "hidden" });
      this.svg.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
      this.svg.replaceChildren(
        draw("rect", { class: "box", x: q1, y: MIDDLE - SPREAD, width: Math.max(q3 - q1, 1), height: 2 * SPREAD }),
        draw("path", { class: "axis", d: `M${SIDE} ${BASE}H${this.width - SIDE}` }),
        ...this.ticks(),
        draw("text", { class: "scale", x: this.width / 2, y: BASE + 32, "text-anchor": "middle" },
          `${this.column.units || this.column.title}${this.root ? ", square-root scale" : ""}`),
        ...dots,
        ...marks,
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
  const colour = byId("colour-by"), legend = byId("legend");
  colour.append(...data.covariates.map((covariate, k) => make("option", { value: k }, covariate.title)));
  colour.closest("label").hidden = !data.covariates.length;
  colour.addEventListener("input", () => {
    groups = grouped(data.covariates[colour.value]).filter(([, , holds]) => all.some(holds));
    legend.replaceChildren(...(groups.length > 1 || colour.value ? groups : []).map(([name, shade]) => make("span", {},
      make("span", { class: "swatch", style: `background:${shade}`, "aria-hidden": "true" }), ` ${name}`)));
    render();
  });
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
      for (const c of data.covariates) if (c.values[i] != null) lines.push(`${c.title}: ${c.values[i]}`);
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

