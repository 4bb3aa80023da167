// The lab: its decoder, and its runs. What is done to texts and decoders can be undone.

import { ask, hasServer, streamRun } from "./api.js";
import { say } from "./dom.js";
import { Looking } from "./looking.js";
import { Run } from "./record.js";
import { reasonWord, t } from "./words.js";

export class Lab extends Looking {
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

  // Let the decoder run; keep: whether earlier runs stay in the tree; before: what undo goes back to.
  async launch(body, keep, changes = {}, before = this.snapshot()) {
    if (this.readOnly) return null;
    this.stop();
    const one = this.state.parts.find((part) => part.role === "strategy");
    const alone = !one || one.name === "greedy" || one.name === "contrastive_search" || (one.name === "sample" && !one.given.n);
    const run = new Run({ ...body, level: alone && !body.only ? "stages" : body.level });
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

  // The page is left: nobody waits for anything any longer, also where the browser keeps the page to come back to.
  leave() {
    for (const abort of [this.running?.abort, this.lookAbort, this.bothAbort]) abort?.abort();
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
