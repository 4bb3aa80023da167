"""Check a loaded model against recorded facts: step tables, texts, and the hashes and samples beside its files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unspool.lab.soundness import Check, sound
from unspool.models.details import folder_of
from unspool.models.known import KNOWN
from unspool.models.loading import find, read_json
from unspool.models.sums import hash_of, read_sums
from unspool.packaged import packaged
from unspool.views.characters import shown

if TYPE_CHECKING:
    from unspool.language_model import LanguageModel

SHAPE = ("architecture", "parameters", "vocabulary")
"""What tells which model is meant."""
TOLERANCE = 0.006
"""By how much percentages and log-probabilities that are recorded with two decimals may differ."""
SAMPLE_PROMPT = "Once upon a time"
SAMPLE_TOKENS = 90


def verify(lm: LanguageModel) -> list[Check]:
    """What is recorded of a model and what it does now, fact by fact.

    Which model it is, is recognised by its architecture, number of parameters and vocabulary, and by its fingerprint where facts are of one
    file alone. Beside them the files of a model are
    checked that has their hashes (a file sha256) or measured samples (evaluation.json) in its folder. Of a model without facts that is
    said, and checked what holds of every model: finite weights and logits, no look at later tokens, the same logits token by token as at
    once, a tokenizer that fits.
    """
    return list(verify_live(lm))


def verify_live(lm: LanguageModel) -> Iterator[Check]:
    """The same, each Check when it is known."""
    shape = {name: getattr(lm.model, name, None) for name in SHAPE}
    shape["fingerprint"] = lm.info.get("fingerprint")
    facts = next((f for f in recorded() if all(f[name] == shape[name] for name in f.keys() & shape)), None)
    folder = folder_of(lm)
    beside = [name for name in ("sha256", "evaluation.json") if folder and (folder / name).is_file()]
    if facts is None and "evaluation.json" not in beside:
        what = f"{shape['architecture']}, {shape['parameters']} parameters, {shape['vocabulary']} tokens"
        yield Check("recorded facts", "none", f"none of {lm.name} ({what}): checked is what holds of every model", True)
        yield from sound(lm)
    if folder and beside:
        yield from _files(lm, folder)
    if (known := KNOWN.get(lm.name)) and known.packaged and (path := find(lm.name).folder).is_file():
        found = hash_of(path)
        yield Check(f"sha256 of {path.name}", known.packaged.sha256, found, found == known.packaged.sha256)
    for table in facts["tables"] if facts else []:
        yield from _table(lm, table)
    for text in facts["texts"] if facts else []:
        yield from _texts(lm, text)
    for sums in facts.get("sums", []) if facts else []:
        yield _sums(lm, sums)


def recorded() -> list[dict[str, Any]]:
    """The facts that come with the package, a model each."""
    found: list[dict[str, Any]] = json.loads(packaged("facts.json"))
    return found


def _files(lm: LanguageModel, folder: Path) -> Iterator[Check]:
    """The hashes beside a model, and what its evaluation says that can be computed again."""
    for one in read_sums(folder):
        yield Check(f"sha256 of {one.name}", one.recorded, one.found or "no such file", one.ok)
    path = folder / "evaluation.json"
    card = read_json(path) if path.is_file() else {}
    if "parameters" in card:
        found = getattr(lm.model, "parameters", None)
        yield Check("parameters", str(card["parameters"]), str(found), found == card["parameters"])
    samples = card.get("samples")
    sample = samples.get("greedy") if isinstance(samples, dict) else None
    if isinstance(sample, str) and sample.startswith(SAMPLE_PROMPT):
        text = sample.removeprefix(SAMPLE_PROMPT)
        yield from _texts(lm, {"prompt": SAMPLE_PROMPT, "max_new_tokens": SAMPLE_TOKENS, "text": text})


def _table(lm: LanguageModel, table: dict[str, Any]) -> Iterator[Check]:
    """A Check for each step of a table: the likeliest tokens, in order, with their percentages."""
    steps = table["steps"]
    rows = list(lm.steps(table["prompt"], n=len(steps), choices=max(map(len, steps)), end_tokens=()))
    for i, wanted in enumerate(steps):
        found = [(c.text, 100 * c.probability) for c in rows[i].choices[: len(wanted)]]
        ok = [text for text, _ in found] == [text for text, _ in wanted] and all(
            abs(value - float(number)) <= TOLERANCE for (_, value), (_, number) in zip(found, wanted, strict=True)
        )
        known = ", ".join(f"{shown(text)} {float(number):.2f}" for text, number in wanted)
        yield Check(
            f"step {i + 1} after {_short(table['prompt'])}", known, ", ".join(f"{shown(text)} {value:.2f}" for text, value in found), ok
        )


def _texts(lm: LanguageModel, fact: dict[str, Any]) -> Iterator[Check]:
    """Checks of a text that a decoder writes after a prompt, and of its log-probability; of a text whose beginning is recorded, that."""
    options = {name: fact[name] for name in ("max_new_tokens", "max_length", "end_tokens") if name in fact}
    decoder = fact.get("decoder", "greedy")
    out = lm.generate(fact["prompt"], decoder, level="off", **options)
    found, name = out.text, f"{decoder} text after {_short(fact['prompt'])}"
    if "begins" in fact:
        yield Check(name, fact["begins"], found[: len(fact["begins"])], found.startswith(fact["begins"]))
    else:
        yield Check(name, fact["text"], found, found == fact["text"])
    if "logprob" in fact:
        wanted = fact["logprob"]
        yield Check(f"log p of the {name}", wanted, f"{out.logprob:.2f}", abs(out.logprob - float(wanted)) <= TOLERANCE)


def _sums(lm: LanguageModel, fact: dict[str, Any]) -> Check:
    """A Check of how many of the hundred sums of two digits are right, after some that are shown; as the chapter asks them."""
    pairs = [(a, b) for a in range(10) for b in range(10)]
    shown_before = [f"{a} + {b} => {a + b}" for a, b in fact["shown"]]
    prompts = [" \n ".join([*shown_before, f"{a} + {b} =>"]) for a, b in pairs]
    outputs = lm.generate(prompts, 'greedy | stop("\\n")', max_new_tokens=4, level="off")
    right = sum(out.text.strip() == str(a + b) for out, (a, b) in zip(outputs, pairs, strict=True))
    return Check(f"sums of two digits, after {len(shown_before)}", f"{fact['right']} of 100", f"{right} of 100", right == fact["right"])


def _short(prompt: str, width: int = 40) -> str:
    """A prompt in quotes, its end left out if it is long."""
    return repr(prompt if len(prompt) <= width else prompt[: width - 1] + "…") if prompt else "nothing"
