// The lab's one state, and all that can be done to it. Views draw it; what is done to texts and decoders can be undone.

import { ask, hasServer, streamRun } from "./api.js";
import { say } from "./dom.js";
import { Forest, Run, Vocabulary, textsOf } from "./record.js";
import { reasonWord, t } from "./words.js";

const UNDOABLE = ["prompt", "decoder", "seed", "model", "chat", "runs", "text", "at"];
const SHOWN_CHOICES = 24;

export class Lab {
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
    this.following = true;
    this.readOnly = false;
    this.vocabularies = new Map();
    this.looked = new Map();
    this.rows = new Map();
    this.asking = new Set();
    this.listeners = [];
    this.due = false;
    this.grown = null;
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

  get path() {
    return this.forest?.along(this.state.text) ?? [];
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

  // --- the decoder ----------------------------------------------------------------------------------------------------

  // Take a decoder's text form; the parts it is made of come from the program, and so does what is wrong with it.
  async readDecoder(text) {
    this.state.decoder = text;
    const number = (this.reading = (this.reading ?? 0) + 1);
    if (this.readOnly) return;
    try {
      const found = await ask("read", { decoder: text.trim() || "greedy", model: this.state.model });
      if (number === this.reading) this.set({ parts: found.parts, python: found.python, problem: "" });
    } catch (error) {
      if (number === this.reading) this.set({ problem: error.message === "gone" ? t("gone") : error.message });
    }
  }

  // --- running --------------------------------------------------------------------------------------------------------

  asked(more = {}) {
    const { prompt, decoder, seed, model, chat, count } = this.state;
    return { prompt, decoder, seed, model, chat: chat || undefined, max_new_tokens: count, choices: 12, level: "choices", ...more };
  }

  // The same from the prompt of the texts that there are, whatever stands in its field by now.
  continued(more) {
    const first = this.state.runs[0]?.asked;
    return this.asked({ ...(first ? { prompt: first.prompt, model: first.model, chat: first.chat } : {}), ...more });
  }

  // Let the decoder run; keep: whether earlier runs stay in the tree.
  async launch(body, keep, changes = {}) {
    if (this.readOnly) return null;
    this.stop();
    const one = this.state.parts.find((part) => part.role === "strategy");
    const alone = !one || one.name === "greedy" || one.name === "contrastive_search" || (one.name === "sample" && !one.given.n);
    const run = new Run({ ...body, level: alone && !body.only ? "stages" : body.level });
    const before = this.snapshot();
    const abort = new AbortController();
    this.running = { run, abort };
    this.following = true;
    this.set({ message: "", pick: -1, both: keep ? this.state.both : null, beside: null });
    say(t("running"));
    let entered = false;
    const enter = () => {
      entered = true;
      this.past.push(before);
      this.future = [];
      Object.assign(this.state, changes);
      this.state.runs = keep ? [...this.state.runs, run] : [run];
      if (!keep) Object.assign(this.state, { text: [], at: 0 });
    };
    try {
      await streamRun(run.asked, (event) => {
        if (event.error && !run.begin) throw new Error(event.error.message);
        this.vocabularyOf(run.asked.model).learn(event);
        run.take(event);
        if (!entered) enter();
        this.follow(run);
      }, abort.signal);
    } catch (error) {
      if (error.name !== "AbortError") this.complain(error.message);
      if (!run.over) run.error = error.name === "AbortError" ? "" : error.message;
    }
    if (this.running?.run === run) this.running = null;
    if (run.error) this.complain(run.error);
    if (run.end?.failure) this.complain(run.end.failure);
    if (run.end) say(`${t("ended")}: ${reasonWord(run.end.hypotheses[0]?.reason ?? "")}, ${this.state.text.length} ${t("length")}`);
    this.look();
    this.draw();
    return run;
  }

  // While a run grows, show where it stands.
  follow(run) {
    const forest = this.forest;
    if (this.following && forest && run === this.state.runs.at(-1)) {
      const tokens = run.end?.hypotheses[0]?.tokens ?? forest.tip(run)?.path();
      if (tokens) Object.assign(this.state, { text: tokens, at: Math.max(0, tokens.length - 1) });
    }
    this.draw();
  }

  run() {
    return this.launch(this.asked(), false);
  }

  again() {
    const seed = this.state.seed + 1;
    const grown = this.state.runs.at(-1)?.asked.follow;
    const more = grown ? { follow: grown, max_new_tokens: grown.length + this.state.count } : {};
    return this.launch(this.continued({ ...more, seed }), this.state.runs.length > 0, { seed });
  }

  async tryOut(decoder, count) {
    this.state.count = count;
    await this.readDecoder(decoder);
    return this.run();
  }

  goOn() {
    const { text, count, runs } = this.state;
    if (!text.length) return this.run();
    const end = this.path.at(-1);
    if (end?.reason === "end") return this.complain(reasonWord("end"));
    return this.launch(this.continued({ follow: text, max_new_tokens: text.length + count }), runs.length > 0);
  }

  // Choose a token at a place, whatever the decoder holds of it, and let it go on from there.
  force(token, at = this.state.at) {
    if (this.readOnly) return this.visit([...this.state.text.slice(0, at), token]);
    const follow = [...this.state.text.slice(0, at), token];
    return this.launch(this.continued({ follow, max_new_tokens: follow.length + this.state.count }), true);
  }

  // Read words of one's own after the prompt; then: whether the decoder goes on after them.
  async write(text, then) {
    const run = await this.launch(this.continued({ text, only: "text", max_new_tokens: undefined }), this.state.runs.length > 0);
    if (then && run?.end?.hypotheses.length) await this.goOn();
  }

  // End the run; the program ends it with what there is, and if it does not answer, nobody waits.
  stop() {
    if (!this.running) return;
    const { run, abort } = this.running;
    if (run.begin) ask("stop", { id: run.begin.id }).catch(() => abort.abort());
    else abort.abort();
    setTimeout(() => abort.abort(), 1500);
    say(t("stopped"));
    this.draw();
  }

  // --- looking --------------------------------------------------------------------------------------------------------

  show(tokens, at = tokens.length) {
    this.following = false;
    this.set({ text: tokens, at: Math.min(Math.max(at, 0), tokens.length), pick: -1 });
    this.look();
  }

  // A text of the tree that begins with these tokens, the likeliest way on.
  visit(tokens) {
    const forest = this.forest;
    if (!forest?.at(tokens)) return;
    const whole = [...tokens];
    for (let node = forest.at(tokens); node.children.size;) {
      const shown = this.state.text[whole.length];
      const kept = node.children.get(whole.every((token, i) => token === this.state.text[i]) ? shown : -1);
      node = kept ?? [...node.children.values()].sort((a, b) => b.best - a.best || b.count - a.count)[0];
      whole.push(node.token);
    }
    this.show(whole, tokens.length ? tokens.length - 1 : 0);
  }

  select(at) {
    this.show(this.state.text, at);
  }

  // Ask what may come at the place in question, with every processor, if the record does not say.
  look() {
    clearTimeout(this.lookTimer);
    this.lookAbort?.abort();
    if (this.readOnly || this.running) return;
    this.lookTimer = setTimeout(() => this.lookNow(), 90);
  }

  async lookNow() {
    const { at, text, tab } = this.state;
    if (!this.state.runs.length) return;
    if (tab === "sliders") return this.row();
    const choices = this.choicesAt(at);
    if (choices?.stages) return;
    const key = this.lookKey(at);
    this.lookAbort = new AbortController();
    const body = { ...this.continued({}), decoder: this.decoderAt(at), follow: text.slice(0, at), only: "next", level: "stages", choices: SHOWN_CHOICES };
    const found = new Run({ ...body, max_new_tokens: undefined });
    try {
      await streamRun(found.asked, (event) => {
        this.vocabulary.learn(event);
        found.take(event);
      }, this.lookAbort.signal);
      const forest = new Forest(this.vocabulary, found.begin.prompt);
      forest.follow(found);
      const node = forest.at(text.slice(0, at));
      if (node?.choices) this.looked.set(key, node.choices);
    } catch (error) {
      if (error.name !== "AbortError") this.complain(error.message);
    }
    this.draw();
  }

  rowKey(at = this.state.at) {
    const { model, prompt, chat, text } = this.state;
    return JSON.stringify([model, this.state.runs[0]?.asked.prompt ?? prompt, chat, text.slice(0, at)]);
  }

  // The model's logits of every token at the place in question.
  async row() {
    const key = this.rowKey();
    if (this.rows.has(key) || this.readOnly) return;
    const { model, prompt, chat, at, text } = this.state;
    const body = { model, prompt: this.state.runs[0]?.asked.prompt ?? prompt, chat: chat || undefined, follow: text.slice(0, at) };
    try {
      const found = await ask("row", body);
      this.vocabulary.learn(found);
      if (this.rows.size > 60) this.rows.delete(this.rows.keys().next().value);
      this.rows.set(key, { logits: found.logits, path: found.path, prompt: found.prompt });
    } catch (error) {
      this.complain(error.message);
    }
    this.draw();
  }

  async learnWords(tokens) {
    const unknown = tokens.filter((token) => !this.vocabulary.knows(token) && !this.asking.has(token));
    if (!unknown.length || this.readOnly) return;
    for (const token of unknown) this.asking.add(token);
    try {
      this.vocabulary.learn(await ask("words", { model: this.state.model, tokens: unknown }));
    } catch (error) {
      this.complain(error.message);
    }
    for (const token of unknown) this.asking.delete(token);
    this.draw();
  }

  async begin() {
    if (!hasServer()) return;
    this.start = await ask("start");
    const { begin, models } = this.start;
    Object.assign(this.state, { model: models[0].name, other: { ...this.state.other, model: models.at(-1).name } }, begin);
    await this.readDecoder(this.state.decoder);
    this.draw();
    if (begin.prompt) this.run();
  }
}
