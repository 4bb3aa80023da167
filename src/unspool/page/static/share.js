// What leaves the page: a command, lines of Python, a trace's file, and the whole record in one file that needs no server.

import { ask, shellText } from "./api.js";
import { takeBoth } from "./bothview.js";
import { download, h, say } from "./dom.js";
import { fromTrace, Run, toTrace } from "./record.js";
import { t } from "./words.js";

export function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

export function pythonText(text) {
  return JSON.stringify(text).replace(/[\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

// The recipe of the run that the text shown belongs to, or of what would run.
function recipe(lab) {
  const begun = lab.state.runs.filter((one) => one.begin).reverse();
  const shown = lab.state.text.join(" ");
  const run = begun.find((one) => one.end?.hypotheses.some((text) => text.tokens.join(" ") === shown)) ?? begun[0];
  if (!run) return { ...lab.asked(), recipe: lab.state.decoder };
  return { ...run.asked, recipe: run.begin.recipe.decoder, max_new_tokens: run.begin.recipe.max_new_tokens, seed: run.begin.recipe.seed };
}

export function commandOf(lab) {
  const { prompt, recipe: decoder, seed, max_new_tokens: count, model, chat } = recipe(lab);
  const words = ["unspool", typeof prompt === "string" ? quoted(prompt) : quoted(lab.vocabulary.text(prompt)), "-d", quoted(decoder), "--max-new-tokens", String(count)];
  if (seed) words.push("--seed", String(seed));
  if (model && model !== "bundled") words.push("-m", quoted(model));
  if (chat) words.push("--chat");
  return words.join(" ");
}

export async function pythonOf(lab) {
  const { prompt, recipe: decoder, seed, max_new_tokens: count, model, chat } = recipe(lab);
  const found = lab.readOnly ? null : await ask("read", { decoder, model: lab.state.model });
  const expression = found?.python ?? pythonText(decoder);
  const more = [`max_new_tokens=${count}`, ...(seed ? [`seed=${seed}`] : []), ...(chat ? ["chat=True"] : [])].join(", ");
  const given = typeof prompt === "string" ? pythonText(prompt) : `[${prompt.join(", ")}]`;
  const load = model && model !== "bundled" ? `un.load(${pythonText(model)})` : "un.load()";
  return `import unspool as un\n\nlm = ${load}\nout = lm.generate(${given}, ${expression}, ${more})\nprint(out.text)\n`;
}

export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    say(t("copied"));
    return true;
  } catch {
    const area = h("textarea", { rows: "6", readonly: true, "aria-label": t("noClipboard"), value: text });
    const dialog = h("dialog", { "aria-label": t("noClipboard"), onclose: () => dialog.remove() }, h("p", null, t("noClipboard")), area, h("div", { class: "row" }, h("button", { type: "button", onclick: () => dialog.close() }, t("close"))));
    document.body.append(dialog);
    dialog.showModal();
    area.select();
    return false;
  }
}

const KEPT_STATE = ["prompt", "decoder", "seed", "count", "model", "chat", "text", "at", "by", "tab", "parts", "python", "sliders", "pruned"];

// All that the page holds, as plain values.
export function sharedRecord(lab) {
  const state = Object.fromEntries(KEPT_STATE.map((key) => [key, lab.state[key]]));
  const here = lab.rows.get(lab.rowKey());
  return { unspool_lab: 1, state, runs: lab.state.runs.filter((run) => run.begin).map((run) => run.plain()), vocabulary: lab.vocabulary.told(), looked: [...lab.looked].slice(-200), rows: here ? [[lab.rowKey(), here]] : [], models: lab.start.models };
}

// JSON that may stand in a page: nothing in it ends an element or begins one.
export function embedded(value) {
  return JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

export async function sharedFile(lab) {
  const page = await shellText();
  const mark = "{record}";
  const at = page.indexOf(mark);
  return page.slice(0, at) + embedded(sharedRecord(lab)) + page.slice(at + mark.length);
}

export async function share(lab) {
  try {
    download("unspool-lab.html", await sharedFile(lab), "text/html");
  } catch (error) {
    lab.complain(error.message);
  }
}

export function saveTrace(lab) {
  const run = [...lab.state.runs].reverse().find((one) => one.begin);
  if (run) download("unspool.jsonl", toTrace(run, lab.vocabulary), "application/x-ndjson");
}

export async function openTrace(lab, file) {
  try {
    const { run, tokens, names } = fromTrace(await file.text());
    lab.remember();
    lab.vocabulary.learn({ tokens, names });
    const best = run.end.hypotheses[0]?.tokens ?? [];
    lab.set({ runs: [run], text: best, at: Math.max(0, best.length - 1), message: "", prompt: lab.vocabulary.text(run.begin.prompt) });
    lab.look();
  } catch {
    lab.complain(t("badTrace"));
  }
}

// Take up a record that stands in the page itself.
export function takeRecord(lab, told) {
  lab.readOnly = true;
  lab.start = { ...lab.start, models: told.models };
  Object.assign(lab.state, told.state, { runs: told.runs.map((run) => Run.of(run)) });
  lab.vocabulary.learn(told.vocabulary);
  lab.looked = new Map(told.looked);
  lab.rows = new Map(told.rows);
  if (told.both) takeBoth(lab, told.both);
}
