// The record of runs as the page keeps it: what was told of each, and the tree of all their texts after one prompt.

import { fromHex, joined, marked, shortened, unfinished, visible } from "./bytes.js";

// Characters of a token where it stands among others.
export const LONGEST = 60;
const NONE = new Uint8Array(0);

// Every token's bytes, and the names of special ones.
export class Vocabulary {
  constructor() {
    this.bytes = new Map();
    this.names = new Map();
    this.words = new Map();
  }

  learn(told) {
    for (const [token, hex] of Object.entries(told.tokens ?? {})) this.bytes.set(Number(token), fromHex(hex));
    for (const [token, name] of Object.entries(told.names ?? {})) this.names.set(Number(token), name);
  }

  knows(token) {
    return this.bytes.has(token);
  }

  bytesOf(token) {
    return this.bytes.get(token) ?? NONE;
  }

  // A token as it reads after the bytes of an unfinished character.
  word(token, pending = NONE) {
    const data = this.bytesOf(token);
    if (data.length && pending.length) return visible(joined([pending, data]));
    if (data.length && !this.words.has(token)) this.words.set(token, visible(data));
    return this.words.get(token) ?? this.names.get(token) ?? (this.bytes.has(token) ? "" : `#${token}`);
  }

  text(tokens) {
    return visible(joined(tokens.map((token) => this.bytesOf(token))));
  }

  told() {
    const hex = (data) => [...data].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return { tokens: Object.fromEntries([...this.bytes].map(([t, data]) => [t, hex(data)])), names: Object.fromEntries(this.names) };
  }
}

export class Run {
  constructor(asked) {
    this.asked = asked;
    this.begin = null;
    this.steps = [];
    this.end = null;
    this.error = null;
  }

  get over() {
    return this.end !== null || this.error !== null;
  }

  take(event) {
    if (event.begin) this.begin = event.begin;
    if (event.steps) this.steps.push(...event.steps);
    if (event.end) this.end = event.end;
    if (event.error) this.error = event.error.message;
  }

  plain() {
    return { asked: this.asked, begin: this.begin, steps: this.steps, end: this.end, error: this.error };
  }

  static of(told) {
    return Object.assign(new Run(told.asked), told);
  }
}

export class TreeNode {
  constructor(parent, token) {
    this.parent = parent;
    this.token = token;
    this.depth = parent ? parent.depth + 1 : 0;
    this.children = new Map();
    this.pruned = new Map();
    this.count = 0;
    this.logprob = null;
    this.processed = null;
    this.score = null;
    this.reason = "";
    this.rank = null;
    this.drafted = false;
    this.choices = null;
    this.best = false;
    this.sum = parent ? parent.sum : 0;
    this.pending = null;
    this.word = "";
    this.finished = "";
  }

  path() {
    const tokens = [];
    for (let node = this; node.parent; node = node.parent) tokens.push(node.token);
    return tokens.reverse();
  }
}

// The tree of all texts of some runs; equal texts are one node, with the number of rows that came that way.
export class Forest {
  constructor(vocabulary, prompt) {
    this.vocabulary = vocabulary;
    this.prompt = prompt;
    this.root = new TreeNode(null, -1);
    this.root.pending = unfinished(joined(prompt.map((token) => vocabulary.bytesOf(token))));
    this.size = 0;
    this.version = 0;
    this.read = new Map();
  }

  // Take what a run has told since it was last read.
  follow(run) {
    const seen = this.read.get(run) ?? { steps: 0, end: false, nodes: new Map([[0, this.root]]), tip: null };
    this.read.set(run, seen);
    for (; seen.steps < run.steps.length; seen.steps++) this.step(run.steps[seen.steps], seen, run);
    if (run.end && !seen.end) this.finish(run, seen);
    this.version++;
  }

  step(step, seen, run) {
    for (let i = 0; i < step.nodes.length; i++) {
      const parent = seen.nodes.get(step.parents[i]) ?? this.root;
      const node = this.child(parent, step.tokens[i]);
      node.count++;
      node.logprob = step.logprob[i];
      node.processed = step.processed[i];
      node.score = step.score[i];
      node.reason = step.reason[i] || node.reason;
      node.rank = step.rank ? step.rank[i] : node.rank;
      node.drafted = step.drafted ? step.drafted[i] === 1 : node.drafted;
      node.sum = parent.sum + (node.logprob ?? -Infinity);
      seen.nodes.set(step.nodes[i], node);
    }
    const told = step.considered;
    for (let i = 0; told && i < told.nodes.length; i++) this.consider(seen.nodes.get(told.nodes[i]), told, i, run);
    const dropped = step.dropped;
    for (let i = 0; dropped && i < dropped.tokens.length; i++) {
      const parent = seen.nodes.get(dropped.parents[i]);
      if (parent && !parent.pruned.has(dropped.tokens[i])) {
        parent.pruned.set(dropped.tokens[i], { parent, token: dropped.tokens[i], score: dropped.score[i], reason: dropped.reason[i], pruned: true, depth: parent.depth + 1 });
        this.size++;
      }
    }
    if (step.nodes.length) {
      let best = 0;
      for (let i = 1; i < step.nodes.length; i++) if ((step.score[i] ?? -Infinity) > (step.score[best] ?? -Infinity)) best = i;
      seen.tip = seen.nodes.get(step.nodes[best]);
    }
  }

  child(parent, token) {
    let node = parent.children.get(token);
    if (!node) {
      node = new TreeNode(parent, token);
      parent.children.set(token, node);
      const before = parent.pending;
      node.word = this.vocabulary.word(token, before);
      const data = joined([before, this.vocabulary.bytesOf(token)]);
      node.pending = unfinished(data);
      node.finished = node.pending.length ? visible(data.subarray(0, data.length - node.pending.length)) : node.word;
      this.size++;
    }
    return node;
  }

  consider(node, told, i, run) {
    if (!node) return;
    const stages = told.stages && {
      names: told.stages.names, kept: told.stages.kept[i], mass: told.stages.mass[i], entropy: told.stages.entropy[i],
      covering: told.stages.covering[i], logprobs: told.stages.logprobs[i], ranks: told.stages.ranks[i],
      sparing: told.stages.sparing ? told.stages.sparing[i] : null,
    };
    if (node.choices?.stages && !stages) return;
    node.choices = {
      tokens: told.tokens[i], logprobs: told.logprobs[i], processed: told.processed[i],
      entropy: told.entropy ? told.entropy[i] : null, stages, decoder: run.asked.decoder,
    };
  }

  finish(run, seen) {
    seen.end = true;
    const best = run.end.hypotheses[0];
    if (best) for (const node of this.along(best.tokens)) node.best = true;
  }

  tip(run) {
    return this.read.get(run)?.tip ?? null;
  }

  // The nodes along a text, as far as there are any.
  along(tokens) {
    const nodes = [];
    let node = this.root;
    for (const token of tokens) {
      node = node.children.get(token);
      if (!node) break;
      nodes.push(node);
    }
    return nodes;
  }

  at(tokens) {
    const nodes = this.along(tokens);
    return nodes.length === tokens.length ? nodes.at(-1) ?? this.root : null;
  }

  *walk() {
    const stack = [this.root];
    while (stack.length) {
      const node = stack.pop();
      if (node !== this.root) yield node;
      stack.push(...node.children.values());
    }
  }

  label(node) {
    return marked(shortened(node.word || this.vocabulary.word(node.token, node.parent.pending), LONGEST));
  }
}

// The texts that runs came to, each once, the latest run's first.
export function textsOf(runs) {
  const found = new Map();
  for (const run of [...runs].reverse()) {
    for (const text of run.end?.hypotheses ?? []) {
      const key = text.tokens.join(" ");
      if (!found.has(key)) found.set(key, { tokens: text.tokens, logprob: text.logprobs.reduce((a, b) => a + (b ?? -Infinity), 0), score: text.score, reason: text.reason, run });
    }
  }
  return [...found.values()];
}

// A saved trace as a run, and a run as the lines of a trace's file.
export function fromTrace(text) {
  const lines = text.split("\n").filter((line) => line.trim()).map((line) => JSON.parse(line));
  const [head, last] = [lines[0], lines.at(-1)];
  if (!head?.unspool_trace || !last.hypotheses) throw new Error("trace");
  const run = new Run({ prompt: head.prompts[0], decoder: head.recipe.decoder ?? "", seed: head.recipe.seed ?? 0, model: head.model.name, max_new_tokens: head.recipe.max_new_tokens ?? 40 });
  run.begin = { id: "", prompt: head.prompts[0], recipe: head.recipe, model: head.model, level: head.level, end_tokens: [] };
  run.steps = lines.slice(1, -1).map((line) => line.step);
  run.end = { hypotheses: last.hypotheses[0], certificates: last.certificates ?? [], work: last.work ?? {}, failure: "", interrupted: false };
  return { run, tokens: last.tokens, names: last.names };
}

export function toTrace(run, vocabulary) {
  const { tokens, names } = vocabulary.told();
  const { begin, steps, end } = run;
  const certificates = (end?.certificates ?? []).map(({ said, ...rest }) => rest);
  const head = { unspool_trace: 2, level: begin.level, recipe: begin.recipe, model: begin.model, prompts: [begin.prompt] };
  const last = { hypotheses: [end?.hypotheses ?? []], tokens, names, ...(certificates.length ? { certificates } : {}), work: end?.work ?? {} };
  return [head, ...steps.map((step) => ({ step })), last].map((line) => JSON.stringify(line)).join("\n") + "\n";
}
