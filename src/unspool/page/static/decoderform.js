// The decoder as a row of parts, each with its settings; what is built here and what is written are kept the same.

import { fill, h, icon } from "./dom.js";
import { familyWord, t } from "./words.js";

// A part as it is written, from its name and what is given.
export function writtenPart(part, method) {
  const [first, ...rest] = method?.parameters ?? [];
  const given = [];
  if (first && part.given[first.name]?.trim()) given.push(part.given[first.name].trim());
  const gap = first && !given.length;
  for (const one of rest) if (part.given[one.name]?.trim()) given.push(`${one.name}=${part.given[one.name].trim()}`);
  return given.length || (gap && first.default === "") ? `${part.name}(${given.join(", ")})` : part.name;
}

// What a range allows: {least, most, whole}, or the words to choose from, or nothing that is known.
export function rangeOf(parameter) {
  const { range, default: value } = parameter;
  const words = [...range.matchAll(/"[^"]*"|\bTrue\b|\bFalse\b/g)].map((found) => found[0].replaceAll('"', "'"));
  if (words.length > 1) return { words };
  if (value === "True" || value === "False") return { words: ["True", "False"] };
  const closed = range.match(/^([[(])\s*(-?[\d.]+|-inf|\w+),\s*(-?[\d.]+|inf|\w+)\s*([\])])/);
  if (closed) return { least: Number(closed[2]), most: Number(closed[3]) };
  const above = range.match(/^>=? ?(-?[\d.]+)/);
  if (above) return { least: Number(above[1]), most: Infinity, whole: /^\d*$/.test(value) };
  if (range === "any") return { least: -Infinity, most: Infinity };
  return {};
}

export function decoderForm(lab) {
  const input = h("textarea", { id: "decoder", rows: "2", spellcheck: "false", autocomplete: "off", autocapitalize: "off", "aria-describedby": "decoder-problem decoder-hint", dir: "ltr" });
  const problem = h("p", { class: "problem", id: "decoder-problem", role: "alert" }, "\u00a0");
  const parts = h("div", { class: "parts", role: "group", "aria-label": t("decoder") });
  const editor = h("div", { class: "editor" });
  const adder = h("button", { type: "button", class: "add", onclick: () => adding(lab, insert) }, icon("plus"), t("add"));
  let open = -1;
  let timer = 0;
  let drawnParts = null;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    lab.state.decoder = input.value;
    timer = setTimeout(() => lab.readDecoder(input.value), 200);
  });
  const methodOf = (name) => lab.start.methods.find((method) => method.name === name);

  function write(some) {
    lab.readDecoder(some.map((part) => writtenPart(part, methodOf(part.name))).join(" | ") || "greedy");
  }

  function changed(i, change) {
    const some = lab.state.parts.map((part) => ({ ...part, given: { ...part.given } }));
    change(some, i);
    write(some);
  }

  // A new part stands where its role does: processors before the strategy, stops behind it; a strategy takes the place of another.
  function insert(method) {
    const given = {};
    for (const one of method.parameters) if (one.default === "") given[one.name] = exampleOf(method, one.name);
    const some = lab.state.parts.map((part) => ({ ...part }));
    const at = some.findIndex((part) => part.role === "strategy");
    const part = { name: method.name, role: method.role, given };
    if (method.role === "strategy" && at >= 0) some[at] = part;
    else if (method.role === "processor") some.splice(at < 0 ? some.filter((one) => one.role === "processor").length : at, 0, part);
    else some.push(part);
    open = some.indexOf(part);
    write(some);
  }

  function exampleOf(method, name) {
    const found = method.example.match(new RegExp(`\\b${method.name}\\((?:.*?\\b${name}=)?([^,()|]+|'[^']*'|"[^"]*")`));
    return found ? found[1].trim() : "";
  }

  function chip(part, i) {
    const given = Object.values(part.given).join(", ");
    return h("button", { type: "button", class: `part ${part.role}${i === open ? " open" : ""}`, "aria-expanded": String(i === open), "aria-controls": "part-editor", onclick: () => {
      open = open === i ? -1 : i;
      drawnParts = null;
      lab.draw();
    } }, part.name.replaceAll("_", " "), given ? h("small", null, given.length > 22 ? `${given.slice(0, 21)}…` : given) : null);
  }

  function edit(part, i) {
    const method = methodOf(part.name);
    if (!method) return [];
    const fields = method.parameters.map((parameter) => field(parameter, part, i));
    const button = (key, name, action, disabled) => h("button", { type: "button", class: "tool", title: t(key), "aria-label": t(key), onclick: action, disabled }, icon(name));
    const same = (j) => lab.state.parts[j]?.role === part.role;
    const swap = (j) => {
      open = j;
      changed(i, (some) => ([some[i], some[j]] = [some[j], some[i]]));
    };
    return [
      h("div", { class: "row" }, h("h3", null, part.name), h("span", { class: "grow" }), button("earlier", "left", () => swap(i - 1), !same(i - 1)), button("later", "right", () => swap(i + 1), !same(i + 1)),
        button("remove", "close", () => {
          open = -1;
          changed(i, (some) => some.splice(i, 1));
        })),
      h("p", { class: "meaning", lang: "en" }, method.meaning), ...(fields.length ? fields : [h("p", { class: "quiet" }, t("noParameters"))]),
      method.formula.length ? h("p", { class: "formula", lang: "en" }, method.formula.join("\n")) : null,
      method.when ? h("details", null, h("summary", null, t("when")), h("p", { lang: "en" }, method.when)) : null,
    ];
  }

  function field(parameter, part, i) {
    const id = `field-${i}-${parameter.name}`;
    const value = part.given[parameter.name] ?? "";
    const set = (text) => changed(i, (some) => (some[i].given[parameter.name] = text));
    const range = rangeOf(parameter);
    const hint = [parameter.range && `${t("range")} ${parameter.range}`, parameter.default && `${t("defaultIs")} ${parameter.default}`].filter(Boolean).join(" · ");
    let control;
    if (range.words) {
      control = h("select", { id, onchange: (event) => set(event.target.value) }, [...(parameter.default ? [""] : []), ...range.words].map((word) => h("option", { value: word, selected: word === value }, word || parameter.default)));
    } else {
      control = h("input", { id, type: "text", value, placeholder: parameter.default || "…", autocomplete: "off", spellcheck: "false", inputmode: range.least !== undefined ? "decimal" : "text", onchange: (event) => set(event.target.value) });
    }
    const slide = Number.isFinite(range.least) && Number.isFinite(range.most) && !range.words
      ? h("input", { type: "range", min: range.least, max: range.most, step: (range.most - range.least) / 100, value: Number(value || parameter.default) || 0, "aria-label": parameter.name, oninput: (event) => (control.value = String(Number(Number(event.target.value).toFixed(3)))), onchange: (event) => set(String(Number(Number(event.target.value).toFixed(3)))) })
      : null;
    return h("div", { class: "field" }, h("label", { for: id }, parameter.name), h("span", { class: "controls" }, control, slide), h("small", { lang: "en" }, [parameter.meaning, hint].filter(Boolean).join(" — ")));
  }

  editor.id = "part-editor";
  const root = h("div", { class: "decoderform" }, h("label", { for: "decoder" }, t("decoder")), input, problem, h("span", { class: "sr", id: "decoder-hint" }, t("decoderHint")), parts, editor);
  return {
    root,
    input,
    draw(state) {
      if (input.value !== state.decoder && document.activeElement !== input) input.value = state.decoder;
      problem.textContent = state.problem || "\u00a0";
      problem.title = state.problem;
      root.classList.toggle("wrong", Boolean(state.problem));
      if (drawnParts === state.parts) return;
      drawnParts = state.parts;
      if (open >= state.parts.length) open = -1;
      const focused = document.activeElement?.id;
      fill(parts, state.parts.map(chip), adder);
      fill(editor, open >= 0 ? edit(state.parts[open], open) : []);
      editor.hidden = open < 0;
      if (focused?.startsWith("field-")) document.getElementById(focused)?.focus();
    },
  };
}

// A window with every part, by family, in which one is found by its name or by what it does.
function adding(lab, insert) {
  const list = h("div", { class: "catalogue" });
  const search = h("input", { type: "search", placeholder: t("search"), "aria-label": t("search"), autocomplete: "off" });
  const show = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (method) => words.every((word) => `${method.name} ${method.aliases.join(" ")} ${method.meaning} ${method.family}`.toLowerCase().includes(word));
    fill(list, Object.entries(lab.start.families).map(([family, title]) => {
      const some = lab.start.methods.filter((method) => method.family === family && fits(method));
      return some.length ? h("section", null, h("h3", null, familyWord(family, title)), some.map((method) => h("button", { type: "button", class: "entry", onclick: () => {
        dialog.close();
        insert(method);
      } }, h("b", { class: method.role }, method.name), h("span", { lang: "en" }, method.meaning)))) : null;
    }));
  };
  search.addEventListener("input", show);
  const dialog = h("dialog", { class: "wide", "aria-labelledby": "add-title", onclose: () => dialog.remove() },
    h("div", { class: "row" }, h("h2", { id: "add-title" }, t("add")), h("span", { class: "grow" }), h("button", { type: "button", class: "tool", "aria-label": t("close"), onclick: () => dialog.close() }, icon("close"))), search, list);
  document.body.append(dialog);
  show();
  dialog.showModal();
  search.focus();
}
