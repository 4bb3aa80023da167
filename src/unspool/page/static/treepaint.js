// How a tree looks on its canvas.

import { ROW } from "./treelayout.js";

// The lines between nodes; those of the text that is shown are strong.
export function paintEdges(brush, layout, { first, last, top, shown, colour }) {
  for (const strong of [false, true]) {
    brush.beginPath();
    brush.lineWidth = strong ? 2 : 1;
    brush.strokeStyle = strong ? colour.accent : colour.line;
    for (const item of layout.items) {
      const parent = item.parent;
      if (!parent || item.row < first || parent.row > last || shown.has(item.node) !== strong) continue;
      const x = parent.x + parent.w + 5;
      const y = item.row * ROW + ROW / 2;
      const from = parent.row * ROW + ROW / 2;
      if (item.row === parent.row) brush.moveTo(parent.x + parent.w, y);
      else {
        brush.moveTo(x, Math.max(from, top - ROW));
        brush.lineTo(x, y - 5);
        brush.quadraticCurveTo(x, y, x + 5, y);
      }
      brush.lineTo(item.x, y);
    }
    brush.stroke();
  }
}

// A node: its word, in a box where it is shown, chosen or finished; without words where it would be too small to read.
export function paintNode(brush, item, text, { active, mine, here, words, colour }) {
  const { node } = item;
  const y = item.row * ROW + ROW / 2;
  const pruned = node.pruned === true;
  if (!words) {
    brush.fillStyle = active ? colour.accent : pruned ? colour.line : colour.faint;
    brush.fillRect(item.x, y - 4, item.w, 8);
    return;
  }
  if (active || mine || here || (node.reason && !pruned)) {
    brush.beginPath();
    brush.roundRect(item.x, y - 10, item.w, 20, 5);
    if (here || active) {
      brush.fillStyle = here ? colour.sel : colour.soft;
      brush.fill();
    }
    if (mine || (node.reason && !pruned)) {
      brush.lineWidth = mine ? 2 : 1;
      brush.strokeStyle = mine ? colour.accent : colour.faint;
      brush.stroke();
    }
  }
  brush.fillStyle = pruned ? colour.cut : active ? colour.ink : colour.faint;
  brush.fillText(text, item.x + 6, y + 0.5);
  if (pruned) {
    brush.strokeStyle = colour.cut;
    brush.lineWidth = 1;
    brush.beginPath();
    brush.moveTo(item.x + 5, y);
    brush.lineTo(item.x + item.w - 5, y);
    brush.stroke();
  }
  if (item.hidden) {
    brush.fillStyle = colour.accent;
    brush.fillText(`+${item.hidden}`, item.x + item.w + 4, y);
  }
}
