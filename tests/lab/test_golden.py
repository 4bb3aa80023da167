"""Golden vectors: whole, as published, and answered again as they say."""

import json
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from helpers.program import called

from unspool.errors import UnspoolError
from unspool.lab.engines import ENGINES
from unspool.lab.golden.inputs import GOLDEN_INPUTS, GOLDEN_VOCABULARY, GoldenInput, GoldenWords
from unspool.lab.golden.settings import TRIED_VALUES
from unspool.lab.golden.vectors import answer, differences, golden, schema, written

FOLDER = Path(__file__).parents[2] / "docs" / "golden"
each = pytest.mark.parametrize("engine", ENGINES)


def published(engine):
    return json.loads((FOLDER / f"{engine}.json").read_text(encoding="utf-8"))


@each
def test_the_published_file_is_what_is_made(engine):
    assert written(golden(engine)) == (FOLDER / f"{engine}.json").read_text(encoding="utf-8"), "run scripts/pages"


@each
def test_a_file_keeps_its_schema_and_adds_up(engine):
    vectors = published(engine)
    jsonschema.validate(vectors, schema(), cls=jsonschema.Draft202012Validator)
    for case in vectors["cases"]:
        assert len(case["kept"]) == len(case["probabilities"])
        assert sum(case["probabilities"]) == pytest.approx(1, abs=1e-6)
        assert case["kept"] == sorted(case["kept"])
    assert not list(differences(vectors))


@each
def test_every_setting_that_has_values_acts_in_some_case(engine):
    """Not only that it is there: some case with it differs from the same case without it."""
    cases = published(engine)["cases"]
    quiet = {c["input"]: c for c in cases if c["settings"] == cases[len({c["input"] for c in cases if not c["settings"]})]["settings"]}
    names = {s.name for place in ENGINES[engine].places for s in place.settings} & TRIED_VALUES.keys()
    for name in names:
        own = [c for c in cases if name in c["settings"] and c["input"] in quiet]
        assert any(
            c["kept"] != quiet[c["input"]]["kept"] or not np.allclose(c["probabilities"], quiet[c["input"]]["probabilities"], atol=1e-3)
            for c in own
        ), name


def test_the_order_of_two_settings_is_told_by_some_case():
    """vLLM cuts by min_p before top_k and top_p, after the temperature; an answer in the other order is another one."""
    vectors = published("vllm")
    both = [c for c in vectors["cases"] if {"temperature", "top_p"} <= c["settings"].keys()]
    assert both
    late = {**vectors, "engine": "mlx-lm", "cases": [
        {**c, "settings": {"temp": c["settings"]["temperature"], "top_p": c["settings"]["top_p"]}} for c in both
    ]}  # fmt: skip
    assert list(differences(late)), "mlx-lm's temperature comes last"


def test_a_file_that_says_something_else_is_found_out():
    vectors = published("transformers")
    case = next(c for c in vectors["cases"] if len(c["kept"]) > 2)
    case["kept"], case["probabilities"] = case["kept"][:-1], case["probabilities"][:-1]
    (found,) = differences(vectors)
    assert found.wanted == (case["kept"], case["probabilities"])
    assert str(found).startswith(f"case {found.case}, ")


@pytest.mark.parametrize("damage", [None, 3, [], {}, {"inputs": {"plain": {}}}, {"cases": [{}]}, {"cases": 3}, {"tolerance": "x"}], ids=str)
def test_what_is_no_file_of_vectors_is_refused(damage):
    vectors = {**published("openai"), **damage} if damage and isinstance(damage, dict) else damage
    with pytest.raises(UnspoolError, match="no file of golden vectors"):
        list(differences(vectors))


def test_inputs_are_exact_in_json_and_have_one_likeliest_token():
    for one in GOLDEN_INPUTS.values():
        assert all(float(np.float32(x)) == x and (8 * x).is_integer() for x in one.logits)
        assert sorted(one.logits)[-1] > sorted(one.logits)[-2]
        assert len(one.logits) == len(GOLDEN_VOCABULARY)


def test_texts_of_the_small_world_go_there_and_back():
    words = GoldenWords()
    text = "".join(GOLDEN_VOCABULARY[t] for t in (7, 8, 0, 2, 1, 9))
    assert b"".join(map(words.bytes_of, words.encode(text))).decode() == text


def test_settings_of_a_search_have_no_answer():
    assert answer("vllm", {"beam_width": 3}, GOLDEN_INPUTS["plain"]) is None
    assert answer("vllm", {"allowed_token_ids": [3]}, GoldenInput((1,), (), GOLDEN_INPUTS["plain"].logits)) == ([3], [1.0])


def test_the_program_writes_lists_and_checks(tmp_path, capsys):
    target = tmp_path / "openai.json"
    assert called("golden", "--engine", "openai", "--output-file", str(target))[0] == 0
    assert target.read_bytes() == (FOLDER / "openai.json").read_bytes()
    assert called("golden", "--check", str(target))[:2] == (0, f"{target}: every case is answered as it says\n")
    target.write_text(target.read_text().replace('"temperature": 0.5', '"temperature": 0.6'))
    code, said, _ = called("golden", "--check", str(target))
    assert code == 1
    assert '"temperature": 0.6' in said
    assert json.loads(called("golden", "--schema")[1]) == schema()
    assert [line.split()[0] for line in called("golden")[1].splitlines()] == list(ENGINES)


@pytest.mark.parametrize(("arguments", "words"), [
    (("--engine", "vlm"), "did you mean vllm"),
    (("--engine", "vllm", "--schema"), "one of them"),
    (("--check", "/nowhere.json"), "cannot read /nowhere.json"),
    (("--check", sys.executable), "no JSON"),
])  # fmt: skip
def test_bad_input_is_one_line(arguments, words):
    code, out, err = called("golden", *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1
