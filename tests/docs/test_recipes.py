"""The recipes: what is written there is what is written here. That the blocks run is a test of all pages (`test_blocks.py`)."""

import ast
import re
import shlex
from pathlib import Path

import pytest

import unspool as un

PAGE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
OPTIONS = {"max_new_tokens", "seed"}


def recipes(engine):
    """The blocks there and here of an engine's recipes, by their headings."""
    section = re.search(rf"^## {re.escape(engine)}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)[1]
    return {heading: blocks(text) for heading, text in re.findall(r"^### (.+?)\n(.*?)(?=^### |\Z)", section, re.M | re.S)}


def blocks(text):
    """Language and code of every block."""
    return re.findall(r"^```(\w+)\n(.*?)^```", text, re.M | re.S)


def calls(block, *names):
    """The calls of functions by these names in Python code."""
    found = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)]
    return [node for node in found if getattr(node.func, "attr", getattr(node.func, "id", "")) in names]


def generated_by(block):
    """The decoder and the options of the one call of `generate` in a block."""
    given = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)]
    known = {node.targets[0].id: node.value.value for node in given}
    (call,) = calls(block, "generate")
    decoder = known[call.args[1].id] if isinstance(call.args[1], ast.Name) else ast.literal_eval(call.args[1])
    return un.parse(decoder), {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}


@pytest.mark.parametrize("heading", ["SamplingParams", "Beam search", "Structured outputs"])
def test_settings_of_vllm_are_the_decoder_beside_them(heading):
    (_, there), (_, here) = recipes("vLLM")[heading]
    (params,) = calls(there, "SamplingParams", "BeamSearchParams")
    found = un.from_engine("vllm", ast.unparse(params))
    decoder, options = generated_by(here)
    assert (str(decoder), options) == (str(found.decoder), found.options)
    assert not found.lost


def test_flags_of_llama_cpp_are_the_decoder_beside_them():
    (_, there), (_, here) = recipes("llama.cpp")["Flags"]
    _, *flags = shlex.split(there)
    found = un.from_engine("llama.cpp", flags)
    words = shlex.split(here)
    assert str(un.parse(words[words.index("-d") + 1])) == str(found.decoder)
    assert {name: int(words[words.index(f"--{name.replace('_', '-')}") + 1]) for name in OPTIONS} == found.options
    assert words[2] == flags[flags.index("-p") + 1]
    assert not found.lost


def test_the_call_of_llama_cpp_python_is_the_decoder_beside_it():
    (_, there), (_, here) = recipes("llama.cpp")["llama-cpp-python"]
    (call,) = calls(there, "create_completion")
    given = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    found = un.from_engine("llama.cpp", {"n_predict": given.pop("max_tokens"), **{n: v for n, v in given.items() if n != "logprobs"}})
    assert [str(d) for d in (generated_by(here)[0], found.decoder)] == ["greedy", "greedy"]
    assert found.options == generated_by(here)[1]


def test_what_transformers_and_a_client_say_is_what_is_said_here(tmp_path, monkeypatch, capsys):
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    scope = {"__name__": "__main__"}
    compared = PAGE[: PAGE.index("### What it has no field for")]           # what comes after compares nothing
    for language, block in blocks(compared):
        if language == "python":
            exec(compile(block, "recipes.md", "exec"), scope)
    said = capsys.readouterr().out.split()
    assert "False" not in said
    assert said.count("True") == len(re.findall(r"^ *print\(.* == |^ *print\(torch.allclose", PAGE, re.M)) == 8
