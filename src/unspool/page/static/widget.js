// One record in a notebook: the page's own text, step table, choices and tree, mounted in an element. A selection goes back to the notebook.

import { drawAll, fill, h } from "./dom.js";
import { choicesView } from "./choicesview.js";
import { Lab } from "./lab.js";
import { fromTrace } from "./record.js";
import { stepsView } from "./stepsview.js";
import { SCALES, textView } from "./textview.js";
import { treeView } from "./treeview.js";
import { speak } from "./words.js";

const LIGHTS = '[data-jp-theme-light="true"], .vscode-light, [theme="light"]';
const DARKS = '[data-jp-theme-light="false"], .vscode-dark, [theme="dark"]';

// A lab that only looks at what a trace's file holds.
export function labOf(trace) {
  const { run, tokens, names } = fromTrace(trace);
  const lab = new Lab();
  lab.readOnly = true;
  lab.start = { ...lab.start, models: [{ name: run.asked.model, context: 0, chat: false, tokenizer: "" }] };
  const text = run.end.hypotheses[0]?.tokens ?? [];
  Object.assign(lab.state, { decoder: run.asked.decoder, model: run.asked.model, runs: [run], text, at: Math.max(0, text.length - 1) });
  lab.vocabulary.learn({ tokens, names });
  return lab;
}

// What is selected, for a program: the place from 1, the tokens up to it, the token's text and its numbers.
export function selectionOf(lab) {
  const { text, at } = lab.state;
  const node = lab.path[at];
  if (!node) return { step: at + 1, token: null, text: "", tokens: text.slice(0, at), logprob: null, processed: null, rank: null, score: null };
  const rank = node.rank === null ? null : node.rank + 1;
  return { step: at + 1, token: node.token, text: node.word, tokens: text.slice(0, at + 1), logprob: node.logprob, processed: node.processed, rank, score: node.score };
}

// The notebook's theme where it names one; the system's otherwise.
function themeAt(element) {
  const named = element.closest(`${LIGHTS}, ${DARKS}`);
  return named ? (named.matches(DARKS) ? "dark" : "light") : "";
}

export function renderWidget({ model, el }, style) {
  const host = h("div", { class: "unspool-widget", "data-lm-suppress-shortcuts": "true" });   // JupyterLab's, where d d deletes the cell
  const inner = host.attachShadow({ mode: "open" });
  el.append(host);
  speak(navigator.language.startsWith("ko") ? "ko" : "en", host);
  const ending = new AbortController();
  let lab = null;
  let told = "";

  function mount() {
    lab = labOf(model.get("record"));
    if (model.get("by") in SCALES) lab.state.by = model.get("by");
    const views = [textView(lab), choicesView(lab), treeView(lab), stepsView(lab)];
    const [text, choices, tree, steps] = views.map((view) => view.root);
    fill(inner, h("style", null, style), h("main", { class: "widget" }, text, choices, steps, tree));
    choices.querySelector('[role="tablist"]').hidden = true;              // the sliders need a model
    lab.listeners = [(state) => {
      drawAll(views, state);
      tell();
    }];
    lab.draw();
  }

  // Say what is selected; what was said already is not said again.
  function tell() {
    const found = selectionOf(lab);
    const by = lab.state.by;
    const now = JSON.stringify([found, by]);
    if (now === told) return;
    told = now;
    model.set("selected", found);
    model.set("by", by);
    model.save_changes();
  }

  function theme() {
    const name = themeAt(host);
    if (name) host.dataset.theme = name;
    else delete host.dataset.theme;
    lab?.draw();
  }

  inner.addEventListener("keydown", (event) => {
    if (event.target.closest?.("canvas, button, input, summary") || event.ctrlKey || event.metaKey || event.altKey) return;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();                                              // a notebook has keys of its own
    lab.select(lab.state.at + by);
  });
  const recolour = () => model.get("by") in SCALES && lab.set({ by: model.get("by") });
  model.on("change:record", mount);
  model.on("change:by", recolour);
  const watched = new MutationObserver(theme);
  watched.observe(document.body, { attributes: true });
  watched.observe(document.documentElement, { attributes: true });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => lab.draw(), { signal: ending.signal });
  mount();
  theme();
  return () => {
    model.off("change:record", mount);
    model.off("change:by", recolour);
    watched.disconnect();
    ending.abort();
    host.remove();
  };
}
