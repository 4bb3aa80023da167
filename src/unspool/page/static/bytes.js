// Tokens as text, exact to the byte: what is no character yet is shown as \xNN, and what would steer the screen is shown, not obeyed.

export function fromHex(hex) {
  const data = new Uint8Array(hex.length / 2);
  for (let i = 0; i < data.length; i++) data[i] = parseInt(hex.slice(2 * i, 2 * i + 2), 16);
  return data;
}

export function joined(parts) {
  const data = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return data;
}

// How many bytes of a character begin at a place, and whether they are all there and right.
function character(data, at) {
  const first = data[at];
  const size = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
  for (let i = 1; i < size; i++) {
    if (at + i >= data.length) return { size: i, whole: false, cut: true };
    const byte = data[at + i];
    const least = i > 1 ? 0x80 : first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
    const most = i > 1 ? 0xbf : first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
    if (byte < least || byte > most) return { size: i, whole: false, cut: false };
  }
  return { size: Math.max(size, 1), whole: size > 0, cut: false };
}

const STRICT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function visible(data) {
  try {
    return STRICT.decode(data);
  } catch {
    return piecewise(data);
  }
}

// Character by character, where some bytes are none.
function piecewise(data) {
  let text = "";
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  for (let at = 0; at < data.length;) {
    const { size, whole } = character(data, at);
    const some = data.subarray(at, at + size);
    text += whole ? decoder.decode(some) : [...some].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
    at += size;
  }
  return text;
}

export function unfinished(data) {
  for (let at = Math.max(0, data.length - 3); at < data.length; at++) {
    const { size, cut } = character(data, at);
    const surrogate = data[at] === 0xed && at + 2 === data.length && data[at + 1] >= 0xa0 && data[at + 1] <= 0xbf;   // Python waits here, too
    if ((cut && at + size === data.length) || surrogate) return data.slice(at);
  }
  return new Uint8Array(0);
}

const STEERING = [0xad, 0x61c, 0x200b, 0x200e, 0x200f, 0x2028, 0x2029, 0xfeff];
for (let i = 0x202a; i < 0x202f; i++) STEERING.push(i);
for (let i = 0x2060; i < 0x2070; i++) STEERING.push(i);
const CONTROLS = new Map(STEERING.map((code) => [code, `\\u${code.toString(16).padStart(4, "0")}`]));
for (let i = 0; i < 32; i++) CONTROLS.set(i, String.fromCharCode(0x2400 + i));
for (let i = 0x80; i < 0xa0; i++) CONTROLS.set(i, "\ufffd");
CONTROLS.set(0x7f, "␡").set(10, "⏎").set(9, "⇥");

export function shown(text) {
  let found = "";
  for (const one of text) found += CONTROLS.get(one.codePointAt(0)) ?? one;
  return found;
}

export function marked(text) {
  const inner = text.replace(/^ +| +$/g, "");
  if (!inner) return text ? "␣".repeat(text.length) : "∅";
  const before = text.length - text.trimStart().length && text.match(/^ */)[0].length;
  const after = text.match(/ *$/)[0].length;
  return "␣".repeat(before) + shown(inner) + "␣".repeat(after);
}

export function shortened(text, most) {
  if (text.length <= most) return text;
  return [...text.slice(0, 2 * most)].slice(0, most - 1).join("") + "…";
}
