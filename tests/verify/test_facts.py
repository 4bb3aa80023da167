"""Models are checked against what is recorded of them; a difference shows, and so does a model of which nothing is recorded."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.program import BUNDLED, called, out, refusal, tiny_folder
from safetensors.numpy import load_file, save_file

import unspool as un
from unspool.lab.facts import recorded

STORIES = Path(__file__).parents[1] / "data" / "stories260K"


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """stories260K with one number of its last norm changed."""
    folder = shutil.copytree(STORIES, tmp_path_factory.mktemp("changed") / "model")
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"].copy()
    weights["model.norm.weight"][0] *= 1.5
    save_file(weights, folder / "model.safetensors")
    return folder


def test_stories260k_is_as_recorded():
    checks = un.verify(un.load(STORIES))
    assert [c for c in checks if not c.ok] == []
    assert len(checks) == 13
    assert sum(len(c.found) == 464 for c in checks) == 1


def test_the_bundled_model_is_as_its_files_say():
    checks = {c.fact: c for c in un.verify(un.load())}
    assert [c for c in checks.values() if not c.ok] == []
    assert "sha256 of model.safetensors" in checks


def test_a_change_shows(changed):
    checks = un.verify(un.load(changed))
    assert len(checks) == 13
    assert not all(c.ok for c in checks)
    step = checks[0]
    assert step.fact == "step 1 after 'Once upon a time'"
    assert step.recorded.startswith(", 96.88, there 2.87")
    assert not step.ok
    assert step.found != step.recorded


def test_percentages_are_compared_to_two_decimals(monkeypatch):
    facts = recorded()
    facts[1] |= {"texts": [], "tables": [{"prompt": "Once upon a time", "steps": [[[",", "96.88"], [" there", "2.88"]]]}]}
    monkeypatch.setattr("unspool.lab.facts.recorded", lambda: facts)
    (check,) = un.verify(un.load(STORIES))
    assert not check.ok
    facts[1]["tables"][0]["steps"][0][1][1] = "2.87"
    (check,) = un.verify(un.load(STORIES))
    assert check == un.Check("step 1 after 'Once upon a time'", ", 96.88, there 2.87", ", 96.88, there 2.87", True)


def test_a_file_beside_a_model_that_was_changed_shows(tmp_path):
    folder = shutil.copytree(BUNDLED, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"initializer_range": 0.5}))
    checks = {c.fact: c.ok for c in un.verify(un.load(folder))}
    assert not checks.pop("sha256 of config.json")
    assert all(checks.values())


def test_nothing_is_recorded_of_other_models(tmp_path):
    folder = tiny_folder(tmp_path / "tiny")
    with pytest.raises(un.UnknownName, match=r"nothing is recorded of .*tiny \(gpt2, \d+ parameters, 4096 tokens\)"):
        un.verify(un.load(folder))
    assert "recorded are GPT-2 (124M), stories260K and the bundled model" in refusal("verify", str(folder))


def test_the_command_says_every_fact_and_ends_with_0_or_1(changed):
    text = out("verify", str(STORIES)).splitlines()
    assert len(text) == 13
    assert all(line.startswith("ok       ") for line in text)
    code, text, said = called("verify", str(changed))
    assert (code, said) == (1, "")
    assert "differs  step 1 after 'Once upon a time'\n           recorded  , 96.88, there 2.87" in text
    code, text, _ = called("verify", str(changed), "-o", "jsonl")
    assert code == 1
    assert {"fact", "recorded", "found", "ok"} == json.loads(text.splitlines()[0]).keys()
    assert out("verify", "-o", "csv").startswith("fact,ok,recorded,found\n")


def test_a_broken_bundled_model_is_refused_when_it_is_loaded(tmp_path, monkeypatch):
    folder = shutil.copytree(BUNDLED, tmp_path / "model")
    monkeypatch.setattr("unspool.models.loading.BUNDLED", folder)
    assert un.load().name == "bundled"
    data = np.fromfile(folder / "model.safetensors", np.uint8)
    data[-5] ^= 1
    data.tofile(folder / "model.safetensors")
    with pytest.raises(un.ModelError, match=r"model\.safetensors is broken: its sha256 is not the one recorded beside it"):
        un.load()


@pytest.mark.hub
def test_gpt2_is_as_recorded():
    """The table and texts of GPT-2 (124M), where its weights are in the hub's cache or can be fetched."""
    try:
        lm = un.load("hf:openai-community/gpt2")
    except un.ModelError as error:
        try:
            lm = un.load("hf:gpt2")
        except un.ModelError:
            pytest.skip(f"GPT-2's weights cannot be had here: {error}")
    checks = un.verify(lm)
    assert len(checks) == 10
    assert [c for c in checks if not c.ok] == []
