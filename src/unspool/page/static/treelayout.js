// Where the nodes of a tree stand: the first child beside its parent, so that the best text is one straight line, and the others below.

export const ROW = 26;
export const GAP = 16;

// The children of a node in the order in which they are drawn: the best first, then those that more rows came by; pruned ones last.
export function inOrder(node, pruned) {
  const kept = [...node.children.values()].sort((a, b) => b.best - a.best || b.count - a.count || (b.score ?? -Infinity) - (a.score ?? -Infinity));
  return pruned ? [...kept, ...node.pruned.values()] : kept;
}

// Every node with its place: {node, x, row, w, parent, hidden}, row by row. width: how wide a node is drawn.
export function laidOut(root, { pruned, folded, width }) {
  const items = [];
  const rows = [];
  let next = 0;
  let right = 0;
  const stack = [{ node: root, parent: null, own: true }];
  while (stack.length) {
    const { node, parent, own } = stack.pop();
    const row = own && parent ? parent.row : next;
    if (row === next) next++;
    const w = width(node);
    const item = { node, parent, row, w, x: parent ? parent.x + parent.w + GAP : 0, last: row, hidden: 0, index: items.length };
    items.push(item);
    (rows[row] ??= []).push(item);
    right = Math.max(right, item.x + w);
    if (node.pruned === true) continue;
    const children = inOrder(node, pruned);
    if (folded.has(node)) {
      item.hidden = children.length;
      continue;
    }
    for (let i = children.length - 1; i >= 0; i--) stack.push({ node: children[i], parent: item, own: i === 0 });
  }
  for (let i = items.length - 1; i > 0; i--) {
    const { parent, row } = items[i];
    if (parent.row !== row) parent.last = Math.max(parent.last, row);
  }
  return { items, rows, width: right, height: next * ROW };
}
