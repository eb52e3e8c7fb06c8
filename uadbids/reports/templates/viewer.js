// Starts brainsprite in a page where a reader asks for it, and leads rows of the table of findings
// to their places. Data: `viewer.write_viewer`.
(() => {
  const PLANES = [["X", "Sagittal"], ["Y", "Coronal"], ["Z", "Axial"]];
  const LAYERS = [["findings", "Findings", true], ["above", "Anomaly map", false],
    ["below", "Below the threshold", false]];
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const load = address => new Promise((done, failed) => {
    const image = new Image();
    image.onload = () => done(image);
    image.onerror = () => failed(new Error("a picture of the viewer cannot be shown"));
    image.src = address;
  });

  class Viewer {
    constructor(place) {
      this.place = place;
      this.data = JSON.parse(place.querySelector("script").textContent);
      this.name = place.id;
    }

    // The images are unpacked when they are asked for, not before.
    start() { return this.started ??= this.open(); }

    async open() {
      const names = ["scan", ...LAYERS.map(([name]) => name)];
      this.images = Object.fromEntries(await Promise.all(
        names.map(async name => [name, await load(this.data[name])])));
      this.build();
      this.compose();
      const [X, Y, Z] = this.data.slices;
      this.brain = brainsprite({
        canvas: `${this.name}-canvas`, sprite: `${this.name}-sheet`, nbSlice: { X, Y, Z },
        crosshair: true, colorCrosshair: "#7fd4ff", radiological: true, showLR: true, smooth: true,
        sizeFont: .06, onclick: () => this.tell(),
      });
      this.canvas.addEventListener("wheel", event => this.wheel(event), { passive: false });
      // A drag that ends outside of the picture is over, too.
      addEventListener("mouseup", () => this.canvas.removeEventListener("mousemove", this.brain.clickBrain));
      this.tell();
    }

    build() {
      this.sheet = make("canvas", { id: `${this.name}-sheet`, hidden: "", "aria-hidden": "true" });
      this.sheet.width = this.images.scan.width;
      this.sheet.height = this.images.scan.height;
      this.canvas = make("canvas", { id: `${this.name}-canvas`, role: "img",
        "aria-label": "Sagittal, coronal and axial slice; the sliders below choose them" });
      this.shown = LAYERS.map(([name, label, on]) => {
        const box = make("input", { type: "checkbox", "data-layer": name });
        box.checked = on;
        box.addEventListener("input", () => this.refresh());
        return [name, box, make("label", {}, box, ` ${label}`)];
      });
      this.sliders = PLANES.map(([axis, label], place) => {
        const slider = make("input", { type: "range", min: 0, max: this.data.slices[place] - 1,
          "aria-label": `${label} slice` });
        slider.addEventListener("input", () => this.go({ [axis]: Number(slider.value) }));
        return [axis, slider, make("label", {}, `${label} `, slider)];
      });
      this.where = make("output", { class: "where" });
      const layers = make("fieldset", { "aria-label": "What the viewer shows" },
        ...this.shown.map(([, , label]) => label));
      const planes = make("div", { class: "planes" }, ...this.sliders.map(([, , label]) => label));
      this.place.querySelector(".start").remove();
      this.place.append(layers,
        make("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Viewer" },
          make("div", { class: "screen" }, this.canvas, this.sheet)), planes, this.where);
    }

    compose() {
      const context = this.sheet.getContext("2d");
      context.drawImage(this.images.scan, 0, 0);
      // Outlines lie over colours.
      for (const [name, box] of [...this.shown].reverse())
        if (box.checked) context.drawImage(this.images[name], 0, 0);
    }

    refresh() {
      this.compose();
      this.brain.init();
      this.brain.drawAll();
    }

    go(slices) {
      Object.assign(this.brain.numSlice, slices);
      this.brain.drawAll();
      this.tell();
    }

    wheel(event) {
      event.preventDefault();
      const { widthCanvas, numSlice } = this.brain;
      const x = event.clientX - this.canvas.getBoundingClientRect().left;
      const place = x < widthCanvas.X ? 0 : x < widthCanvas.X + widthCanvas.Y ? 1 : 2;
      const axis = PLANES[place][0], last = this.data.slices[place] - 1;
      const next = numSlice[axis] + (event.deltaY > 0 ? -1 : 1);
      this.go({ [axis]: Math.min(Math.max(next, 0), last) });
    }

    jump(number, text) {
      const [X, Y, Z] = this.data.places[number] ?? [];
      if (X === undefined) return;
      this.finding = text;
      this.go({ X, Y, Z });
      this.place.scrollIntoView({ block: "nearest" });
    }

    tell() {
      const { X, Y, Z } = this.brain.numSlice;
      for (const [axis, slider] of this.sliders) slider.value = this.brain.numSlice[axis];
      const mm = this.data.matrix.slice(0, 3)
        .map(row => Math.round(row[0] * X + row[1] * Y + row[2] * Z + row[3]));
      this.where.textContent = `MNI ${mm.join(", ").replaceAll("-", "\u2212")} mm`
        + (this.finding ? `. ${this.finding}` : "");
      this.finding = "";
    }
  }

  for (const place of document.querySelectorAll(".viewer")) {
    const viewer = new Viewer(place);
    const button = make("button", { type: "button", class: "start" },
      "Scroll through this scan in the viewer");
    button.addEventListener("click", () => viewer.start());
    place.append(button);
    for (const row of document.querySelectorAll(`tr[data-viewer="${place.id}"]`)) {
      const cell = row.cells[0], number = row.dataset.finding;
      if (!(number in viewer.data.places)) continue;
      const words = [...row.cells].slice(0, 3).map(each => each.textContent.trim()).join(", ");
      const jump = () => viewer.start().then(() => viewer.jump(number, `Finding ${words}`));
      const link = make("button", { type: "button", class: "jump",
        "aria-label": `Show finding ${number} in the viewer` }, ...cell.childNodes);
      cell.append(link);
      row.classList.add("leads");
      row.addEventListener("click", jump);
    }
  }
  // In the page of a study, keys lead from scan to scan (study_review.js).
  if (parent !== window) addEventListener("keydown", event => {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.ctrlKey || event.metaKey || event.altKey || !/^([jkadrn]|Escape)$/.test(key)) return;
    event.preventDefault();
    parent.postMessage({ key }, "*");
  });
  // A page without files beside it holds each figure once.
  for (const image of document.querySelectorAll("img[data-state]"))
    image.src = `${image.closest("figure").querySelector("img[src]").src}#${image.dataset.state}`;
})();
