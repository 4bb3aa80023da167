"""`unspool detect` finds what `unspool generate` marked, and refuses what cannot be looked for."""

import json

import pytest
from helpers.program import out, refusal

MARKS = ("watermark_kgw(hashing_key=7)", "watermark_synthid(7)")


@pytest.mark.parametrize("mark", MARKS)
def test_a_marked_text_is_found_by_its_own_key(mark, tmp_path):
    written = out("Once upon a time", "-d", f"temperature(1.1) | {mark} | sample", "--max-new-tokens", "60", "-o", "json")
    text = json.loads(written)[0]["sequences"][0]["text"]
    found = json.loads(out("detect", text, "-d", mark, "-d", mark.replace("7", "8"), "-o", "json"))
    assert [f["watermark"] for f in found] == [mark, mark.replace("7", "8")]
    assert found[0]["p_value"] < 1e-4 < found[1]["p_value"]
    assert out("detect", text, "-d", f"top_p(0.9) | {mark} | beam(3)", "-o", "json") == out("detect", text, "-d", mark, "-o", "json")
    lines = tmp_path / "texts"
    lines.write_text("one line of a text about a king\nand then another one of a queen\n")
    shown = out("detect", "-f", str(lines), "-d", mark)
    assert mark in shown
    assert all(text in shown for text in ("one line of a text about a king", "and then another one of a queen", "p-value"))
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["a b c"], "which watermark"), (["a b c", "-d", "top_p(0.5)"], "which watermark"), (["-d", MARKS[0]], "give a text"),
     (["x", "-d", MARKS[1]], "too few"), (["", "-d", MARKS[0]], "too few")],
)  # fmt: skip
def test_refusals(arguments, words):
    assert words in refusal("detect", *arguments)


def test_a_mean_that_is_no_share_is_no_percentage():
    told = out("detect", "Once upon a time there was a king", "-d", "watermark_gumbel(7)", "-d", MARKS[0])
    gumbel, green = told.split(MARKS[0])
    assert "%" not in gumbel
    assert "1.00" in gumbel
    assert green.count("%") == 2
