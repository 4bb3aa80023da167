// What a lesson may say of the state of the page: every number comes from the model, at the moment it is told.

import { marked, shortened } from "./bytes.js";
import { entropyOf } from "./chain.js";
import { LONGEST } from "./record.js";
import { fixed, percent } from "./words.js";

// What a text ends in: {tokens, times, first}, the shortest run of tokens that stands at its end at least three times in a row, or null.
export function loopOf(tokens) {
  for (let size = 1; size <= tokens.length / 3; size++) {
    let same = 0;
    while (same + size < tokens.length && tokens[tokens.length - 1 - same] === tokens[tokens.length - 1 - same - size]) same++;
    const times = Math.floor(same / size) + 1;
    if (times >= 3) return { size, times, first: tokens.length - times * size, tokens: tokens.slice(tokens.length - size) };
  }
  return null;
}

// The place of a text where a number of its nodes is least.
export function placeWith(path, number) {
  let best = 0;
  for (let i = 1; i < path.length; i++) if (number(path[i]) < number(path[best])) best = i;
  return best;
}

function quotedWord(lab, token, node) {
  return `“${marked(shortened(lab.vocabulary.word(token, node?.pending), LONGEST))}”`;
}

// The tokens at the place, with the model's own probabilities.
function model(lab, k) {
  const choices = lab.choicesAt();
  if (!choices || lab.running || k >= choices.tokens.length) return null;
  return { word: quotedWord(lab, choices.tokens[k], lab.nodeAt()), p: Math.exp(choices.logprobs[k]) };
}

function moved(lab) {
  const row = lab.rows.get(lab.rowKey());
  return row && lab.after && lab.afterOf === lab.rowKey() ? lab.after : null;
}

function leaderOf(lab) {
  const after = moved(lab);
  return after && after.reduce((best, p, token) => (p > after[best] ? token : best), 0);
}

function sumOf(tokens, lab) {
  const nodes = lab.forest?.along(tokens) ?? [];
  return nodes.length ? nodes.at(-1).sum : null;
}

function round(lab, last) {
  const loop = loopOf(lab.state.text);
  const from = loop && (last ? lab.state.text.length - loop.size : loop.first);
  const nodes = loop ? lab.path.slice(from, from + loop.size) : [];
  return nodes.length ? nodes.reduce((sum, node) => sum + Math.exp(node.logprob), 0) / nodes.length : null;
}

const asShare = (p) => (p === null || p === undefined ? null : percent(p));
const settled = (lab) => !lab.running && lab.state.text.length > 0;
const takenAt = (lab) => lab.state.runs.at(-1)?.asked.follow ?? [];
const takenNode = (lab) => (takenAt(lab).length ? lab.forest?.at(takenAt(lab)) : null);

// Each is what is told, or null as long as it is not known.
export const FACTS = {
  first: (lab) => model(lab, 0)?.word ?? null,
  firstP: (lab) => asShare(model(lab, 0)?.p),
  second: (lab) => model(lab, 1)?.word ?? null,
  secondP: (lab) => asShare(model(lab, 1)?.p),
  five: (lab) => asShare(model(lab, 4) && [0, 1, 2, 3, 4].reduce((sum, k) => sum + model(lab, k).p, 0)),
  taken: (lab) => (settled(lab) && takenNode(lab) ? quotedWord(lab, takenNode(lab).token, takenNode(lab).parent) : null),
  takenP: (lab) => (settled(lab) && takenNode(lab) ? asShare(Math.exp(takenNode(lab).logprob)) : null),
  own: (lab) => (settled(lab) && lab.path[lab.state.at] ? quotedWord(lab, lab.path[lab.state.at].token, lab.path[lab.state.at].parent) : null),
  ownP: (lab) => (settled(lab) && lab.path[lab.state.at] ? asShare(Math.exp(lab.path[lab.state.at].logprob)) : null),
  length: (lab) => (settled(lab) ? String(lab.state.text.length) : null),
  sum: (lab) => (settled(lab) ? fixed(sumOf(lab.state.text, lab)) : null),
  before: (lab) => (lab.state.runs[0]?.end?.hypotheses.length ? fixed(sumOf(lab.state.runs[0].end.hypotheses[0].tokens, lab)) : null),
  gained: (lab) => (settled(lab) ? sumOf(lab.state.text, lab) > sumOf(lab.state.runs[0]?.end?.hypotheses[0]?.tokens ?? [], lab) + 1e-6 : null),
  loops: (lab) => (settled(lab) ? loopOf(lab.state.text) !== null : null),
  loop: (lab) => (loopOf(lab.state.text) ? `“${lab.vocabulary.text(loopOf(lab.state.text).tokens).trim() || "␣"}”` : null),
  times: (lab) => (loopOf(lab.state.text) ? String(loopOf(lab.state.text).times) : null),
  roundFirst: (lab) => asShare(round(lab, false)),
  roundLast: (lab) => asShare(round(lab, true)),
  tops: (lab) => (settled(lab) ? String(lab.path.filter((node) => node.parent.choices?.tokens[0] === node.token).length) : null),
  seed: (lab) => (settled(lab) ? String(lab.state.seed) : null),
  pruned: (lab) => (settled(lab) && lab.forest ? [...lab.forest.walk(), lab.forest.root].reduce((n, node) => n + node.pruned.size, 0).toLocaleString() : null),
  distinct: (lab) => (settled(lab) ? String(lab.texts.length) : null),
  leader: (lab) => (moved(lab) ? quotedWord(lab, leaderOf(lab), lab.nodeAt()) : null),
  leaderP: (lab) => (moved(lab) ? percent(moved(lab)[leaderOf(lab)]) : null),
  temperature: (lab) => (lab.state.sliders.temperature === undefined ? null : String(lab.state.sliders.temperature)),
  effective: (lab) => (moved(lab) ? fixed(Math.exp(entropyOf(moved(lab))), 1) : null),
  kept: (lab) => (moved(lab) ? String(moved(lab).reduce((n, p) => n + (p > 0), 0)) : null),
  passed: (lab) => (moved(lab) && lab.before ? percent(moved(lab).reduce((sum, p, token) => sum + (p > 0 ? lab.before[token] : 0), 0)) : null),
};
