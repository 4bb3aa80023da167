"""One model in detail, in every form."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from helpers.program import out, refusal, tiny_folder

from unspool.kernels.library import available
from unspool.lab.quantization import Price
from unspool.lab.soundness import Check
from unspool.views.models import draw_check, draw_got, draw_prices
from unspool.views.terminal import PLAIN


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return str(tiny_folder(tmp_path_factory.mktemp("tiny") / "model"))


def test_one_model_in_words(tiny):
    text = out("models", tiny)
    shape = (r"architecture +gpt2", r"context +16", r"vocabulary +4096")
    for line in (*shape, r"backend +compiled", r"kernels +\w+, \d+ threads?", r"device +cpu", r"dtype +float32"):
        assert re.search(rf"^{line}$", text, re.M), text
    assert re.search(r"^resident memory +[\d,]+\.\d MB$", text, re.M)


@pytest.mark.skipif(not available(), reason="the kernels are not built")
@pytest.mark.parametrize(("dtype", "lies"), [(None, "float32"), ("int4", "int4")])
def test_one_model_says_what_its_weights_lie_in(tiny, dtype, lies):
    (value,) = json.loads(out("models", tiny, "-o", "json", *(["--dtype", dtype] if dtype else [])))
    assert value["packed"] == [lies]
    assert (value["packed_bytes"] > 4 * 8 * 4096) == (dtype is None)
    assert "packed" not in json.loads(out("models", tiny, "-o", "json", "--backend", "numpy"))[0]


@pytest.mark.skipif(not available(), reason="the kernels are not built")
def test_whole_numbers_of_a_file_are_said(tmp_path):
    pytest.importorskip("gguf")
    from helpers.checkpoints import tiny_llama
    from helpers.gguf_files import write_model

    path = tmp_path / "model.gguf"
    write_model(path, "llama", *tiny_llama(1, key_heads=1, inner=96, width=64, heads=2, vocabulary=300), quantise="Q4_0")
    assert re.search(r"^packed as +whole numbers of 4 bits$", out("models", str(path)), re.M)


@pytest.mark.parametrize("asked", [["get", "smollm2"], ["get"], []])
@pytest.mark.parametrize("option", [["--dtype", "int8"], ["--backend", "numpy"], ["--device", "cpu"]])
def test_what_computes_is_for_one_model_that_is_described(asked, option):
    assert f"{' '.join(option)} is for one model that is described" in refusal("models", *asked, *option)


def test_one_model_in_numbers(tiny):
    (value,) = json.loads(out("models", tiny, "-o", "json"))
    assert value["parameters"] == 8 * 4096 + 8 * 16 + 16 + 32 + 8 * 24 + 24 + 64 + 8 + 8 * 32 + 32 + 8 * 32 + 8
    assert value["file_bytes"] > 4 * value["parameters"]
    assert value["resident_bytes"] > 1e7
    assert (value["layers"], value["end_tokens"]) == (1, [])
    lines = list(csv.DictReader(io.StringIO(out("models", tiny, "-o", "csv"))))
    assert {line["name"]: line["value"] for line in lines}["tokenizer_sha256"] == value["tokenizer_sha256"]


def test_one_model_in_torch(tiny):
    pytest.importorskip("torch")
    (value,) = json.loads(out("models", tiny, "--device", "cpu", "--backend", "torch", "--dtype", "bfloat16", "-o", "json"))
    assert (value["backend"], value["device"], value["dtype"]) == ("torch", "cpu", "bfloat16")


def test_the_bundled_model_and_what_is_none(tmp_path):
    assert re.search(r"^architecture +gpt2$", out("models", "bundled"), re.M)
    assert "neither it nor a folder in it has a config.json" in refusal("models", str(tmp_path))
    assert "there is no model at" in refusal("models", str(tmp_path / "no/such/folder"))
    assert "a .gguf file" in refusal("models", str(tmp_path / "none.gguf"))
    assert "did you mean bundled" in refusal("models", "bundeld")


def test_help_of_verify():
    assert "recorded facts" in out("verify", "--help")


def test_how_to_ask_a_chat_model_says_what_it_needs():
    asked = 'unspool "Why is the sky blue?" -m smollm2 --chat'
    for lacking, lines in ((False, [asked]), (True, [asked, "--chat needs the extra chat: pip install 'unspool[chat]'"])):
        assert draw_got("smollm2", Path("/here"), True, lacking, PLAIN).splitlines()[1:] == lines
    assert "--chat" not in draw_got("gpt2", Path("/here"), False, True, PLAIN)


@pytest.mark.parametrize("width", [40, 80])
def test_facts_fit_the_terminal(width):
    for fact in ("log p of the greedy text after 'In a shocking finding, scientist discovered'", "parameters"):
        for check in (Check(fact, "x" * 90, "x" * 90, True), Check(fact, "x" * 90, "y" * 90, False)):
            text = draw_check(check, width, PLAIN)
            assert max(map(len, text.splitlines())) <= width
            assert "xxxxx" in text


def test_the_footnote_of_prices_fits_the_terminal():
    price = Price("int8", 21, 0.1, 0.2, 0.9, 7.5, 7.4, 6_100_000, 23_100_000)
    assert max(map(len, draw_prices([price], PLAIN).splitlines())) <= 80
