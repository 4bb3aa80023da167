// The step table: a line for each token, with what else could have come. Only the lines in view are drawn.

import { fill, h } from "./dom.js";
import { heatOf } from "./textview.js";
import { fixed, percent, t } from "./words.js";

const LINE = 34;

export function stepsView(lab) {
  const body = h("div", { class: "lines", role: "rowgroup" });
  const scroll = h("div", { class: "scroll table", role: "table", "aria-label": t("steps"), tabindex: "0" });
  const heads = ["number", "token", "model_p", "after_p", "rank", "entropy", "alternatives"];
  scroll.append(h("div", { class: "line head", role: "row" }, heads.map((key) => h("span", { role: "columnheader", class: `c-${key}` }, t(key)))), body);
  const root = h("section", { class: "card stepscard", "aria-labelledby": "steps-title" }, h("header", null, h("h2", { id: "steps-title" }, t("steps"))), scroll);
  let shownAt = -1;
  let last = "";

  function lines() {
    const path = lab.path;
    const { at, by } = lab.state;
    const first = Math.max(0, Math.floor(scroll.scrollTop / LINE) - 4);
    const end = Math.min(path.length, first + Math.ceil((scroll.clientHeight || 300) / LINE) + 8);
    const state = [first, end, at, by, lab.forest?.version, path.at(-1)?.depth, path[end - 1]?.token].join(" ");
    if (state === last) return;
    last = state;
    scroll.setAttribute("aria-rowcount", String(path.length + 1));
    fill(body, path.slice(first, end).map((node, i) => line(node, first + i, at === first + i, by)));
  }

  function line(node, i, here, by) {
    const choices = node.parent.choices;
    const others = (choices?.tokens ?? []).map((token, k) => [token, choices.logprobs[k], choices.processed[k]]).filter(([token]) => token !== node.token).slice(0, 4);
    const entropy = choices?.entropy;
    const cell = (key, ...content) => h("span", { role: "cell", class: `c-${key}` }, ...content);
    const row = h("div", { class: `line${here ? " here" : ""}`, role: "row", "aria-rowindex": String(i + 2), "data-at": i },
      cell("number", String(i + 1)),
      cell("token", h("bdi", { class: `t h${heatOf(node, by)}` }, lab.forest.label(node))),
      cell("model_p", node.logprob === null ? "0 %" : percent(Math.exp(node.logprob))),
      cell("after_p", node.processed === null ? "✗" : percent(Math.exp(node.processed))),
      cell("rank", node.rank === null ? "" : String(node.rank + 1)),
      cell("entropy", entropy === null || entropy === undefined ? "" : fixed(entropy / Math.LN2)),
      cell("alternatives", others.map(([token, logprob, processed]) => h("button", {
        type: "button", class: `chip${processed === null ? " cut" : ""}`, tabindex: here ? "0" : "-1", title: t("force"), "data-token": token, "data-at": i,
      }, h("bdi", null, lab.forest.label({ word: "", token, parent: node.parent })), h("small", null, percent(Math.exp(logprob)))))),
    );
    row.style.setProperty("top", `${i * LINE}px`);
    return row;
  }

  scroll.addEventListener("scroll", lines, { passive: true });
  body.addEventListener("click", (event) => {
    const chip = event.target.closest(".chip");
    if (chip) return lab.force(Number(chip.dataset.token), Number(chip.dataset.at));
    const row = event.target.closest(".line");
    if (row) lab.select(Number(row.dataset.at));
  });
  return {
    root,
    draw() {
      body.style.setProperty("height", `${lab.path.length * LINE}px`);
    },
    settle(state) {
      if (state.at !== shownAt) {
        shownAt = state.at;
        const top = state.at * LINE;
        const room = scroll.clientHeight - LINE;
        if (top < scroll.scrollTop) scroll.scrollTop = top;
        else if (top + LINE > scroll.scrollTop + room) scroll.scrollTop = Math.ceil((top + LINE - room) / LINE) * LINE;
      }
      lines();
    },
  };
}
