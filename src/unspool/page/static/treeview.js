// The tree of all texts on a canvas: what was kept, finished and pruned, and why. Only what is in view is drawn, so thousands of nodes do.

import { marked, shortened } from "./bytes.js";
import { fill, h, icon, say } from "./dom.js";
import { ROW, inOrder, laidOut } from "./treelayout.js";
import { paintEdges, paintNode } from "./treepaint.js";
import { fixed, percent, reasonWord, t } from "./words.js";

const FONT = "13px ui-monospace, 'DejaVu Sans Mono', 'Noto Sans Mono CJK KR', Menlo, Consolas, monospace";
const MARGIN = 14;

export function treeView(lab) {
  const canvas = h("canvas", { tabindex: "0", role: "application", "aria-label": t("tree"), id: "tree-canvas", "aria-describedby": "tree-note" });
  const note = h("p", { class: "treenote", id: "tree-note" }, t("emptyTree"));
  const count = h("span", { class: "quiet" });
  const proofs = h("p", { class: "proofs" });
  const folded = new Set();
  const view = { x: MARGIN, y: MARGIN, scale: 1, touched: false };
  const widths = new Map();
  let layout = null;
  let made = "";
  let followed = null;
  let hover = null;
  let cursor = null;
  const brush = canvas.getContext("2d");
  // What drawing needs of the page, read when it changes: to ask at every step would make the browser lay out the page in the middle of it.
  const frameSize = { w: 0, h: 0, usual: 1 };
  let penned = false;
  let colours = null;
  const tool = (name, key, action, extra = {}) => h("button", { type: "button", class: "tool", title: `${t(name)}${key ? ` (${key})` : ""}`, "aria-label": t(name), onclick: action, ...extra }, icon({ fit: "fit", zoomIn: "plus", zoomOut: "minus" }[name] ?? "fit"));
  const toggle = h("button", { type: "button", role: "switch", class: "quietly", onclick: () => lab.set({ pruned: !lab.state.pruned }) }, t("pruned"));
  const legend = h("span", { class: "treelegend", "aria-hidden": "true" }, ["best", "kept", "finished", "prunedNode"].map((kind) => h("span", { class: `k-${kind}` }, t(kind))));
  const frame = h("div", { class: "canvas" }, canvas);
  const root = h("section", { class: "card treecard", "aria-labelledby": "tree-title" },
    h("header", null, h("h2", { id: "tree-title" }, t("tree")), count, legend, toggle, tool("zoomOut", "−", () => zoom(1 / 1.3)), tool("zoomIn", "+", () => zoom(1.3)), tool("fit", "f", () => fit(true))),
    frame, proofs, note);

  function label(node) {
    if (!node.parent) return marked(shortened(lab.vocabulary.text((lab.forest?.prompt ?? []).slice(0, 40)), 28));
    const ways = node.count > 1 ? ` ×${node.count}` : "";
    const word = lab.forest.label(node);
    return shortened(word.replace(/^␣+(?=[^␣])|(?<=[^␣])␣+$/g, ""), 24) + ways;
  }

  function widthOf(node) {
    const text = label(node);
    if (!widths.has(text)) widths.set(text, Math.ceil(brush.measureText(text).width) + 12);
    return widths.get(text);
  }

  function measure() {
    const usual = parseFloat(getComputedStyle(document.documentElement).fontSize) / 15;
    Object.assign(frameSize, { w: frame.clientWidth, h: frame.clientHeight, usual });
    if (!view.touched) [made, followed] = ["", null];
    lab.draw();
  }

  function pen() {
    if (penned) return;
    brush.font = FONT;
    penned = true;
  }

  function coloursNow() {
    const asked = root.getRootNode().host?.dataset.theme ?? document.documentElement.dataset.theme;
    const key = `${asked} ${matchMedia("(prefers-color-scheme: dark)").matches}`;
    if (colours?.key !== key) {
      const style = getComputedStyle(root);
      colours = Object.fromEntries(["ink", "faint", "line", "accent", "soft", "card", "cut", "sel"].map((name) => [name, style.getPropertyValue(`--${name}`)]));
      colours.key = key;
    }
    return colours;
  }

  function compute() {
    const forest = lab.forest;
    const key = forest ? `${forest.version} ${lab.state.pruned} ${folded.size} ${folded.version ?? 0} ${lab.state.runs.length}` : "";
    if (key === made && layout?.forest === forest) return;
    made = key;
    pen();
    layout = forest ? { ...laidOut(forest.root, { pruned: lab.state.pruned, folded, width: widthOf }), forest } : null;
    if (layout) {
      layout.of = new Map(layout.items.map((item) => [item.node, item]));
      if (!view.touched) fit(false);
    }
  }

  function fit(whole) {
    if (!layout) return;
    const { w, h: hgt, usual } = frameSize;
    const least = whole ? 0.02 : 0.75 * usual;
    view.scale = Math.max(least, Math.min(usual, (w - 2 * MARGIN) / layout.width, (hgt - 2 * MARGIN) / layout.height));
    view.x = MARGIN;
    view.y = MARGIN;
    if (whole) view.touched = true;
    if (!whole) inView(lab.path.at(-1));
    lab.draw();
  }

  function zoom(by, x = frameSize.w / 2, y = frameSize.h / 2) {
    const scale = Math.max(0.02, Math.min(3, view.scale * by));
    view.x = x - ((x - view.x) * scale) / view.scale;
    view.y = y - ((y - view.y) * scale) / view.scale;
    Object.assign(view, { scale, touched: true });
    lab.draw();
  }

  // Move the view so that a node is seen.
  function inView(node) {
    const item = layout?.of.get(node);
    if (!item) return;
    const { w, h: hgt } = frameSize;
    const left = item.x * view.scale + view.x;
    const top = item.row * ROW * view.scale + view.y;
    if (left + item.w * view.scale > w - 30) view.x -= left + item.w * view.scale - w + 60;
    if (left < 10) view.x += 40 - left;
    if (top + ROW * view.scale > hgt - 10) view.y -= top + ROW * view.scale - hgt + 30;
    if (top < 5) view.y += 20 - top;
  }

  function paint() {
    compute();
    const ratio = window.devicePixelRatio || 1;
    const { w, h: hgt } = frameSize;
    if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(hgt * ratio)) {
      canvas.width = Math.round(w * ratio);
      canvas.height = Math.round(hgt * ratio);
      penned = false;                                                  // a canvas of another size forgets its font
    }
    brush.setTransform(1, 0, 0, 1, 0, 0);
    brush.clearRect(0, 0, canvas.width, canvas.height);
    if (!layout) return;
    brush.setTransform(ratio * view.scale, 0, 0, ratio * view.scale, ratio * view.x, ratio * view.y);
    const colour = coloursNow();
    const top = -view.y / view.scale;
    const bottom = (hgt - view.y) / view.scale;
    const leftmost = -view.x / view.scale;
    const rightmost = (w - view.x) / view.scale;
    const shown = new Set(lab.path);
    const first = Math.max(0, Math.floor(top / ROW) - 1);
    const last = Math.min(layout.rows.length - 1, Math.ceil(bottom / ROW));
    const words = view.scale > 0.42;
    brush.font = FONT;
    brush.textBaseline = "middle";
    paintEdges(brush, layout, { first, last, top, shown, colour });
    for (let row = first; row <= last; row++) {
      for (const item of layout.rows[row] ?? []) {
        if (item.x > rightmost || item.x + item.w < leftmost) continue;
        const { node } = item;
        const here = Boolean(node.parent) && node.depth - 1 === lab.state.at && shown.has(node);
        const active = shown.has(node) || !node.parent;
        paintNode(brush, item, words ? label(node) : "", { active, mine: item === hover || node === cursor, here, words, colour });
      }
    }
  }

  function at(event) {
    if (!layout) return null;
    const box = canvas.getBoundingClientRect();
    const x = (event.clientX - box.left - view.x) / view.scale;
    const y = (event.clientY - box.top - view.y) / view.scale;
    return (layout.rows[Math.floor(y / ROW)] ?? []).find((item) => x >= item.x - 3 && x <= item.x + item.w + 3) ?? null;
  }

  function told(node) {
    if (!node?.parent) return t("prompt");
    const word = lab.forest.label(node);
    if (node.pruned === true) return `${word} · ${t("prunedNode")}: ${node.reason} · ${t("score")} ${fixed(node.score)}`;
    const parts = [word, node.logprob === null ? "0 %" : percent(Math.exp(node.logprob)), `${t("score")} ${fixed(node.score)}`];
    if (node.count > 1) parts.push(`${node.count} ${t("ways")}`);
    if (node.reason) parts.push(`${t("finished")}: ${reasonWord(node.reason)}`);
    return parts.join(" · ");
  }

  function choose(node) {
    if (!node) return;
    cursor = node;
    if (node.pruned === true) {
      lab.following = false;
      Object.assign(lab.state, { text: node.parent.path(), at: node.parent.depth });
      lab.force(node.token, node.parent.depth);
    } else lab.visit(node.path());
  }

  function fold(node) {
    if (!node || node.pruned === true || !inOrder(node, lab.state.pruned).length) return;
    if (folded.has(node)) folded.delete(node);
    else folded.add(node);
    folded.version = (folded.version ?? 0) + 1;
    lab.draw();
  }

  function walk(key) {
    const node = cursor && layout?.of.has(cursor) ? cursor : lab.path[lab.state.at] ?? lab.path.at(-1) ?? lab.forest?.root;
    const item = layout?.of.get(node);
    if (!item) return;
    let next = null;
    if (key === "ArrowLeft") next = node.parent;
    else if (key === "ArrowRight") next = folded.has(node) ? null : inOrder(node, lab.state.pruned)[0];
    else {
      const by = key === "ArrowDown" ? 1 : -1;
      for (let row = item.row + by; row >= 0 && row < layout.rows.length && !next; row += by) {
        next = (layout.rows[row] ?? []).reduce((best, other) => (!best || Math.abs(other.x - item.x) < Math.abs(best.x - item.x) ? other : best), null)?.node ?? null;
      }
    }
    if (!next) return;
    cursor = next;
    view.touched = true;
    inView(next);
    note.textContent = told(next);
    say(told(next));
    lab.draw();
  }

  const pointers = new Map();
  let moved = false;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event);
    moved = false;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) {
      hover = at(event);
      canvas.style.setProperty("cursor", hover ? "pointer" : "grab");
      note.textContent = hover ? told(hover.node) : t("treeHint");
      return lab.draw();
    }
    const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
    if (pointers.size === 2) {
      const other = [...pointers.values()].find((one) => one.pointerId !== event.pointerId);
      const far = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
      const box = canvas.getBoundingClientRect();
      zoom(far(event) / Math.max(1, far(before)), (event.clientX + other.clientX) / 2 - box.left, (event.clientY + other.clientY) / 2 - box.top);
    } else if (moved || Math.hypot(dx, dy) > 3) {
      moved = true;
      view.touched = true;
      view.x += dx;
      view.y += dy;
      lab.draw();
    } else return;
    moved = true;
    pointers.set(event.pointerId, event);
  });
  canvas.addEventListener("pointerup", (event) => {
    pointers.delete(event.pointerId);
    const item = at(event);
    if (moved || !item) return;
    if (event.shiftKey || item.hidden) fold(item.node);
    else choose(item.node);
  });
  canvas.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
  canvas.addEventListener("pointerleave", () => {
    hover = null;
    lab.draw();
  });
  canvas.addEventListener("dblclick", (event) => fold(at(event)?.node));
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && canvas.getRootNode().activeElement !== canvas) return;
    event.preventDefault();
    const box = canvas.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const done = () => {
      event.preventDefault();
      event.stopPropagation();
    };
    if (event.key.startsWith("Arrow")) done(), walk(event.key);
    else if (event.key === "Enter") done(), choose(cursor);
    else if (event.key === " ") done(), fold(cursor);
    else if (event.key === "+" || event.key === "=") done(), zoom(1.3);
    else if (event.key === "-") done(), zoom(1 / 1.3);
  });
  new ResizeObserver(measure).observe(frame);
  return {
    root,
    fit: () => fit(true),
    zoom,
    draw(state) {
      toggle.setAttribute("aria-checked", String(state.pruned));
      const said = state.runs.flatMap((run) => (run.end?.certificates ?? []).map((one) => one.said ?? ""));
      fill(proofs, said.at(-1) ? `${t("proved")}: ${said.at(-1)}` : "");
      proofs.hidden = !said.length;
      if (!state.runs.length) {
        view.touched = false;
        note.textContent = t("emptyTree");
      } else if (note.textContent === t("emptyTree")) note.textContent = t("treeHint");
      count.textContent = lab.forest ? `${lab.forest.size.toLocaleString()} ${t("nodes")}` : "";
    },
    settle(state) {
      compute();
      const here = lab.path[state.at] ?? lab.path.at(-1);
      if (here !== followed && !pointers.size) {
        followed = here;
        inView(here);
      }
      paint();
    },
  };
}
