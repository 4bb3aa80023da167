// Lessons at work: a strip at the foot of the page says a step, rings what it points at, and sees whether the learner did what it waits for.
// It covers nothing that cannot be scrolled to, holds no focus, and everything else of the page goes on working.

import { fill, h, icon } from "./dom.js";
import { FACTS, placeWith } from "./facts.js";
import { LESSONS } from "./lessons.js";
import { particleAfter, spoken, t } from "./words.js";

const INFINITELY = 1e9;
// What a lesson sets for its steps, and gives back when it is left.
const SETTINGS = ["prompt", "decoder", "count", "seed", "chat", "by"];
// Of these the numbers go on changing while the learner moves a slider; others stay as they were when it was done.
const LIVE = ["penalised", "heated", "topK", "topP"];

// What a step may set, each by what the page itself does.
export const ACTIONS = {
  async run(lab, { prompt, decoder, count, beside }) {
    const before = lab.snapshot();
    Object.assign(lab.state, { prompt, count: Math.min(count, lab.start.limits.tokens), seed: 0, chat: false, page: "lab" });
    await lab.readDecoder(decoder);
    await lab.launch(lab.asked(), beside === true, {}, before);
  },
  select(lab, where) {
    const of = {
      end: () => lab.state.text.length,
      flattest: () => placeWith(lab.path, (node) => -(node.parent.choices?.entropy ?? 0)),
      sharpest: () => placeWith(lab.path, (node) => node.parent.choices?.entropy ?? INFINITELY),
      unlikely: () => placeWith(lab.path, (node) => node.logprob ?? 0),
      cut: () => Math.max(0, lab.path.findIndex((node) => node.parent.choices?.processed[0] === null)),
    };
    lab.select(of[where]?.() ?? where);
  },
  by: (lab, by) => lab.set({ by }),
  tab(lab, tab) {
    lab.set({ tab });
    lab.look();
  },
  sliders: (lab, sliders) => lab.set({ sliders, drawing: 0 }),
  // Where the learner moved none of these, they are as the step needs them.
  slid(lab, sliders) {
    if (!Object.keys(sliders).some((name) => name in lab.state.sliders)) lab.set({ sliders });
  },
};

// What a step may wait for; start: how things stood when it began.
export const DEEDS = {
  ran: (lab, start) => !lab.running && lab.state.runs.at(-1) !== start.run && lab.state.text.length > 0,
  took: (lab, start) => DEEDS.ran(lab, start) && Boolean(lab.state.runs.at(-1).asked.follow),
  tookOther: (lab, start) => {
    const node = DEEDS.took(lab, start) ? lab.forest.at(lab.state.runs.at(-1).asked.follow) : null;
    return Boolean(node?.parent) && node.parent.choices?.tokens[0] !== node.token;
  },
  moved: (lab, start) => !lab.running && lab.state.at !== start.at,
  otherText: (lab, start) => !lab.running && lab.state.text.join(" ") !== start.text,
  penalised: (lab) => (lab.state.sliders.repetition_penalty ?? 1) > 1,
  heated: (lab, start) => (lab.state.sliders.temperature ?? 1) !== start.temperature,
  topK: (lab) => (lab.state.sliders.top_k ?? 0) > 0 && lab.state.sliders.top_k <= 40,
  topP: (lab) => (lab.state.sliders.top_p ?? 1) <= 0.9,
  decoderChanged: (lab, start) => lab.state.decoder !== start.decoder,
  both: (lab) => lab.state.page === "both",
};

export function stepOf(lab) {
  return lab.lesson ? LESSONS[lab.lesson.tour].steps[lab.lesson.at] : null;
}

// Go to a step: set the page, and note how things stand. A step that is left while it is set up stops there.
export async function goTo(lab, tour, at) {
  const own = lab.lesson ? ownSettings(lab) : settingsOf(lab);
  const lesson = (lab.lesson = { tour, at, own, set: null, facts: {}, told: {}, done: false, ready: false, start: null });
  const steps = LESSONS[tour].steps;
  lab.set({ page: "lab", message: "" });
  for (const [name, given] of steps[at].do ?? []) {
    await ACTIONS[name](lab, given);
    if (lab.lesson !== lesson) return;
  }
  const { state } = lab;
  lesson.start = { run: state.runs.at(-1), at: state.at, text: state.text.join(" "), temperature: state.sliders.temperature ?? 1, decoder: state.decoder };
  lesson.set = settingsOf(lab);
  lesson.ready = true;
  lab.draw();
}

function settingsOf(lab) {
  return Object.fromEntries(SETTINGS.map((name) => [name, lab.state[name]]));
}

// The learner's own settings: what the lesson set goes back to what stood there before, what the learner set since then stays.
function ownSettings(lab) {
  const { own, set } = lab.lesson;
  return Object.fromEntries(SETTINGS.map((name) => [name, set && lab.state[name] !== set[name] ? lab.state[name] : own[name]]));
}

// Leave the lessons: the texts stay, and the learner's own settings come back.
export function leaveLesson(lab) {
  const own = ownSettings(lab);
  lab.lesson = null;
  lab.set(own);
  lab.readDecoder(own.decoder);
  lab.look();
}

// A sentence with what the model says in it; what was once known of a step stays as it was told.
function sentence(lab, text, known, live = false) {
  let before = "";
  return text.split(/\{(\w+)\}/).map((piece, i) => {
    if (i % 2 === 0) return particleAfter(before, piece);
    if (lab.lesson.ready) known[piece] = (live || known[piece] == null ? FACTS[piece](lab) : null) ?? known[piece];
    before = known[piece] ?? "…";
    return h("b", null, h("bdi", null, before));
  });
}

function spot(target) {
  for (const old of document.querySelectorAll(".spot")) {
    if (old === target) continue;
    old.classList.remove("spot");
    old.removeAttribute("aria-details");
  }
  target?.classList.add("spot");
  target?.setAttribute("aria-details", "lesson-text");
}

export function lessonView(lab) {
  const title = h("h2", { id: "lesson-title" });
  const text = h("p", { id: "lesson-text", role: "status", "aria-live": "polite" });
  const task = h("p", { id: "lesson-task", role: "status", "aria-live": "polite" });
  const move = (by) => goTo(lab, lab.lesson.tour, lab.lesson.at + by);
  const back = h("button", { type: "button", id: "lesson-back", onclick: () => move(-1) }, icon("left"), t("lessonBack"));
  const next = h("button", { type: "button", id: "lesson-next", onclick: () => {
    const { tour, at } = lab.lesson;
    if (at + 1 < LESSONS[tour].steps.length) move(1);
    else if (tour + 1 < LESSONS.length) goTo(lab, tour + 1, 0);
    else leave();
  } });
  const where = h("button", { type: "button", class: "quietly", id: "lesson-where", onclick: () => reveal(true) }, t("lessonWhere"));
  const close = h("button", { type: "button", class: "tool", id: "lesson-leave", title: t("lessonLeave"), "aria-label": t("lessonLeave"), onclick: () => leave() }, icon("close"));
  const root = h("aside", { class: "lesson", "aria-labelledby": "lesson-title", hidden: true }, h("header", null, title, h("span", { class: "grow" }), close), h("div", { class: "lessonbody" }, text, task),
    h("div", { class: "row" }, back, next, h("span", { class: "grow" }), where));
  let seen = null;

  function leave() {
    leaveLesson(lab);
    spot(null);
    document.getElementById("lessons")?.focus();
  }

  // Bring what is pointed at into view; focus: put the keyboard there, too.
  function reveal(focus) {
    const target = document.querySelector(stepOf(lab)?.at ?? null);
    if (!target) return;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    target.scrollIntoView({ block: target.clientHeight > innerHeight / 2 ? "start" : "center", behavior: calm ? "auto" : "smooth" });
    if (focus) [target, ...target.querySelectorAll("button:not(:disabled), input, [tabindex='0']")].find((e) => e.matches("button, input, [tabindex='0']") && e.checkVisibility())?.focus({ preventScroll: true });
  }

  return { root, draw() {
    const { lesson } = lab;
    const step = stepOf(lab);
    root.hidden = !step;
    document.documentElement.classList.toggle("learning", Boolean(step));
    if (!step) return;
    const steps = LESSONS[lesson.tour].steps;
    if (step.wait && lesson.ready && !lesson.done) lesson.done = DEEDS[step.wait](lab, lesson.start);
    title.textContent = `${LESSONS[lesson.tour].title[spoken()]} · ${lesson.at + 1} / ${steps.length}`;
    const loud = step.when && lesson.ready ? (lesson.facts[step.when] ??= FACTS[step.when](lab)) : true;
    const said = loud === false ? step.unless : step;
    fill(text, sentence(lab, said[spoken()], lesson.facts));
    fill(task, step.wait ? lesson.done ? ["✓ ", ...sentence(lab, step.then[spoken()], lesson.told, LIVE.includes(step.wait))] : t("lessonTask") : "");
    task.className = lesson.done ? "done" : "";
    back.disabled = lesson.at === 0;
    const last = lesson.at + 1 === steps.length;
    fill(next, last ? lesson.tour + 1 < LESSONS.length ? `${t("lessonAfter")}: ${LESSONS[lesson.tour + 1].title[spoken()]}` : t("lessonEnd") : step.wait && !lesson.done ? t("lessonSkip") : t("lessonNext"), icon("right"));
    next.classList.toggle("primary", !step.wait || lesson.done);
    spot(document.querySelector(step.at));
    document.documentElement.style.setProperty("--lesson", `${root.offsetHeight}px`);
    const key = `${lesson.tour} ${lesson.at} ${lesson.ready}`;
    if (key !== seen && lesson.ready) reveal(false);
    seen = key;
  } };
}

// The lessons to choose from, as buttons.
export function lessonButtons(lab, chosen = () => {}) {
  return LESSONS.map((lesson, i) => h("button", { type: "button", "data-lesson": lesson.id, onclick: () => {
    chosen();
    goTo(lab, i, 0);
  } }, h("small", null, String(i + 1)), lesson.title[spoken()]));
}
