import json
import re

import pytest
from helpers.program import called, out, refusal

import unspool as un


@pytest.fixture
def traces(tmp_path):
    found = {}
    for name, decoder in (("a", "top_k(5) | sample"), ("b", "top_k(3) | temperature(0.8) | sample")):
        found[name] = str(tmp_path / name)
        out("The sea", "-d", decoder, "--max-new-tokens", "6", "--trace", found[name])
    return found


def test_a_trace_is_no_different_from_itself(traces):
    assert "the same" in out("diff", traces["a"], traces["a"])


def test_what_differs_is_named_and_tells_in_the_exit_code(traces):
    code, found, said = called("diff", traces["a"], traces["b"])
    assert (code, said) == (1, "")
    assert "top_k k: 5 → 3" in found
    assert "temperature: none → temperature(0.8)" in found
    code, found, _ = called("diff", traces["a"], traces["b"], "-o", "json")
    steps = json.loads(found)["texts"][0]["steps"]
    assert code == 1
    assert steps[0]["model"] == {"kl": pytest.approx(0, abs=1e-6), "total_variation": pytest.approx(0, abs=1e-6), "top_in_common": 1}
    assert steps[0]["processed"]["total_variation"] > 0.1


def test_what_cannot_be_compared_is_refused(traces, tmp_path):
    other = str(tmp_path / "other")
    out("The moon", "--max-new-tokens", "2", "--trace", other)
    assert "different prompts" in refusal("diff", traces["a"], other)
    assert "cannot read the trace" in refusal("diff", traces["a"], str(tmp_path / "none"))
    assert "unspool diff A B" in refusal("diff", traces["a"])
    text = (tmp_path / "a").read_text().replace('"tokenizer": "', '"tokenizer": "0')
    (tmp_path / "c").write_text(text)
    assert "different tokenizers" in refusal("diff", traces["a"], str(tmp_path / "c"))


def test_the_schema_is_printed():
    assert json.loads(out("schema"))["title"].endswith("format 2")


def test_a_damaged_trace_is_refused_with_the_reason(tmp_path):
    whole, bad = tmp_path / "whole.jsonl", tmp_path / "bad.jsonl"
    un.load().generate("The king", "beam(3)", max_new_tokens=4, level="choices").trace.save(whole)
    lines = whole.read_text().splitlines(keepends=True)
    for number in range(1, len(lines) - 1):
        bad.write_text("".join(lines[:number] + lines[number + 1 :]))
        assert "a step is missing" in refusal("diff", str(whole), str(bad))
        bad.write_text("".join(lines[: number + 1] + lines[number:]))
        assert "as a line before it has" in refusal("diff", str(whole), str(bad))
    for constant in ("NaN", "Infinity", "-Infinity"):
        bad.write_text("".join([*lines[:1], re.sub(r'"logprob": \[[^,\]]*', f'"logprob": [{constant}', lines[1]), *lines[2:]]))
        assert f"line 2 holds {constant}, which is no number" in refusal("diff", str(whole), str(bad))
