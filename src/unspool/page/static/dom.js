// Elements, made of names, attributes and text. Text is always text: nothing here reads markup.

const SVG_TAGS = new Set(["svg", "path", "g", "line", "rect", "circle", "polyline", "text", "title"]);

export function h(tag, attributes, ...children) {
  const element = SVG_TAGS.has(tag) && tag !== "title" ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else if (name === "value" || name === "checked" || name === "disabled" || name === "selected") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Draw some views, then let them settle what depends on where everything stands, so that the browser lays the page out once.
export function drawAll(views, state) {
  for (const view of views) view.draw(state);
  for (const view of views) view.settle?.(state);
}

export function icon(name) {
  const shape = ICONS[name];
  return h("svg", { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" }, h("path", { d: shape }));
}

const ICONS = {
  run: "M4 2.5v11l9-5.5z",
  stop: "M4 4h8v8H4z",
  on: "M3 3v10l6-5zM10 3h2v10h-2z",
  again: "M8 3a5 5 0 1 1-4.6 3M8 3 5.5 1M8 3 5.5 5.2",
  undo: "M6.5 3 3 6.5 6.5 10M3.5 6.5H9a4 4 0 0 1 0 7H7",
  redo: "M9.500 3 13 6.500 9.500 10M12.500 6.500H7a4 4 0 0 0 0 7h2",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  close: "M4 4l8 8M12 4l-8 8",
  left: "M10 3 5 8l5 5",
  right: "M6 3l5 5-5 5",
  share: "M8 10V2M5 4.500 8 1.500l3 3M3 9v4.500h10V9",
  copy: "M6 6h7v8H6zM10 6V2.500H3V10h3",
  edit: "M3 13l.7-3L11 2.700 13.300 5 6 12.300z",
  fit: "M2.500 6V2.500H6M10 2.500h3.500V6M13.500 10v3.500H10M6 13.500H2.500V10",
  help: "M5.800 6a2.200 2.200 0 1 1 3.300 1.900c-.8.500-1.100.9-1.100 1.700M8 12.400v.2",
  light: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6M8 1v1.500M8 13.500V15M1 8h1.500M13.500 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1",
  both: "M2.500 3h4.500v10H2.500zM9 3h4.500v10H9z",
  lesson: "M8 4.500C6.500 3 4 2.800 2 3v9.500c2-.2 4.500 0 6 1.500 1.500-1.500 4-1.700 6-1.500V3c-2-.2-4.500 0-6 1.500zv9.500",
  open: "M2 13V3.500h4l1.500 2H14V13z",
};

let speaker = null;

export function say(text) {
  speaker ??= document.getElementById("said");
  if (speaker) speaker.textContent = text;
}

export function download(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
