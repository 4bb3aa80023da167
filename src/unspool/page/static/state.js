// What the lab holds, and how it is drawn: the runs, the text and the place that are looked at, and what undo goes back to.

import { say } from "./dom.js";
import { Forest, Vocabulary, textsOf } from "./record.js";
import { t } from "./words.js";

const UNDOABLE = ["prompt", "decoder", "seed", "count", "model", "chat", "runs", "text", "at"];

export class LabState {
  constructor() {
    this.start = { models: [], methods: [], families: {}, limits: { tokens: 512, rows: 64, compared: 300 }, begin: {} };
    this.state = {
      prompt: "Once upon a time", decoder: "temperature(0.8) | top_p(0.9) | sample", seed: 0, count: 40, model: "", chat: false, runs: [], text: [], at: 0,
      by: "probability", tab: "stages", stage: -1, pick: -1, problem: "", message: "", parts: [], python: "", other: { decoder: "greedy", model: "" }, both: null,
      sliders: {}, drawing: 0, page: "lab", beside: null, pruned: true,
    };
    this.past = [];
    this.future = [];
    this.running = null;
    this.lesson = null;
    this.following = true;
    this.readOnly = false;
    this.vocabularies = new Map();
    this.looked = new Map();
    this.rows = new Map();
    this.asking = new Set();
    this.listeners = [];
    this.due = false;
    this.grown = null;
    this.walked = null;
  }

  // --- drawing -------------------------------------------------------------------------------------------------------

  draw() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      for (const listener of this.listeners) listener(this.state);
    });
  }

  set(changes) {
    Object.assign(this.state, changes);
    this.draw();
  }

  complain(text) {
    this.set({ message: text === "gone" ? t("gone") : text });
  }

  // --- what is known ------------------------------------------------------------------------------------------------

  get modelInfo() {
    return this.start.models.find((m) => m.name === this.state.model) ?? this.start.models[0] ?? { name: "", context: 0, chat: false, tokenizer: "" };
  }

  vocabularyOf(model) {
    const key = this.start.models.find((m) => m.name === model)?.tokenizer ?? model;
    if (!this.vocabularies.has(key)) this.vocabularies.set(key, new Vocabulary());
    return this.vocabularies.get(key);
  }

  get vocabulary() {
    return this.vocabularyOf(this.state.model);
  }

  get forest() {
    const runs = this.state.runs.filter((run) => run.begin);
    if (!runs.length) return null;
    const known = this.grown;
    const goesOn = known && known.runs.length <= runs.length && known.runs.every((run, i) => run === runs[i]);
    if (!goesOn) this.grown = { forest: new Forest(this.vocabulary, runs[0].begin.prompt), runs: [], seen: new Map() };
    const { forest, seen } = this.grown;
    for (const run of runs) {
      const told = run.steps.length + (run.end ? 1e9 : 0);
      if (seen.get(run) !== told) forest.follow(run);
      seen.set(run, told);
    }
    this.grown.runs = runs;
    return forest;
  }

  get texts() {
    return textsOf(this.state.runs);
  }

  // The nodes along the text; the same list as long as nothing has changed.
  get path() {
    const { forest, walked } = this;
    const { text } = this.state;
    if (walked?.forest !== forest || walked.version !== forest?.version || walked.text !== text) {
      this.walked = { forest, version: forest?.version, text, nodes: forest?.along(text) ?? [] };
    }
    return this.walked.nodes;
  }

  // The node whose next token is in question.
  nodeAt(at = this.state.at) {
    const forest = this.forest;
    return forest && (at === 0 ? forest.root : this.path[at - 1] ?? null);
  }

  choicesAt(at = this.state.at) {
    const node = this.nodeAt(at);
    if (!node) return null;
    if (node.choices?.stages) return node.choices;
    return this.looked.get(this.lookKey(at)) ?? node.choices;
  }

  lookKey(at) {
    const { model, prompt, chat, runs, text } = this.state;
    return JSON.stringify([model, prompt, chat, this.decoderAt(at), runs[0]?.asked.seed, text.slice(0, at)]);
  }

  decoderAt(at) {
    return this.nodeAt(at)?.choices?.decoder ?? this.state.runs.at(-1)?.asked.decoder ?? this.state.decoder;
  }

  // --- undoing --------------------------------------------------------------------------------------------------------

  snapshot() {
    return Object.fromEntries(UNDOABLE.map((key) => [key, this.state[key]]));
  }

  remember() {
    this.past.push(this.snapshot());
    if (this.past.length > 200) this.past.shift();
    this.future = [];
  }

  travel(source, target, word) {
    if (!source.length) return say(t("nothingUndo"));
    this.stop();
    target.push(this.snapshot());
    const before = this.state.decoder;
    Object.assign(this.state, source.pop(), { message: "", pick: -1 });
    say(t(word));
    if (this.state.decoder !== before) this.readDecoder(this.state.decoder);
    this.look();
    this.draw();
  }

  undo() {
    this.travel(this.past, this.future, "undone");
  }

  redo() {
    this.travel(this.future, this.past, "redone");
  }
}
