"""The sliders' numbers: the page's own computation, under node, against the processors of the program."""

import base64
import json
import shutil
import subprocess

import numpy as np
import pytest

from unspool.core.decoder import parse
from unspool.core.processor import Rows
from unspool.page.files import page_file

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed, which runs the page's numbers here")
DRIVER = """
import { SLIDERS, asDecoder, drawn, fromBase64, probabilities, processed } from "./chain.mjs";
import { readFileSync } from "node:fs";
const cases = JSON.parse(readFileSync(0));
const out = cases.map(({ logits, settings, text }) => {
  const p = probabilities(processed(fromBase64(logits), settings, text));
  return { p: Buffer.from(p.buffer).toString("base64"), decoder: asDecoder(settings) };
});
process.stdout.write(JSON.stringify({ out, draws: [...drawn([0.5, 0, 0.5], 4000, 3)], names: SLIDERS.map((s) => s.name) }));
"""
OFF = {
    "repetition_penalty": 1, "presence_penalty": 0, "frequency_penalty": 0, "temperature": 1, "top_k": 0, "typical": 1, "top_p": 1,
    "min_p": 0,
}  # fmt: skip


def shapes(rng):
    """Rows of logits of every kind that a model, or another processor, may give."""
    for size in (1, 2, 7, 300, 4096):
        yield rng.normal(0, 1, size)
        yield rng.normal(-8, 6, size)
        yield np.full(size, 1.25)
        yield rng.integers(-3, 4, size).astype(float)                    # ties everywhere
        yield -np.arange(size) * 0.01
        peaked = rng.normal(0, 1, size)
        peaked[size // 2] += 40
        yield peaked
        cut = rng.normal(0, 3, size)
        cut[rng.random(size) < 0.7] = -np.inf
        cut[size // 2] = 0.0
        yield cut
        yield np.log(rng.dirichlet(np.full(size, 0.3)) + 1e-30)
    yield np.log(np.array([0.4, 0.3, 0.2, 0.1]))                         # sums that meet a bound within rounding
    yield np.array([0.0, -0.0, 0.0, -5.0])


def settings(rng):
    """Each slider alone, at its ends and within, and all of them together."""
    values = {
        "repetition_penalty": (1.3, 0.7, 1e6), "presence_penalty": (0.5, -1.0, 3), "frequency_penalty": (0.4, -0.2, 2),
        "temperature": (0, 1e-8, 0.3, 0.8, 1.7, 2), "top_k": (1, 2, 5, 50, 10_000), "typical": (0, 0.2, 0.7, 0.95, 0.999),
        "top_p": (0, 0.1, 0.4, 0.7, 0.9, 0.95, 0.999), "min_p": (0.01, 0.05, 0.3, 1),
    }  # fmt: skip
    for name, some in values.items():
        for value in some:
            yield {name: value}
    for _ in range(25):
        yield {name: round(float(rng.choice(some)), 6) if name != "top_k" else int(rng.choice(some)) for name, some in values.items()}


def cases():
    rng = np.random.default_rng(5)
    for row in shapes(rng):
        logits = row.astype(np.float32)
        tokens = rng.integers(0, len(row), 12).tolist()
        for some in settings(rng):
            yield logits, some, tokens[:5], tokens[5:]


def expected(logits, some, prompt, fresh):
    """What the program's processors leave, as probabilities."""
    given = {name: value for name, value in some.items() if value != OFF[name]}
    decoder = parse(" | ".join([*(f"{name}({given[name]!r})" for name in OFF if name in given), "sample"]))
    scores = logits[None]
    rows = Rows(np.asarray([[*prompt, *fresh]]), np.asarray([len(prompt) + len(fresh)]), np.asarray([len(prompt)]))
    for part in decoder.processors:
        scores = part.process(rows, scores)
    wide = scores[0].astype(np.float64)
    shares = np.exp(wide - wide.max())
    return shares / shares.sum(), decoder


def under_node(tmp_path, given):
    (tmp_path / "chain.mjs").write_bytes(page_file("chain.js")[0])
    (tmp_path / "driver.mjs").write_text(DRIVER, encoding="utf-8")
    ran = subprocess.run([NODE, "driver.mjs"], input=json.dumps(given), capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@needs_node
def test_the_sliders_compute_what_the_program_computes(tmp_path):
    made = list(cases())
    given = [
        {"logits": base64.b64encode(logits.astype("<f4").tobytes()).decode(), "settings": some,
         "text": {"all": [*prompt, *fresh], "fresh": fresh}}
        for logits, some, prompt, fresh in made
    ]  # fmt: skip
    told = under_node(tmp_path, given)
    assert told["names"] == list(OFF)
    worst = 0.0
    for case, found in zip(made, told["out"], strict=True):
        wanted, decoder = expected(*case)
        p = np.frombuffer(base64.b64decode(found["p"]), "<f8")
        assert np.array_equal(p > 0, wanted > 0) or np.abs(p - wanted).max() < 1e-12, (case[1], len(p), (p > 0).sum(), (wanted > 0).sum())
        worst = max(worst, float(np.abs(p - wanted).max()))
        assert parse(found["decoder"]) == decoder
    assert worst <= 1e-6
    assert len(made) > 2000
    counts = dict(map(tuple, told["draws"]))
    assert sum(counts.values()) == 4000
    assert 1 not in counts
    assert abs(counts[0] - 2000) < 150
