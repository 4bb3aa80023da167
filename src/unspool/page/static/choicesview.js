// What may come at a place: the likeliest tokens before and after every processor, what was cut and by whom; and the sliders.

import { marked, shortened } from "./bytes.js";
import { SLIDERS, asDecoder, drawn, entropyOf, fromBase64, probabilities, processed, ranking } from "./chain.js";
import { fill, h } from "./dom.js";
import { LONGEST } from "./record.js";
import { fixed, percent, t } from "./words.js";

const SHOWN = 24;

export function choicesView(lab) {
  const about = h("p", { class: "about" }, "\u00a0");
  const stages = h("div", { class: "segments wrap", role: "radiogroup", "aria-label": t("stages") });
  const heads = h("div", { class: "choice head", "aria-hidden": "true" });
  const list = h("ol", { class: "choices", id: "choices", "aria-label": t("choices") });
  const sliders = slidersPanel(lab);
  const tabs = h("div", { class: "segments", role: "tablist" }, ["stages", "sliders"].map((tab) => h("button", { type: "button", role: "tab", "data-tab": tab, id: `tab-${tab}`, "aria-controls": "choices-panel", onclick: () => {
    lab.set({ tab });
    lab.look();
  } }, t(tab))));
  const root = h("section", { class: "card choicescard", "aria-labelledby": "choices-title" },
    h("header", null, h("h2", { id: "choices-title" }, t("choices")), tabs),
    h("div", { role: "tabpanel", id: "choices-panel", "aria-labelledby": "tab-stages", class: "panel" }, about, stages, sliders.root, heads, h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t("choices") }, list)));
  list.addEventListener("click", (event) => {
    const row = event.target.closest("[data-token]");
    if (row) lab.force(Number(row.dataset.token));
  });

  function draw(state) {
    for (const tab of tabs.children) {
      tab.setAttribute("aria-selected", String(tab.dataset.tab === state.tab));
      tab.tabIndex = tab.dataset.tab === state.tab ? 0 : -1;
    }
    root.querySelector("#choices-panel").setAttribute("aria-labelledby", `tab-${state.tab}`);
    stages.hidden = state.tab !== "stages";
    sliders.root.hidden = state.tab !== "sliders";
    const node = lab.nodeAt();
    if (!node) {
      fill(about, t("emptyChoices"));
      fill(list);
      fill(stages);
      fill(heads);
      lab.options = [];
      return;
    }
    const own = state.text[state.at] ?? null;
    const found = state.tab === "sliders" ? sliders.rows(state) : recorded(state);
    lab.options = found.rows.map((row) => row.token);
    fill(about, h("span", null, own === null ? t("atEnd") : `${t("place")} ${state.at + 1}`), ...found.about);
    fill(heads, h("span", null, t("token")), h("span"), h("span", null, found.left), h("span", null, found.right));
    const most = Math.max(1e-9, ...found.rows.map((row) => Math.max(row.before, row.after)));
    const known = new Set(node.children.keys());
    reuse(list, found.rows, (row, i) => choice(row, i, most, own, known, node, state));
  }

  function choice(row, i, most, own, known, node, state) {
    const word = marked(shortened(lab.vocabulary.word(row.token, node.pending), LONGEST));
    const kinds = ["choice", row.after === 0 ? "cut" : "", row.token === own ? "own" : "", i === state.pick ? "pick" : ""].join(" ");
    const before = row.before / most;
    const after = row.after / most;
    const mark = row.token === own ? "●" : known.has(row.token) ? "○" : "";
    const label = `${word} ${percent(row.before)} → ${row.after === 0 ? row.cut || "✗" : percent(row.after)}`;
    return h("li", null, h("button", { type: "button", class: kinds, "data-token": row.token, "aria-label": label, title: lab.readOnly ? null : t("force") },
      h("bdi", { class: "word" }, word, h("i", null, mark)),
      h("span", { class: "bars" }, h("span", { class: "bar ghost", style: { "--w": before } }), h("span", { class: "bar", style: { "--w": after } }), row.drawn === undefined ? null : h("span", { class: "dots", style: { "--w": Math.min(1, row.drawn / 100 / most) } })),
      h("span", { class: "num" }, percent(row.before)),
      h("span", { class: "num" }, row.after === 0 ? "✗" : percent(row.after), row.drawn === undefined ? null : h("small", { title: t("drawn") }, ` ${row.drawn}`)),
      row.cut ? h("span", { class: "why", title: row.cut }, row.cut) : null));
  }

  // Rows out of the record: before and after the stage that is looked at, or before and after all.
  function recorded(state) {
    const choices = lab.choicesAt();
    if (!choices) return { rows: [], about: [], left: t("before"), right: t("after") };
    const its = choices.stages;
    const names = its?.names ?? [];
    const stage = state.stage > 0 && state.stage < names.length ? state.stage : 0;
    fill(stages, names.length > 1 ? [0, ...names.slice(1).map((_, i) => i + 1)].map((i) => h("button", {
      type: "button", role: "radio", "aria-checked": String(i === stage), onclick: () => lab.set({ stage: i }),
    }, i === 0 ? t("all") : names[i], h("small", null, i === 0 ? "" : ` ${its.kept[i]} · ${percent(its.mass[i])}`))) : []);
    const chance = (value) => (value === null || value === undefined ? 0 : Math.exp(value));
    const last = names.length - 1;
    const rows = choices.tokens.slice(0, SHOWN).map((token, k) => {
      const from = stage ? its.logprobs[stage - 1][k] : choices.logprobs[k];
      const to = stage ? its.logprobs[stage][k] : its ? its.logprobs[last][k] : choices.processed[k];
      return { token, before: chance(from), after: chance(to), cut: cutBy(its, k) };
    });
    const entropy = its ? its.entropy[stage || last] : choices.entropy;
    const kept = its ? its.kept[stage || last] : null;
    const about = [];
    if (entropy !== null && entropy !== undefined) about.push(h("span", null, `${t("entropy")} ${fixed(Math.abs(entropy) / Math.LN2)} ${t("bits")}`), h("span", null, `${fixed(Math.exp(Math.abs(entropy)), 1)} ${t("effectiveChoices")}`));
    if (kept !== null) about.push(h("span", null, `${kept} ${t("possible")}`));
    const plain = !stage;
    return { rows: visible(rows, state), about, left: plain ? t("model_p") : t("before"), right: plain ? t("after_p") : t("after") };
  }

  function visible(rows, state) {
    return state.stage > 0 ? rows.filter((row) => row.before > 0) : rows;
  }

  function cutBy(its, k) {
    if (!its) return "";
    const stage = its.logprobs.findIndex((row) => row[k] === null);
    if (stage < 1) return "";
    const spared = its.sparing?.[k];
    return `${t("cutBy")} ${its.names[stage]}${spared ? ` · ${t("survives")}: ${spared}` : ""}`;
  }

  return { root, draw };
}

// Put rows in place; where the same row stands already, it stays, so that focus does.
function reuse(list, rows, make) {
  const { activeElement } = list.getRootNode();
  const focused = list.contains(activeElement) ? [...list.querySelectorAll("button")].indexOf(activeElement) : -1;
  fill(list, rows.map(make));
  if (focused >= 0) list.querySelectorAll("button")[Math.min(focused, rows.length - 1)]?.focus();
}

function slidersPanel(lab) {
  const outputs = new Map();
  const grid = h("div", { class: "sliders" }, SLIDERS.map((slider) => {
    const output = h("output", { for: `s-${slider.name}` });
    const input = h("input", { type: "range", id: `s-${slider.name}`, min: slider.least, max: slider.most, step: slider.step, value: slider.off, oninput: () => {
      lab.set({ sliders: { ...lab.state.sliders, [slider.name]: Number(input.value) } });
    } });
    outputs.set(slider.name, { input, output, off: slider.off });
    return h("div", { class: "slider" }, h("label", { for: `s-${slider.name}` }, slider.name.replaceAll("_", " ")), input, output);
  }));
  const draws = h("button", { type: "button", id: "draw100", onclick: () => lab.set({ drawing: lab.state.drawing + 1 }) }, t("draw100"));
  const use = h("button", { type: "button", id: "use-sliders", onclick: () => lab.readDecoder(asDecoder(lab.state.sliders)) }, t("useSliders"));
  const reset = h("button", { type: "button", onclick: () => lab.set({ sliders: {}, drawing: 0 }) }, t("resetSliders"));
  const root = h("div", { class: "sliderpanel" }, grid, h("div", { class: "row", title: t("sliderNote") }, draws, lab.readOnly ? null : use, reset));
  let cache = null;

  function rows(state) {
    for (const [name, { input, output, off }] of outputs) {
      const value = state.sliders[name] ?? off;
      if (Number(input.value) !== value) input.value = value;
      output.textContent = value === off ? "—" : String(value);
      input.parentElement.classList.toggle("moved", value !== off);
    }
    const row = lab.rows.get(lab.rowKey());
    if (!row) return { rows: [], about: [], left: t("model_p"), right: t("after_p") };
    if (cache?.row !== row) cache = { row, logits: fromBase64(row.logits) };
    const text = { all: row.path, fresh: row.path.slice(row.prompt) };
    cache.model ??= probabilities(cache.logits);
    cache.order ??= ranking(cache.model);
    const after = probabilities(processed(cache.logits, state.sliders, text));
    const counts = state.drawing ? drawn(after, 100, state.drawing) : null;
    const likeliest = [...cache.order.subarray(0, SHOWN)];
    const others = [...(counts?.keys() ?? [])].filter((token) => !likeliest.includes(token)).sort((a, b) => counts.get(b) - counts.get(a)).slice(0, 12);
    lab.learnWords([...likeliest, ...others]);
    const kept = after.reduce((n, p) => n + (p > 0), 0);
    const H = entropyOf(after);
    Object.assign(lab, { after, before: cache.model, afterOf: lab.rowKey() });
    return {
      rows: [...likeliest, ...others].map((token) => ({ token, before: cache.model[token], after: after[token], cut: "", drawn: counts ? counts.get(token) ?? 0 : undefined })),
      about: [h("span", null, `${t("entropy")} ${fixed(H / Math.LN2)} ${t("bits")}`), h("span", null, `${fixed(Math.exp(H), 1)} ${t("effectiveChoices")}`), h("span", null, `${kept} ${t("possible")}`)],
      left: t("model_p"), right: t("after_p"),
    };
  }

  return { root, rows };
}

