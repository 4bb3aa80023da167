// The page: its parts put together, its keys, and what it remembers of how it is to look.

import { hasServer } from "./api.js";
import { bothView, textsView } from "./bothview.js";
import { choicesView } from "./choicesview.js";
import { decoderForm } from "./decoderform.js";
import { drawAll, fill, h, icon } from "./dom.js";
import { Lab } from "./lab.js";
import { lessonButtons, lessonView } from "./lessonview.js";
import { commandOf, copyText, openTrace, pythonOf, saveTrace, share, sharedFile, takeRecord } from "./share.js";
import { stepsView } from "./stepsview.js";
import { MEASURES, textView, writing } from "./textview.js";
import { treeView } from "./treeview.js";
import { KEYS, speak, spoken, t } from "./words.js";

const lab = (globalThis.lab = new Lab());
lab.sharedFile = () => sharedFile(lab);
let views = [];
let tree = null;
let form = null;

function kept(name, value) {
  try {
    if (value === undefined) return localStorage.getItem(`unspool.${name}`);
    localStorage.setItem(`unspool.${name}`, value);
  } catch {
    return null;                                                       // a file's page may keep nothing
  }
  return value;
}

function themeIs(name) {
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
  lab.draw();
}

function turnTheme() {
  const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  themeIs(kept("theme", dark ? "light" : "dark") ?? (dark ? "light" : "dark"));
}

function turnLanguage() {
  speak(spoken() === "en" ? "ko" : "en");
  kept("language", spoken());
  mount();
}

// --- the parts ------------------------------------------------------------------------------------------------------

function headerBar() {
  const tool = (key, name, action, id) => h("button", { type: "button", class: "tool", id, title: t(key), "aria-label": t(key), onclick: action }, icon(name));
  const pages = h("div", { class: "segments", role: "radiogroup", "aria-label": t("views") }, ["lab", "both"].map((page) => h("button", { type: "button", role: "radio", "data-page": page, id: `page-${page}`, onclick: () => lab.set({ page }) }, page === "lab" ? t("pageLab") : t("both"))));
  const undo = tool("undo", "undo", () => lab.undo(), "undo");
  const redo = tool("redo", "redo", () => lab.redo(), "redo");
  const file = h("input", { type: "file", accept: ".jsonl,.json", class: "sr", tabindex: "-1", "aria-label": t("openTrace"), onchange: () => {
    if (file.files[0]) openTrace(lab, file.files[0]);
    file.value = "";
  } });
  const entries = [
    ["copyCommand", "copy", () => copyText(commandOf(lab)), "copy-command"],
    ["copyPython", "copy", () => pythonOf(lab).then(copyText, (error) => lab.complain(error.message)), "copy-python"],
    ["saveTrace", "share", () => saveTrace(lab), "save-trace"],
    ["openTrace", "open", () => file.click(), "open-trace"],
    ["shareFile", "share", () => share(lab), "share-file"],
  ].filter(([key]) => !lab.readOnly || !["openTrace", "shareFile"].includes(key));
  const menu = h("details", { class: "menu" }, h("summary", { class: "quietly", id: "more" }, icon("share"), h("span", null, t("share"))),
    h("div", { class: "menulist" }, entries.map(([key, name, action, id]) => h("button", { type: "button", id, onclick: () => {
      menu.open = false;
      action();
    } }, icon(name), t(key)))));
  const lessons = h("details", { class: "menu" }, h("summary", { class: "quietly", id: "lessons" }, icon("lesson"), h("span", null, t("lessons"))),
    h("div", { class: "menulist" }, lessonButtons(lab, () => (lessons.open = false))));
  const element = h("header", { class: "topbar" },
    h("h1", null, h("svg", { viewBox: "0 0 24 24", class: "logo", "aria-hidden": "true" }, h("path", { d: "M5 4h14M5 20h14M8 4v16M16 4v16M8 8.500h8M8 12h8M8 15.500h8M16 15.500c5 0 6 2 6 5" })), t("title")),
    lab.readOnly && !lab.state.both ? null : pages, h("span", { class: "grow" }), lab.readOnly ? null : undo, lab.readOnly ? null : redo, lab.readOnly ? null : lessons, menu, file,
    h("button", { type: "button", class: "quietly", id: "language", lang: spoken() === "en" ? "ko" : "en", onclick: turnLanguage }, t("language")), tool("theme", "light", turnTheme, "theme"), tool("help", "help", helpWindow, "help"));
  return { element, draw(state) {
    for (const page of pages.children) page.setAttribute("aria-checked", String(page.dataset.page === state.page));
    undo.disabled = !lab.past.length;
    redo.disabled = !lab.future.length;
  } };
}

function askingPart() {
  const prompt = h("textarea", { id: "prompt", rows: "3", dir: "auto", oninput: () => (lab.state.prompt = prompt.value) });
  const number = (key, id, least) => h("input", { type: "number", id, min: least, step: "1", inputmode: "numeric", oninput: (event) => {
    const value = Number(event.target.value);
    if (Number.isInteger(value) && value >= least) lab.state[key] = value;
  } });
  const [seed, count] = [number("seed", "seed", 0), number("count", "count", 1)];
  const models = h("select", { id: "model", onchange: () => {
    lab.state.model = models.value;
    lab.readDecoder(lab.state.decoder);
    lab.draw();
  } });
  const chat = h("input", { type: "checkbox", id: "chat", onchange: () => (lab.state.chat = chat.checked) });
  const chatLine = h("label", { class: "check" }, chat, t("chat"));
  const button = (key, name, action, id, kind) => h("button", { type: "button", id, class: kind, onclick: action }, icon(name), t(key));
  const run = button("run", "run", () => lab.run(), "run", "primary");
  const stop = button("stop", "stop", () => lab.stop(), "stop", "primary");
  const goOn = button("goOn", "on", () => lab.goOn(), "go-on");
  const again = button("again", "again", () => lab.again(), "again");
  form = decoderForm(lab);
  const message = h("p", { class: "message", role: "alert" });
  const fields = h("div", { class: "numbersrow" }, h("label", null, h("span", null, t("count")), count), h("label", null, h("span", null, t("seed")), seed), h("label", { class: "modelfield" }, h("span", null, t("model")), models));
  const root = h("section", { class: "card asking", "aria-label": t("prompt") },
    h("label", { for: "prompt" }, t("prompt")), prompt, chatLine, form.root, fields, h("div", { class: "row actions" }, run, stop, goOn, again), message);
  if (lab.readOnly) {
    for (const field of root.querySelectorAll("textarea, input, select")) field.disabled = true;
  }
  return { root, draw(state) {
    if (document.activeElement !== prompt && prompt.value !== state.prompt) prompt.value = state.prompt;
    if (document.activeElement !== seed) seed.value = state.seed;
    if (document.activeElement !== count) count.value = state.count;
    if (models.childElementCount !== lab.start.models.length) fill(models, lab.start.models.map((m) => h("option", { value: m.name }, m.name)));
    if (models.value !== state.model) models.value = state.model;
    chatLine.hidden = !lab.modelInfo.chat;
    chat.checked = Boolean(state.chat);
    root.querySelector(".actions").hidden = lab.readOnly || state.page === "both";
    run.hidden = Boolean(lab.running);
    stop.hidden = !lab.running;
    goOn.disabled = Boolean(lab.running) || !state.text.length || lab.path.at(-1)?.reason === "end";
    again.disabled = Boolean(lab.running) || !state.runs.length;
    message.textContent = state.message || (lab.readOnly ? t("shared_ro") : "");
    message.classList.toggle("wrong", Boolean(state.message));
    form.draw(state);
  } };
}

function helpWindow() {
  const dialog = h("dialog", { "aria-labelledby": "help-title", onclose: () => dialog.remove() },
    h("div", { class: "row" }, h("h2", { id: "help-title" }, t("help")), h("span", { class: "grow" }), h("button", { type: "button", class: "tool", "aria-label": t("close"), onclick: () => dialog.close() }, icon("close"))),
    h("table", { class: "keys" }, h("tbody", null, KEYS.map(([keys, english, korean]) => h("tr", null, h("th", { scope: "row" }, keys.split("  ").map((some) => h("kbd", null, some))), h("td", null, spoken() === "ko" ? korean : english))))));
  document.body.append(dialog);
  dialog.showModal();
}

// --- keys -----------------------------------------------------------------------------------------------------------

function onKey(event) {
  const command = event.ctrlKey || event.metaKey;
  if (command && event.key === "Enter") {
    event.preventDefault();
    return lab.state.page === "both" ? document.getElementById("run-both")?.click() : lab.run();
  }
  if (event.key === "Escape" && lab.running && !document.querySelector("dialog[open]")) return lab.stop();
  const field = event.target.closest?.("input, textarea, select, dialog, [contenteditable]");
  if (field) return;
  const done = (action) => {
    event.preventDefault();
    action();
  };
  if (command && event.key.toLowerCase() === "z") return done(() => (event.shiftKey ? lab.redo() : lab.undo()));
  if (command && event.key.toLowerCase() === "y") return done(() => lab.redo());
  if (command || event.altKey) return;
  const onButton = event.target.closest?.("button, summary, a");
  const key = event.key;
  if (key === "ArrowLeft" || key === "h") return done(() => lab.select(lab.state.at - 1));
  if (key === "ArrowRight" || key === "l") return done(() => lab.select(lab.state.at + 1));
  if (key === "Home") return done(() => lab.select(0));
  if (key === "End") return done(() => lab.select(lab.state.text.length));
  const most = (lab.options?.length ?? 0) - 1;
  const pick = (by) => lab.set({ pick: Math.max(0, Math.min(most, lab.state.pick + by)) });
  if (key === "ArrowDown" || key === "j") return done(() => pick(1));
  if (key === "ArrowUp" || key === "k") return done(() => pick(-1));
  if (key === "Enter" && !onButton && lab.options?.[lab.state.pick] !== undefined) return done(() => lab.force(lab.options[lab.state.pick]));
  if (/^[1-9]$/.test(key) && lab.options?.[key - 1] !== undefined) return done(() => lab.force(lab.options[key - 1]));
  const actions = {
    g: () => lab.goOn(), r: () => lab.again(), u: () => lab.undo(), w: () => writing(lab), c: () => lab.set({ by: MEASURES[(MEASURES.indexOf(lab.state.by) + 1) % MEASURES.length] }),
    p: () => document.getElementById("prompt")?.focus(), d: () => form?.input.focus(), t: () => document.getElementById("tree-canvas")?.focus(), f: () => tree?.fit(),
    "+": () => tree?.zoom(1.3), "=": () => tree?.zoom(1.3), "-": () => tree?.zoom(1 / 1.3), L: turnTheme, "?": helpWindow,
  };
  if (lab.readOnly && ["g", "r", "u", "w"].includes(key)) return;
  if (actions[key]) done(actions[key]);
}

// --- putting it together --------------------------------------------------------------------------------------------

function mount() {
  const bar = headerBar();
  const asking = askingPart();
  const some = [textView(lab, lab.readOnly ? [] : lessonButtons(lab)), textsView(lab), stepsView(lab), choicesView(lab)];
  tree = treeView(lab);
  const both = bothView(lab);
  const lesson = lessonView(lab);
  const left = h("div", { class: "left" }, asking.root, some[1].root);
  const main = h("main", { class: "lab", id: "main" }, left, h("div", { class: "middle" }, some[0].root, some[1].beside, some[2].root), some[3].root, tree.root);
  const aside = h("main", { class: "lab two", id: "main-both" }, both.root);
  const app = document.getElementById("app");
  fill(app, h("a", { class: "skip", href: "#text" }, t("skipLink")), bar.element, main, aside, lesson.root);
  document.title = t("title");
  const [text, texts, steps, choices] = some;
  views = [bar, asking, text, texts, choices, both, lesson, tree, steps];   // the lines of the steps are drawn last, when all that is asked of the layout is known
  lab.listeners = [(state) => {
    if (state.page === "both" && asking.root.parentElement !== aside) aside.prepend(asking.root);
    if (state.page !== "both" && asking.root.parentElement !== left) left.prepend(asking.root);
    main.hidden = state.page === "both";
    aside.hidden = state.page !== "both";
    drawAll(views, state);
  }];
  lab.draw();
}

export async function startPage() {
  const record = document.getElementById("record");
  speak(kept("language") ?? (navigator.language.startsWith("ko") ? "ko" : "en"));
  const theme = kept("theme");
  if (theme) themeIs(theme);
  if (record?.textContent.trim()) takeRecord(lab, JSON.parse(record.textContent));
  mount();
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => lab.draw());
  window.addEventListener("pagehide", () => lab.leave());
  window.addEventListener("resize", () => lab.draw());
  document.fonts?.ready.then(() => lab.draw());
  if (!lab.readOnly && hasServer()) await lab.begin().catch((error) => lab.complain(error.message));
  document.documentElement.dataset.ready = "";
}

startPage();
