"""The lab's endpoints: what they tell is the program's own record, and nobody else's page may ask them."""

import base64
import json

import numpy as np
import pytest

import unspool as un
from unspool.core.decoder import listed_parts
from unspool.record.step import LEVELS
from unspool.record.trace import plain

PROMPT = "Once upon a time"


def steps_of(events):
    return [step for event in events for step in event.get("steps", [])]


def end_of(events):
    return next(event["end"] for event in events if "end" in event)


# --- what is told ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["choices", "stages"])
@pytest.mark.parametrize("decoder", ["greedy", "temperature(0.8) | sample(3)", "no_repeat_ngram(2) | beam(4)", "exact(nodes=20)"])
def test_a_run_tells_the_record(lab, decoder, level):
    events = lab.run(prompt=PROMPT, decoder=decoder, seed=3, max_new_tokens=6, level=level, choices=7)
    assert next(iter(events[0])) == "begin"
    wanted = un.load().generate(PROMPT, decoder, seed=3, max_new_tokens=6, level=level, choices=7).trace
    assert steps_of(events) == json.loads(json.dumps([plain(step) for step in wanted.steps]))
    assert end_of(events)["hypotheses"] == json.loads(json.dumps([plain(h) for h in wanted.hypotheses[0]]))
    told = {int(t): bytes.fromhex(data) for event in events for t, data in event.get("tokens", {}).items()}
    assert told == wanted.tokens
    assert events[0]["begin"]["recipe"] == wanted.recipe


def test_a_token_is_forced_and_the_decoder_goes_on(lab):
    lm = un.load()
    follow = [lm.tokenizer.encode(" dragon")[0], lm.tokenizer.encode(" who")[0]]
    decoder = "top_p(0.9) | sample(1)"
    events = lab.run(prompt=PROMPT, decoder=decoder, seed=5, max_new_tokens=10, follow=follow)
    (text,) = end_of(events)["hypotheses"]
    assert text["tokens"][:2] == follow
    assert len(text["tokens"]) == 10
    again = lab.run(prompt=PROMPT, decoder=decoder, seed=5, max_new_tokens=10, follow=text["tokens"][:6])
    assert end_of(again)["hypotheses"][0]["tokens"] == text["tokens"], "going on from any place of a text draws the same text"


def test_a_given_text_is_scored(lab):
    (text,) = end_of(lab.run(prompt=PROMPT, text=" there was a king", only="text"))["hypotheses"]
    score = un.load().score(PROMPT, " there was a king")
    assert text["tokens"] == score.tokens
    assert text["logprobs"] == pytest.approx(score.logprobs, abs=1e-6)


def test_what_may_come_next_is_told_with_every_stage(lab):
    (step,) = steps_of(lab.run(prompt=PROMPT, decoder="temperature(0.5) | top_k(3)", only="next", level="stages"))
    assert step["considered"]["stages"]["names"] == ["model", "temperature(0.5)", "top_k(3)"]
    assert step["considered"]["stages"]["kept"][0][2] == 3


def test_a_row_is_the_models_logits(lab):
    lm = un.load()
    row = lab.right("row", prompt=PROMPT, follow=[5, 6])
    logits = np.frombuffer(base64.b64decode(row["logits"]), "<f4")
    lane = lm.model.session()
    tokens = [*lm.tokens_of(PROMPT), 5, 6]
    rows = lane.extend([-1], [tokens])
    assert np.array_equal(logits, lane.logits(rows)[0].astype(np.float32))
    assert row["path"] == tokens
    assert row["prompt"] == len(tokens) - 2
    assert {int(t) for t in row["tokens"]} == set(np.argsort(-logits, kind="stable")[:400].tolist())


def test_two_decoders_over_the_same_text(lab):
    lm = un.load()
    tokens = lm.generate(PROMPT, max_new_tokens=5).best.tokens
    sides = [{"decoder": "temperature(0.7)"}, {"decoder": "temperature(0.7) | top_k(20)", "model": "second"}]
    found = lab.right("compare", prompt=PROMPT, follow=tokens, sides=sides)["steps"]
    assert len(found) == 5
    logits = np.frombuffer(base64.b64decode(lab.right("row", prompt=PROMPT)["logits"]), "<f4").astype(np.float64)
    p = np.exp(logits / 0.7 - np.log(np.exp(logits / 0.7).sum()))
    kept = np.sort(p)[-20:].sum()
    assert found[0]["overlap"] == pytest.approx(kept, abs=1e-6)
    assert found[0]["kl"] is None
    assert found[0]["back"] == pytest.approx(-np.log(kept), abs=1e-6)
    same = lab.right("compare", prompt=PROMPT, follow=tokens, sides=[{"decoder": "top_p(0.9)"}, {"decoder": "top_p(0.9)"}])["steps"]
    assert all(step["kl"] == step["back"] == 0 and step["overlap"] == pytest.approx(1, abs=1e-5) for step in same)


# --- decoders and the catalogue -------------------------------------------------------------------------------------------


def test_every_part_is_in_the_catalogue(lab):
    start = lab.right("start")
    assert {m["name"] for m in start["methods"]} >= {cls.name for cls in listed_parts() if cls.__module__.startswith("unspool.")}
    assert all(m["family"] in start["families"] and m["meaning"] for m in start["methods"])
    assert [m["name"] for m in start["models"]] == ["bundled", "second"]


def test_a_decoder_is_taken_apart_and_put_together(lab):
    for method in lab.right("start")["methods"]:
        text = method["example"]
        found = lab.ask("read", {"decoder": text})
        if found[0] != 200:
            continue                                                     # it needs an extra, or the second model that no text names
        parts = found[1]["parts"]
        assert any(part["name"] == method["name"] for part in parts) or method["name"] in text
        written = " | ".join(_written(part, lab) for part in parts)
        assert lab.right("read", decoder=written)["text"] == found[1]["text"]


def _written(part, lab):
    """A part from its name and what is given, as the page's form writes it."""
    values = ", ".join(f"{value}" if i == 0 else f"{name}={value}" for i, (name, value) in enumerate(part["given"].items()))
    by_name = ", ".join(f"{name}={value}" for name, value in part["given"].items())
    method = next(m for m in lab.right("start")["methods"] if m["name"] == part["name"])
    first = method["parameters"][0]["name"] if method["parameters"] else None
    given = values if first in part["given"] else by_name
    return f"{part['name']}({given})" if given else part["name"]


def test_a_decoder_in_python_runs(lab):
    decoders = ("temperature(0.8) | stop('a', after=3) | alternatives(3, then=beam(2))", "best_of(sample(3))", "greedy", "top_k(3)")
    for text in decoders:
        told = lab.right("read", decoder=text)
        made = eval(told["python"], {"un": un})
        assert str(made if hasattr(made, "parts") else un.Decoder((made,))) == told["text"]


# --- who may ask ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"x-unspool-token": "guessed"},
        {"x-unspool-token": ""},
        {"host": "evil.example"},
    ],
)
def test_a_page_of_another_origin_cannot_drive_the_lab(lab, headers):
    for name in ("start", "read", "run", "row", "compare", "stop", "words"):
        status, answer = lab.ask(name, {}, **headers)
        assert status == 403, answer
    own = {"origin": f"http://127.0.0.1:{lab.port}", "sec-fetch-site": "same-origin"}
    assert lab.ask("read", {"decoder": "greedy"}, **own)[0] == 200


def test_a_form_cannot_ask(lab):
    status, answer = lab.ask("read", {}, **{"Content-Type": "text/plain"})
    assert status == 415, answer


def test_the_page_may_load_nothing_from_elsewhere(lab):
    connection = lab.connection()
    connection.request("GET", "/lab/")
    answer = connection.getresponse()
    page = answer.read().decode()
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert lab.lab.guard.token in page
    for name in ("../app.py", "%2e%2e%2fapp.py", "main.py", "nothing.js", "app"):
        connection.request("GET", f"/lab/{name}")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 404, name
    connection.close()


# --- what is wrong, and who goes away -------------------------------------------------------------------------------------


def test_what_is_wrong_is_said_in_a_line(lab):
    assert "did you mean top_k" in lab.wrong("read", decoder="topk(3)")
    assert "rows" in lab.wrong("run", prompt=PROMPT, decoder="beam(5000)")
    assert "context" in lab.wrong("run", prompt=[5] * 100_000, decoder="greedy")
    assert "context" in lab.wrong("run", prompt=PROMPT, text="a king " * 40_000, only="text")
    assert "max_new_tokens" in lab.wrong("run", prompt=PROMPT, max_new_tokens=0)
    assert "seed" in lab.wrong("run", prompt=PROMPT, seed="x")
    assert "no model" in lab.wrong("run", 404, prompt=PROMPT, model="other")
    assert "unknown field" in lab.wrong("run", prompt=PROMPT, models=1)
    assert "vocabulary" in lab.wrong("run", prompt=[99_999])
    assert "token" in lab.wrong("run", prompt=PROMPT, follow=[99_999])
    assert "sides" in lab.wrong("compare", prompt=PROMPT, follow=[5], sides=[])
    for level in ("off", "all", 3):
        assert level not in LEVELS[1:]
        assert "level" in lab.wrong("run", prompt=PROMPT, level=level)


def test_a_dead_end_is_told_and_frees_its_rows(lab):
    end = end_of(lab.run(prompt=PROMPT, decoder="allowed(5) | banned((5,)) | greedy", max_new_tokens=3))
    assert not end["hypotheses"]
    assert "leave no token" in end["failure"]
    lab.until(lambda: not lab.server.engine.batch.busy)


def test_a_tab_that_leaves_frees_its_run(lab):
    connection = lab.connection()
    body = json.dumps({"prompt": PROMPT, "decoder": "exact(3)", "max_new_tokens": 200})   # which would take for ever
    connection.request("POST", "/lab/api/run", body, {"Content-Type": "application/json", "x-unspool-token": lab.lab.guard.token})
    answer = connection.getresponse()
    lab.until(lambda: lab.server.engine.batch.busy)
    answer.close()
    connection.close()
    lab.until(lambda: not lab.server.engine.batch.busy, 30)
    lab.until(lambda: lab.server.together.held == 0 and not lab.lab.running)


def test_a_run_is_stopped_with_what_there_is(lab):
    connection = lab.connection()
    body = json.dumps({"prompt": PROMPT, "decoder": "greedy", "max_new_tokens": 500})
    connection.request("POST", "/lab/api/run", body, {"Content-Type": "application/json", "x-unspool-token": lab.lab.guard.token})
    answer = connection.getresponse()
    lines = []
    while not (lines and lines[-1].startswith(b"data: ")):
        lines.append(answer.readline())
    begun = json.loads(lines[-1][6:])["begin"]
    assert lab.right("stop", id=begun["id"])["stopped"]
    rest = answer.read().decode().strip().split("\n\n")
    end = json.loads(rest[-1].removeprefix("data: "))
    assert end["end"]["interrupted"]
    assert end["end"]["hypotheses"] or "before the first token" in end["end"]["failure"]
    connection.close()
    assert not lab.right("stop", id=begun["id"])["stopped"]
