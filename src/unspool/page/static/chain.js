// The processors that the sliders move, computed here as the program computes them: scores in 32 bits, sums in 64, and the same
// allowance for rounding, so that what is cut is the same.

const f32 = Math.fround;
const EPSILON = 2 ** -23;
const ENOUGH = 1e15;

export function fromBase64(text) {
  const raw = atob(text);
  const data = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) data[i] = raw.charCodeAt(i);
  return new Float32Array(data.buffer);
}

// How far a number of 32 bits may be from what it stands for.
function rounding(value) {
  return f32(EPSILON * f32(4 + Math.abs(value)));
}

function greatest(scores) {
  let best = -Infinity;
  for (let i = 0; i < scores.length; i++) if (scores[i] > best) best = scores[i];
  return best;
}

// log of the sum of exp, as a number of 32 bits; 0 for a row that nothing may follow.
function totalOf(scores) {
  const top = greatest(scores);
  if (top === -Infinity) return 0;
  let sum = 0;
  for (let i = 0; i < scores.length; i++) sum += Math.exp(f32(scores[i] - top));
  return f32(top + f32(Math.log(sum)));
}

// Places by falling number, equals by rising place; those of -inf last.
export function ranking(numbers) {
  const places = new Uint32Array(numbers.length);
  for (let i = 0; i < places.length; i++) places[i] = i;
  return places.sort((a, b) => numbers[b] - numbers[a] || a - b || 0);
}

function ordered(numbers) {
  const some = [];
  for (let i = 0; i < numbers.length; i++) if (numbers[i] > -Infinity) some.push(i);
  return some.sort((a, b) => numbers[b] - numbers[a] || a - b);
}

function keeping(scores, places) {
  const left = new Float32Array(scores.length).fill(-Infinity);
  for (const place of places) left[place] = scores[place];
  return left;
}

function temperature(scores, t) {
  if (t === 1) return scores;
  if (t === 0) return keeping(scores, ordered(scores).slice(0, 1));
  const left = new Float32Array(scores.length);
  if (t >= 1e-6) {
    const by = f32(t);
    for (let i = 0; i < scores.length; i++) left[i] = scores[i] / by;
    return left;
  }
  const best = greatest(scores);
  const by = f32(Math.max(t, 1 / ENOUGH));
  for (let i = 0; i < scores.length; i++) left[i] = f32(scores[i] - (best === -Infinity ? 0 : best)) / by;
  return left;
}

function topK(scores, k) {
  return k >= scores.length ? scores : keeping(scores, ordered(scores).slice(0, k));
}

// Of places in an order those before which the mass is below p by more than its rounding; always the first.
function nucleusOf(places, probability, p, total) {
  const line = p * (1 - rounding(total));
  const kept = [];
  let mass = 0;
  for (const place of places) {
    if (kept.length && !(mass < line)) break;
    kept.push(place);
    mass += probability(place);
  }
  return kept;
}

function topP(scores, p) {
  if (p === 1) return scores;
  const total = totalOf(scores);
  return keeping(scores, nucleusOf(ordered(scores), (place) => f32(Math.exp(f32(scores[place] - total))), p, total));
}

function minP(scores, p) {
  if (p === 0) return scores;
  const best = greatest(scores);
  const line = f32(best + f32(Math.log(p)));
  const least = f32(line - rounding(line));
  const left = new Float32Array(scores.length).fill(-Infinity);
  for (let i = 0; i < scores.length; i++) if (scores[i] >= least || scores[i] >= best) left[i] = scores[i];
  const kept = left.reduce((n, score) => n + (score > -Infinity), 0);
  return kept ? left : scores;
}

function typical(scores, p) {
  if (p === 1) return scores;
  const total = totalOf(scores);
  let sum = 0;
  const probability = new Float32Array(scores.length);
  for (let i = 0; i < scores.length; i++) {
    const log = f32(scores[i] - total);
    probability[i] = Math.exp(log);
    if (log > -Infinity) sum += f32(probability[i] * log);
  }
  const nearest = new Float32Array(scores.length);
  for (let i = 0; i < scores.length; i++) nearest[i] = -Math.abs(f32(f32(scores[i] - total) - f32(sum)));
  return keeping(scores, nucleusOf(ordered(nearest), (place) => probability[place], p, total));
}

function counted(tokens) {
  const counts = new Map();
  for (const token of tokens) counts.set(token, (counts.get(token) ?? 0) + 1);
  return counts;
}

function repetition(scores, penalty, tokens) {
  if (penalty === 1) return scores;
  const left = Float32Array.from(scores);
  const by = f32(Math.max(Math.min(penalty, ENOUGH), 1 / ENOUGH));
  for (const token of counted(tokens).keys()) left[token] = scores[token] < 0 ? f32(scores[token] * by) : f32(scores[token] / by);
  return left;
}

function lowered(scores, tokens, amount) {
  const left = Float32Array.from(scores);
  for (const [token, count] of counted(tokens)) left[token] = f32(scores[token] - f32(amount(count)));
  return left;
}

// In the order in which they act. `off` is the value at which one changes nothing; a text's tokens are all of it, or the new ones.
export const SLIDERS = [
  { name: "repetition_penalty", off: 1, least: 1, most: 2, step: 0.01, apply: (s, v, text) => repetition(s, v, text.all) },
  { name: "presence_penalty", off: 0, least: 0, most: 5, step: 0.05, apply: (s, v, text) => (v === 0 ? s : lowered(s, text.fresh, () => v)) },
  { name: "frequency_penalty", off: 0, least: 0, most: 5, step: 0.05, apply: (s, v, text) => (v === 0 ? s : lowered(s, text.fresh, (n) => v * n)) },
  { name: "temperature", off: 1, least: 0, most: 2, step: 0.01, apply: (s, v) => temperature(s, v) },
  { name: "top_k", off: 0, least: 0, most: 200, step: 1, apply: (s, v) => (v === 0 ? s : topK(s, v)) },
  { name: "typical", off: 1, least: 0, most: 1, step: 0.005, apply: (s, v) => typical(s, v) },
  { name: "top_p", off: 1, least: 0, most: 1, step: 0.005, apply: (s, v) => topP(s, v) },
  { name: "min_p", off: 0, least: 0, most: 1, step: 0.005, apply: (s, v) => minP(s, v) },
];

// Scores after the sliders. settings: values by name; text: {all, fresh}, token ids.
export function processed(logits, settings, text) {
  let scores = logits;
  for (const slider of SLIDERS) scores = slider.apply(scores, settings[slider.name] ?? slider.off, text);
  return scores;
}

export function probabilities(scores) {
  const top = greatest(scores);
  const found = new Float64Array(scores.length);
  if (top === -Infinity) return found;
  let sum = 0;
  for (let i = 0; i < scores.length; i++) sum += found[i] = Math.exp(scores[i] - top);
  for (let i = 0; i < scores.length; i++) found[i] /= sum;
  return found;
}

export function asDecoder(settings) {
  const parts = SLIDERS.filter((s) => (settings[s.name] ?? s.off) !== s.off).map((s) => `${s.name}(${settings[s.name]})`);
  return [...parts, "sample"].join(" | ");
}

export function entropyOf(p) {
  let sum = 0;
  for (const one of p) if (one > 0) sum -= one * Math.log(one);
  return sum;
}

// n draws, counted by token; the same for the same seed.
export function drawn(p, n, seed) {
  let state = (seed * 2654435761 + 1) >>> 0 || 1;
  const counts = new Map();
  for (let i = 0; i < n; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    let left = (state >>> 0) / 2 ** 32;
    let token = 0;
    for (let t = 0; t < p.length; t++) {
      if (p[t] === 0) continue;
      token = t;
      left -= p[t];
      if (left < 0) break;
    }
    counts.set(token, (counts.get(token) ?? 0) + 1);
  }
  return counts;
}
