// The text, coloured by how the model saw each of its tokens. A token is chosen by the pointer or the arrow keys.

import { shortened, shown } from "./bytes.js";
import { fill, h, icon } from "./dom.js";
import { fixed, percent, reasonWord, t } from "./words.js";

// The hottest value of each band but the last, and the heats of the bands, as in the program's own heat view.
export const SCALES = {
  probability: { of: (node) => (node.logprob === null ? 0 : -Math.exp(node.logprob)), limits: [-0.5, -0.1, -0.01, -0.001], labels: ["≥ 50 %", "10–50 %", "1–10 %", "0.1–1 %", "< 0.1 %"], heats: [0, 1, 2, 3, 4] },
  surprisal: { of: (node) => (node.logprob === null ? Infinity : -node.logprob / Math.LN2), limits: [1, 3, 6, 10], labels: ["≤ 1", "1–3", "3–6", "6–10", "> 10"], heats: [0, 1, 2, 3, 4] },
  entropy: { of: (node) => (node.parent.choices?.entropy ?? NaN) / Math.LN2, limits: [1, 2, 4, 6], labels: ["≤ 1", "1–2", "2–4", "4–6", "> 6"], heats: [0, 1, 2, 3, 4] },
  effective: { of: (node) => Math.exp(node.parent.choices?.entropy ?? NaN), limits: [2, 5, 20, 100], labels: ["≤ 2", "2–5", "5–20", "20–100", "> 100"], heats: [0, 1, 2, 3, 4] },
  rank: { of: (node) => (node.rank === null ? NaN : node.rank + 1), limits: [1, 10, 100], labels: ["1", "2–10", "11–100", "> 100"], heats: [0, 1, 3, 4] },
};
// What a first look may begin with.
const TRIES = [
  ["try_nucleus", "temperature(0.9) | top_p(0.9) | sample(5)", 24],
  ["try_beam", "beam(4, n=4)", 12],
  ["try_greedy", "greedy", 60],
  ["try_exact", "exact(3, nodes=3000)", 4],
];
// Characters of one token that are shown in the text.
const MOST_SHOWN = 2000;
// Tokens of a text that are drawn at once, and by how many the window on a longer one moves.
const MOST_TOKENS = 3000;
const SLIDES_BY = 1000;
export const MEASURES = [...Object.keys(SCALES), "plain"];

export function heatOf(node, by) {
  const scale = SCALES[by];
  const value = scale ? scale.of(node) : NaN;
  if (Number.isNaN(value)) return 0;
  const band = scale.limits.findIndex((limit) => value <= limit);
  return scale.heats[band < 0 ? scale.limits.length : band];
}

// lessons: buttons that begin one, for a page on which nothing is decoded yet.
export function textView(lab, lessons = []) {
  const prompt = h("span", { class: "prompt" });
  const box = h("span", { tabindex: "0", role: "listbox", "aria-label": t("text"), "aria-orientation": "horizontal", id: "text" });
  const whole = h("div", { class: "text", dir: "auto" }, prompt);
  const next = h("span", { class: "t next", role: "option", id: "t-next", "aria-selected": "false" }, "\u00a0");
  const empty = h("div", { class: "start quiet" }, lessons.length ? [h("p", null, t("emptyLessons")), h("div", { class: "row startlessons" }, lessons)] : null, h("p", null, t("empty")), h("ul", { class: "tries" }, TRIES.map(([key, decoder, count]) => h("li", null, h("button", { type: "button", onclick: () => lab.tryOut(decoder, count) }, h("code", null, decoder), h("small", null, t(key)))))));
  const legend = h("div", { class: "legend", "aria-hidden": "true" });
  const ending = h("span", { class: "ending" });
  const numbers = h("p", { class: "numbers" });
  let drawn = [];
  let coloured = "";
  let known = null;
  let old = null;
  let first = 0;
  let unseen = false;
  // A text of more tokens than are drawn at once goes on behind these, by their count; the arrow keys lead there, too.
  const beyond = (to) => h("button", { type: "button", class: "beyond", hidden: true, onclick: () => lab.select(to()) });
  const earlier = beyond(() => first - 1);
  const later = beyond(() => first + MOST_TOKENS);
  box.addEventListener("click", (event) => {
    const at = event.target.closest?.("[data-at]")?.dataset.at;
    if (at !== undefined) lab.select(Number(at));
  });

  function draw(state) {
    const path = lab.path;
    const forest = lab.forest;
    empty.hidden = path.length > 0 || Boolean(forest);
    whole.hidden = !forest;
    prompt.textContent = forest ? shown(lab.vocabulary.text(forest.prompt.filter((token) => lab.vocabulary.bytesOf(token).length))) : "";
    const from = windowOn(path, state.at);
    const part = path.length > MOST_TOKENS ? path.slice(from, from + MOST_TOKENS) : path;
    let same = known === path && from === first ? part.length : 0;
    if (!same && from === first) while (same < drawn.length && same < part.length && drawn[same].node === part[same] && drawn[same].look === looks(part, same, path)) same++;
    for (const gone of drawn.splice(same)) gone.element.remove();
    for (let i = same; i < part.length; i++) {
      const element = word(part[i], state.by, from + i + 1 === path.length);
      box.insertBefore(element, next);
      drawn.push({ node: part[i], element, look: looks(part, i, path) });
    }
    first = from;
    more(earlier, from, "earlierTokens");
    more(later, path.length - from - part.length, "laterTokens");
    if (coloured !== state.by) for (const one of drawn.slice(0, same)) one.element.className = kindsOf(one.node, state.by, one.element.textContent);
    coloured = state.by;
    known = path;
    const here = drawn[state.at - from]?.element ?? (forest ? next : null);
    here?.classList.add("here");
    const moved = old !== here;
    if (moved) {
      old?.classList.remove("here");
      old?.setAttribute("aria-selected", "false");
      old = here;
      here?.setAttribute("aria-selected", "true");
    }
    if (here) box.setAttribute("aria-activedescendant", here.id);
    next.dataset.at = path.length;
    next.setAttribute("aria-label", t("atEnd"));
    if (moved || lab.running) unseen = true;
    const last = path.at(-1);
    ending.textContent = lab.running ? "" : last?.reason ? reasonWord(last.reason) : "";
    const sum = last?.sum ?? 0;
    numbers.textContent = path.length ? `${path.length} ${t("length")} · ${t("likelihood")} ${fixed(sum)} · ${t("perplexity")} ${fixed(Math.exp(-sum / path.length))}` : "\u00a0";
    const scale = SCALES[state.by];
    fill(legend, scale ? scale.labels.map((label, i) => h("span", { class: `key h${scale.heats[i]}` }, label)) : []);
  }

  // Scroll the text alone, so that the place in question is seen with its whole line.
  function inSight() {
    if (!old?.isConnected || !scroll.clientHeight) return;
    if (lab.running) old.scrollIntoView?.({ block: "nearest" });
    const [place, frame] = [old.getBoundingClientRect(), scroll.getBoundingClientRect()];
    const room = Math.min(place.height / 2, frame.height / 4);
    if (place.bottom + room > frame.bottom) scroll.scrollTop += place.bottom + room - frame.bottom;
    else if (place.top - room < frame.top) scroll.scrollTop -= frame.top - place.top + room;
  }

  // What a drawn token depends on beside its node: its probability, which may come later, and whether the text ends within its character.
  function looks(part, i, path) {
    return `${part[i].logprob} ${part[i].rank} ${part[i].pending.length > 0 && part[i] === path.at(-1)}`;
  }

  // Where the window on a text begins, so that the place in question is in it; it stays as long as it can.
  function windowOn(path, at) {
    if (path.length <= MOST_TOKENS) return 0;
    const place = Math.min(at, path.length - 1);
    const stays = first < path.length && place >= first && place < first + MOST_TOKENS;
    return stays ? first : Math.max(0, Math.min(Math.floor(place / SLIDES_BY - 1) * SLIDES_BY, path.length - MOST_TOKENS));
  }

  function more(button, count, word) {
    button.hidden = count <= 0;
    button.textContent = `… ${count.toLocaleString()} ${t(word)}`;
  }

  function kindsOf(node, by, text) {
    const special = !lab.vocabulary.bytesOf(node.token).length;
    return ["t", `h${heatOf(node, by)}`, special ? "special" : "", text ? "" : "part"].join(" ");
  }

  // A character that several tokens make up is seen where it is finished; one that the text ends in, as its bytes.
  function word(node, by, last) {
    const text = shown(shortened(last ? node.word : node.finished, MOST_SHOWN));
    const at = node.depth - 1;
    const label = `${lab.forest.label(node)} ${node.logprob === null ? "0 %" : percent(Math.exp(node.logprob))}`;
    const element = h("span", { class: kindsOf(node, by, text), id: `t-${at}`, "data-at": at, role: "option", "aria-selected": "false", "aria-label": label });
    for (const piece of text.split(/(⏎)/)) {
      if (piece === "⏎") element.append("⏎", h("br"));
      else if (piece) element.append(piece);
    }
    return element;
  }

  const scroll = h("div", { class: "scroll" }, empty, whole);
  new ResizeObserver(inSight).observe(scroll);
  box.append(next);
  whole.append(earlier, box, later);
  const measures = h("div", { class: "segments", role: "radiogroup", "aria-label": t("colour") },
    MEASURES.map((by) => h("button", { type: "button", role: "radio", "data-by": by, title: by === "effective" ? t("effectiveChoices") : null, onclick: () => lab.set({ by }) }, t(by))));
  const pencil = h("button", { type: "button", class: "quietly", id: "write", title: `${t("write")} (w)`, onclick: () => writing(lab) }, icon("edit"), h("span", null, t("write")));
  const root = h("section", { class: "card textcard", "aria-labelledby": "text-title" },
    h("header", null, h("h2", { id: "text-title" }, t("text")), measures, lab.readOnly ? null : pencil),
    scroll, h("footer", null, numbers, ending, legend));
  return {
    root,
    draw(state) {
      draw(state);
      for (const button of measures.children) button.setAttribute("aria-checked", String(button.dataset.by === state.by));
    },
    settle() {
      if (unseen) inSight();
      unseen = false;
    },
  };
}

// A window in which to write what the text goes on with.
export function writing(lab) {
  const area = h("textarea", { rows: "5", "aria-label": t("write"), dir: "auto", value: lab.state.runs.length ? lab.vocabulary.text(lab.state.text) : "" });
  const done = (then) => {
    dialog.close();
    if (area.value) lab.write(area.value, then);
  };
  const dialog = h("dialog", { "aria-labelledby": "write-title", onclose: () => dialog.remove() },
    h("h2", { id: "write-title" }, t("write")), h("p", { class: "quiet" }, t("writeHint")), area,
    h("div", { class: "row" }, h("button", { type: "button", onclick: () => dialog.close() }, t("cancel")), h("button", { type: "button", onclick: () => done(false) }, t("read")),
      h("button", { type: "button", class: "primary", onclick: () => done(true) }, t("readOn"))));
  document.body.append(dialog);
  dialog.showModal();
  area.focus();
}
