// What the page asks its server.

let token = "";

export function hasServer() {
  token ||= document.querySelector('meta[name="token"]')?.content ?? "";
  return token !== "";
}

export class Refusal extends Error {}

async function post(name, body, signal) {
  hasServer();
  let answer;
  try {
    const headers = { "Content-Type": "application/json", "X-Unspool-Token": token };
    answer = await fetch(`api/${name}`, { method: "POST", headers, body: JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("gone");
  }
  if (!answer.ok) throw new Refusal(await answer.json().then((told) => told.error.message, () => `HTTP ${answer.status}`));
  return answer;
}

export async function ask(name, body = {}, signal = undefined) {
  return (await post(name, body, signal)).json();
}

export async function shellText() {
  const answer = await fetch("shell", { headers: { "X-Unspool-Token": token } });
  if (!answer.ok) throw new Refusal(`HTTP ${answer.status}`);
  return answer.text();
}

// The events of a run, as they come; an aborted one ends without a word.
export async function streamRun(body, take, signal) {
  const reader = (await post("run", body, signal)).body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let ended = false;
  for (;;) {
    let piece;
    try {
      piece = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refusal("gone");
    }
    if (piece.done) break;
    text += decoder.decode(piece.value, { stream: true });
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      if (!event.startsWith("data: ")) continue;
      const told = JSON.parse(event.slice(6));
      ended ||= Boolean(told.end || told.error);
      take(told);
    }
  }
  if (!ended) throw new Refusal("gone");
}
