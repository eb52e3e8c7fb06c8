  // What all parts of the page of a study share: its data, and how elements are made.
  const data = JSON.parse(document.getElementById("data").textContent);
  const all = data.scans.map((_, i) => i);
  const marked = all.map(i => Boolean(data.flags[i] || data.warnings[i]));
  const PAGE = 50, HEIGHT = 92, SIDE = 14, MIDDLE = 28, SPREAD = 22, BASE = 56;
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
  const rejected = i => data.ratings[data.scans[i]]?.[0] === "reject";
  const typing = event => /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)
    && !/^(radio|checkbox|button)$/.test(event.target.type);
  const link = i => data.pages[i]
    ? `${encodeURIComponent(data.pages[i])}#${encodeURIComponent(data.scans[i])}` : "";
  const open = i => { if (link(i)) window.open(link(i), "_blank", "noopener"); };

