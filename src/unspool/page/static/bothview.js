// Two decoders, or two models, from one prompt, side by side; and two texts of a tree.

import { ask, streamRun } from "./api.js";
import { joined, marked, shortened, shown } from "./bytes.js";
import { fill, h, icon } from "./dom.js";
import { Forest, LONGEST, Run } from "./record.js";
import { heatOf } from "./textview.js";
import { fixed, percent, reasonWord, t } from "./words.js";

// Tokens of a text that are drawn beside another, around the place where they part.
const MOST_BESIDE = 3000;

export function partAt(one, other) {
  let at = 0;
  while (at < one.length && at < other.length && one[at] === other[at]) at++;
  return at;
}

// How many tokens of each text stand whole in what both begin with, where their tokens are not the same: by their bytes.
function partsByBytes(sides) {
  const bytes = sides.map(({ vocabulary, tokens }) => joined(tokens.map((token) => vocabulary.bytesOf(token))));
  const common = partAt(...bytes);
  return sides.map(({ vocabulary, tokens }) => {
    let [end, part] = [0, 0];
    while (part < tokens.length && (end += vocabulary.bytesOf(tokens[part]).length) <= common) part++;
    return part;
  });
}

// Run both, in one batch of the server, and then compare their distributions over the first one's text.
export async function runBoth(lab) {
  const { prompt, decoder, seed, model, chat, count, other } = lab.state;
  lab.bothAbort?.abort();
  const abort = (lab.bothAbort = new AbortController());
  const sides = [{ decoder, model }, { decoder: other.decoder || "greedy", model: other.model || model }];
  const runs = sides.map((side) => new Run({ prompt, seed, chat: chat || undefined, max_new_tokens: count, choices: 5, level: "choices", ...side }));
  const both = { runs, forests: [null, null], texts: [[], []], steps: null, over: 0, working: true };
  lab.set({ both, message: "" });
  const one = (run, i) => streamRun(run.asked, (event) => {
    if (event.error) throw new Error(event.error.message);
    const vocabulary = lab.vocabularyOf(run.asked.model);
    vocabulary.learn(event);
    run.take(event);
    both.forests[i] ??= new Forest(vocabulary, run.begin.prompt);
    both.forests[i].follow(run);
    both.texts[i] = run.end?.hypotheses[0]?.tokens ?? both.forests[i].tip(run)?.path() ?? [];
    lab.draw();
  }, abort.signal);
  try {
    await Promise.all(runs.map(one));
    await compareOver(lab, 0);
  } catch (error) {
    if (error.name !== "AbortError") lab.complain(error.message);
  }
  both.working = false;
  lab.draw();
}

export async function compareOver(lab, over) {
  const both = lab.state.both;
  const [a, b] = both.runs;
  if (lab.readOnly) return;
  both.over = over;
  both.steps = null;
  lab.draw();
  const tokenizer = (name) => lab.start.models.find((m) => m.name === name)?.tokenizer;
  if (tokenizer(a.asked.model) !== tokenizer(b.asked.model) || !both.texts[over].length) return;
  const sides = [a, b].map((run) => ({ decoder: run.asked.decoder, model: run.asked.model }));
  const found = await ask("compare", { prompt: a.asked.prompt, chat: a.asked.chat, seed: a.asked.seed, follow: both.texts[over], sides });
  lab.vocabularyOf(a.asked.model).learn(found);
  both.steps = found.steps;
  lab.draw();
}

// A text beside another: what they share is plain, where they part is marked.
export function besideText(vocabulary, forest, tokens, part, by = "probability") {
  const nodes = forest.along(tokens);
  const from = Math.max(0, Math.min(part, nodes.length) - MOST_BESIDE / 2);
  const gap = (count, word) => (count > 0 ? h("small", null, ` … ${count.toLocaleString()} ${t(word)} `) : null);
  return h("p", { class: "text beside", dir: "auto" }, h("span", { class: "prompt" }, shown(vocabulary.text(forest.prompt))), gap(from, "earlierTokens"), nodes.slice(from, from + MOST_BESIDE).map((node, n) => {
    const i = from + n;
    const kind = i < part ? "t same" : i === part ? `t h${heatOf(node, by)} parting` : `t h${heatOf(node, by)}`;
    return h("span", { class: kind }, shown(shortened(node.word, 400)));
  }), gap(nodes.length - from - MOST_BESIDE, "laterTokens"));
}

function numbersOf(nodes) {
  const last = nodes.at(-1);
  return last ? `${nodes.length} ${t("length")} · ${t("likelihood")} ${fixed(last.sum)} · ${t("perplexity")} ${fixed(Math.exp(-last.sum / nodes.length))}${last.reason ? ` · ${reasonWord(last.reason)}` : ""}` : "\u00a0";
}

// Overlap as an area from 0 to 1; KL as a line up to its largest value, in the direction that is finite more often, broken where it is not.
function chart(steps) {
  const [w, tall] = [600, 90];
  const x = (i) => (steps.length < 2 ? w / 2 : (i / (steps.length - 1)) * w);
  const finite = (name) => steps.filter((step) => step[name] !== null).length;
  const name = finite("kl") >= finite("back") ? "kl" : "back";
  const most = Math.max(0.1, ...steps.map((step) => step[name] ?? 0));
  const overlap = steps.map((step, i) => `${x(i).toFixed(1)},${(tall - step.overlap * tall).toFixed(1)}`);
  const line = steps.map((step, i) => (step[name] === null ? "" : `${i && steps[i - 1][name] !== null ? "L" : "M"}${x(i).toFixed(1)},${(tall - (step[name] / most) * tall).toFixed(1)}`));
  const picture = h("svg", { viewBox: `0 -4 ${w} ${tall + 8}`, class: "chart", preserveAspectRatio: "none", role: "img", "aria-label": `${t("overlap")}, ${t("divergence")}` },
    h("path", { class: "area", d: `M0,${tall} L${overlap.join(" L")} L${w},${tall} Z` }), h("path", { class: "kl", d: line.join(" "), "vector-effect": "non-scaling-stroke" }));
  const direction = name === "kl" ? "KL(A‖B)" : "KL(B‖A)";
  return [picture, h("p", { class: "chartkey" }, h("span", { class: "k-area" }, `${t("overlap")} 0–100 %`), h("span", { class: "k-line" }, `${direction} 0–${fixed(most)} nats`))];
}

export function bothView(lab) {
  const second = h("textarea", { id: "second", rows: "2", spellcheck: "false", autocomplete: "off", oninput: () => (lab.state.other = { ...lab.state.other, decoder: second.value }) });
  const first = h("p", { class: "code" });
  const models = h("select", { id: "second-model", onchange: () => lab.set({ other: { ...lab.state.other, model: models.value } }) });
  const button = h("button", { type: "button", class: "primary", id: "run-both", onclick: () => runBoth(lab) }, icon("both"), t("runBoth"));
  const texts = h("div", { class: "columns" });
  const parting = h("p", { class: "about" }, "\u00a0");
  const over = h("div", { class: "segments", role: "radiogroup", "aria-label": t("overText") }, [0, 1].map((i) => h("button", { type: "button", role: "radio", "data-i": i, onclick: () => compareOver(lab, i).catch((error) => lab.complain(error.message)) }, [t("a"), t("b")][i])));
  const settings = h("ul", { class: "quiet settings" });
  const picture = h("div", { class: "chartbox" });
  const table = h("div", { class: "scroll bothtable", tabindex: "0", role: "region", "aria-label": t("steps") });
  const root = h("section", { class: "card bothcard", "aria-labelledby": "both-title" },
    h("header", null, h("h2", { id: "both-title" }, t("both")), lab.readOnly ? null : button),
    h("div", { class: "pad" }, h("p", { class: "quiet" }, t("bothHint")),
      h("div", { class: "columns" }, h("div", null, h("h3", null, t("a")), first), h("div", null, h("h3", null, t("b")), h("label", { class: "sr", for: "second" }, t("second")), second, h("label", { class: "sr", for: "second-model" }, t("secondModel")), models)),
      texts, parting, settings, h("div", { class: "row" }, h("span", { class: "quiet" }, t("overText")), over), picture, table));
  let seen = "";
  return {
    root,
    draw(state) {
      first.textContent = `${state.decoder}${lab.start.models.length > 1 ? ` — ${state.model}` : ""}`;
      if (document.activeElement !== second && second.value !== state.other.decoder) second.value = state.other.decoder;
      models.hidden = lab.start.models.length < 2;
      if (models.childElementCount !== lab.start.models.length) fill(models, lab.start.models.map((m) => h("option", { value: m.name, selected: m.name === state.other.model }, m.name)));
      const both = state.both;
      over.parentElement.hidden = lab.readOnly || !both?.texts[0].length;
      second.disabled = models.disabled = lab.readOnly;
      for (const one of over.children) one.setAttribute("aria-checked", String(Number(one.dataset.i) === both?.over));
      const key = both ? `${both.forests.map((f) => f?.version).join(" ")} ${both.steps?.length} ${both.over} ${both.runs[0].asked.decoder} ${both.working}` : "";
      if (key === seen) return;
      seen = key;
      if (!both) return void [texts, parting, picture, table].forEach((element) => fill(element));
      const same = both.forests[0]?.vocabulary === both.forests[1]?.vocabulary;
      const sides = [0, 1].map((i) => ({ vocabulary: both.forests[i]?.vocabulary, tokens: both.texts[i] }));
      const ended = both.texts[0].length && both.texts[1].length;
      const at = same ? [partAt(...both.texts), partAt(...both.texts)] : ended ? partsByBytes(sides) : [0, 0];
      fill(texts, [0, 1].map((i) => {
        const forest = both.forests[i];
        return h("div", null, forest ? [besideText(forest.vocabulary, forest, both.texts[i], at[i], state.by), h("p", { class: "numbers" }, numbersOf(forest.along(both.texts[i])))] : h("p", { class: "quiet" }, t("running")));
      }));
      const mean = both.steps?.length ? both.steps.reduce((sum, step) => sum + step.overlap, 0) / both.steps.length : null;
      const equal = at[0] === both.texts[0].length && at[1] === both.texts[1].length;
      const where = same ? at[0] + 1 : `${at[0] + 1} / ${at[1] + 1}`;
      fill(parting, ended ? h("span", null, equal ? t("same") : `${t("parts")} ${where}`) : null, mean === null ? null : h("span", null, `${t("meanOverlap")} ${percent(mean)}`), both.recorded ? h("span", null, t("bounds")) : null);
      fill(settings, (both.settings ?? []).map((one) => h("li", null, one)));
      fill(picture, both.steps?.length ? chart(both.steps) : !same && !both.working ? h("p", { class: "quiet" }, t("otherTokens")) : null);
      fill(table, both.steps?.length ? stepsTable(lab, both) : null);
    },
  };
}

function stepsTable(lab, both) {
  const vocabulary = both.forests[0].vocabulary;
  const nodes = both.forests[both.over].along(both.texts[both.over]);
  const kl = (value) => (value === null ? h("abbr", { title: t("infinite") }, "∞") : fixed(value, 3));
  const word = (token) => h("bdi", null, marked(shortened(vocabulary.word(token), LONGEST)));
  return h("table", null, h("thead", null, h("tr", null, ["number", "token", "divergence", "backDivergence", "overlap"].map((key) => h("th", { scope: "col" }, t(key))), h("th", { scope: "col" }, `${t("best")} A`), h("th", { scope: "col" }, `${t("best")} B`), h("th", { scope: "col" }, "p A"), h("th", { scope: "col" }, "p B"))),
    h("tbody", null, both.steps.map((step, i) => h("tr", { class: step.best[0] === step.best[1] ? null : "differs" }, h("td", null, String(i + 1)), h("td", null, word(nodes[i]?.token)), h("td", null, kl(step.kl)), h("td", null, kl(step.back)), h("td", null, percent(step.overlap)),
      h("td", null, word(step.best[0])), h("td", null, word(step.best[1])), step.logprob.map((value) => h("td", null, value === null ? "✗" : percent(Math.exp(value))))))));
}

// Two recorded runs as they stand in a file: what was told of each, and how their distributions differed.
export function takeBoth(lab, told) {
  const runs = told.runs.map((run) => Run.of(run));
  const forests = runs.map((run) => {
    const forest = new Forest(lab.vocabulary, run.begin.prompt);
    forest.follow(run);
    return forest;
  });
  lab.state.both = { runs, forests, texts: runs.map((run) => run.end.hypotheses[0]?.tokens ?? []), steps: told.steps, over: 0, working: false, recorded: true, settings: told.settings };
}

// The texts there are; one is shown, another can be put beside it.
export function textsView(lab) {
  const list = h("ol", { class: "texts", "aria-label": t("texts") });
  const pair = h("div", { class: "columns pair" });
  const root = h("section", { class: "card textscard", "aria-labelledby": "texts-title" }, h("header", null, h("h2", { id: "texts-title" }, t("texts"))), list);
  const close = h("button", { type: "button", class: "tool", title: t("close"), "aria-label": t("close"), onclick: () => lab.set({ beside: null }) }, icon("close"));
  const beside = h("section", { class: "card paircard", "aria-labelledby": "pair-title", hidden: true }, h("header", null, h("h2", { id: "pair-title" }, t("compareTexts")), close), pair);
  let seen = null;
  let known = { ended: [], texts: [] };
  return {
    root,
    beside,
    draw(state) {
      const ended = state.runs.filter((run) => run.end);
      if (ended.length !== known.ended.length || ended.some((run, i) => run !== known.ended[i])) known = { ended, texts: lab.texts };
      const { texts } = known;
      root.hidden = texts.length < 2;
      const key = `${state.runs.length} ${lab.forest?.version} ${state.text.join(" ")} ${state.beside?.join(" ")} ${state.by}`;
      if (key === seen || root.hidden) return;
      seen = key;
      const current = state.text.join(" ");
      fill(list, texts.slice(0, 60).map((text) => {
        const from = text === texts[0] ? 0 : partAt(text.tokens, texts[0].tokens);                   // what tells it from the first
        const words = (from ? "… " : "") + shown(lab.vocabulary.text(text.tokens.slice(from, from + 60)).slice(0, 300));
        const here = text.tokens.join(" ") === current;
        return h("li", { class: here ? "here" : null }, h("button", { type: "button", class: "entry", "aria-current": here ? "true" : null, onclick: () => lab.show(text.tokens, Math.max(0, text.tokens.length - 1)) },
          h("bdi", null, words), h("small", null, [fixed(text.logprob), text.tokens.length, ...(text.reason === "length" ? [] : [reasonWord(text.reason)])].join(" · "))),
        here ? null : h("button", { type: "button", class: "tool", title: t("compareWith"), "aria-label": t("compareWith"), onclick: () => lab.set({ beside: state.beside === text.tokens ? null : text.tokens }) }, icon("both")));
      }));
      const other = state.beside && lab.forest?.at(state.beside) ? state.beside : null;
      beside.hidden = !other;
      if (!other) return fill(pair);
      const part = partAt(state.text, other);
      fill(pair, [state.text, other].map((tokens, i) => h("div", null, h("h3", null, [t("a"), t("b")][i]), besideText(lab.vocabulary, lab.forest, tokens, part, state.by), h("p", { class: "numbers" }, numbersOf(lab.forest.along(tokens)), i ? ` · ${part === Math.min(state.text.length, other.length) ? t("same") : `${t("parts")} ${part + 1}`}` : ""))));
    },
  };
}
