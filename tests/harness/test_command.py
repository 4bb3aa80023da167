"""`unspool lm-eval`: lm_eval's own command line, with unspool's model."""

import importlib.util
import json
import os
import sys
from importlib import import_module
from pathlib import Path

import pytest
from helpers.program import called, refusal

ROOT = Path(__file__).parents[2]
RAY = pytest.param("ray", marks=pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray"))


def test_help_is_there_without_the_library():
    code, found, _ = called("lm-eval", "--help")
    assert code == 0
    assert "--model unspool" in found


def test_how_it_is_installed(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "lm_eval", None)
    assert "pip install 'unspool[lm-eval]'" in refusal("lm-eval", "--model", "unspool", "--tasks", "x")


def test_the_entry_point_leads_to_the_model():
    pytest.importorskip("lm_eval")
    tomllib = pytest.importorskip("tomllib")
    from unspool.harness.start import HOME, MODEL_NAME

    points = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]["lm_eval.models"]
    assert points == {MODEL_NAME: HOME}
    module, name = HOME.split(":")
    assert getattr(import_module(module), name).__name__ == name


@pytest.fixture
def tasks(manager, monkeypatch, tmp_path):
    """The arguments that name the tasks, whose data lies beside them."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    return ["--include_path", str(Path(__file__).parent / "tasks"), "--tasks"]


def test_a_run(folders, tasks, tmp_path):
    model = f"pretrained={folders['gpt2']},decoder=beam(3, length_penalty=0)"
    where = ["--output_path", str(tmp_path / "out"), "--log_samples"]
    code, found, said = called("lm-eval", "--model", "unspool", "--model_args", model, *tasks, "choices,answers", *where)
    assert code == 0, said
    assert "|choices|" in found.replace(" ", "")
    (results,) = (tmp_path / "out").rglob("results*.json")
    config = json.loads(results.read_text(encoding="utf-8"))["config"]
    assert config["decoder"] == "beam(3, length_penalty=0)"
    assert config["backend"] == "compiled"


@pytest.mark.parametrize("engine", ["processes", RAY])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_whoever_answers_says_the_same(engine, folders, tasks, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))          # Ray's workers find what is found here
    model = ["--model", "unspool", "--model_args", f"pretrained={folders['gpt2']}", "--gen_kwargs", "decoder=top_p(0.9) | sample"]
    elsewhere = ["--engine", engine, "--workers=2"]
    samples = []
    for name, before, after in (("inline", [], []), ("first", elsewhere, []), ("last", [], elsewhere)):
        where = ["--batch_size", "1", "--log_samples", "--output_path", str(tmp_path / name)]
        code, _, said = called("lm-eval", *before, *model, *tasks, "choices,answers", *where, *after)
        assert code == 0, said
        samples.append([path.read_bytes() for path in sorted((tmp_path / name).rglob("samples*.jsonl"))])
    assert len(samples[0]) == 2
    assert samples[0] == samples[1] == samples[2]


def test_workers_are_for_our_model(tasks):
    pytest.importorskip("lm_eval")
    for model in (["--model", "dummy"], ["--model=dummy"]):
        said = refusal("lm-eval", *model, *tasks, "choices", "--engine", "processes")
        assert said.endswith("are for --model unspool; dummy is lm_eval's own: leave them out\n")
    assert "inline has no workers" in called("lm-eval", "--model", "unspool", *tasks, "choices", "--workers", "2")[2]
    assert "--workers" in refusal("lm-eval", "--model", "unspool", "--workers")


def test_other_models_are_theirs(tasks):
    code, found, _ = called("lm-eval", "--model", "dummy", *tasks, "choices")
    assert code == 0
    assert "dummy" in found


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model_args", "pretrained={gpt2},decodr=beam(4)"), "did you mean decoder"),
        (("--model_args", "pretrained=/nowhere"), "/nowhere"),
        (("--model_args", "pretrained={gpt2}", "--gen_kwargs", "decoder=baem(4)"), "did you mean beam"),
        (("--model_args", "pretrained={gpt2}", "--gen_kwargs", "topp=0.9"), "did you mean top_p"),
    ],
    ids=str,
)
def test_what_cannot_be_is_said_in_a_line(arguments, said, folders, tasks):
    given = [text.replace("{gpt2}", str(folders["gpt2"])) for text in arguments]
    code, _, error = called("lm-eval", "--model", "unspool", *given, *tasks, "answers")
    assert code == 2
    assert said in error.splitlines()[-1]
    assert "Traceback" not in error


def test_a_task_that_is_not_there(folders, tasks):
    code, _, error = called("lm-eval", "--model", "unspool", "--model_args", f"pretrained={folders['gpt2']}", *tasks, "chioces")
    assert code == 2
    assert "lm_eval: Tasks not found: chioces" in error.splitlines()[-1]


def test_arguments_that_lm_eval_refuses():
    pytest.importorskip("lm_eval")
    code, _, error = called("lm-eval", "run", "--modle", "unspool")
    assert code == 2
    assert "--modle" in error
