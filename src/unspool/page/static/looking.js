// Looking: which text and which place are shown, and what the server is asked of them.

import { ask, streamRun } from "./api.js";
import { Forest, Run } from "./record.js";
import { LabState } from "./state.js";

const SHOWN_CHOICES = 24;

export class Looking extends LabState {
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
}
