"""Models are checked against what is recorded of them, and where nothing is, for what holds of all; a difference shows."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.program import BUNDLED, called, out, tiny_folder
from helpers.tables import table
from safetensors.numpy import load_file, save_file

import unspool as un
from unspool.lab.facts import recorded
from unspool.models.known import KNOWN
from unspool.models.loading import Found

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


def test_log_probabilities_are_compared_to_two_decimals(monkeypatch):
    facts, text = recorded(), {"prompt": "Once upon a time", "max_new_tokens": 3, "text": ", there was"}
    monkeypatch.setattr("unspool.lab.facts.recorded", lambda: facts)
    lm = un.load(STORIES)
    exact = lm.generate(text["prompt"], max_new_tokens=3).logprob
    for said, ok in ((f"{exact:.2f}", True), (f"{exact - 0.01:.2f}", False)):
        facts[1] |= {"tables": [], "texts": [text | {"logprob": said}]}
        of_text, of_logprob = un.verify(lm)
        assert of_text.ok
        assert of_logprob == un.Check("log p of the greedy text after 'Once upon a time'", said, f"{exact:.2f}", ok)


def test_sums_are_counted(monkeypatch):
    facts = recorded()
    monkeypatch.setattr("unspool.lab.facts.recorded", lambda: facts)
    facts[1] |= {"tables": [], "texts": [], "sums": [{"shown": [[1, 2]], "right": 0}, {"shown": [[1, 2], [3, 4]], "right": 1}]}
    assert un.verify(un.load(STORIES)) == [
        un.Check("sums of two digits, after 1", "0 of 100", "0 of 100", True),
        un.Check("sums of two digits, after 2", "1 of 100", "0 of 100", False),
    ]


def test_facts_of_one_file_alone_are_of_no_other(monkeypatch):
    facts, lm = recorded(), un.load(STORIES)
    monkeypatch.setattr("unspool.lab.facts.recorded", lambda: facts)
    facts[1] |= {"fingerprint": lm.info["fingerprint"]}
    assert len(un.verify(lm)) == 13
    facts[1] |= {"fingerprint": "another"}
    assert un.verify(lm)[0].fact == "recorded facts"


def test_the_file_of_a_package_is_hashed(monkeypatch):
    """The first check of a model that was loaded by its word."""
    lm, model = un.load(STORIES), KNOWN["smollm2"]
    monkeypatch.setattr("unspool.lab.facts.find", lambda name: Found(name, STORIES / "config.json"))
    lm.name = "smollm2"
    check = un.verify(lm)[0]
    assert (check.fact, check.recorded, check.ok) == ("sha256 of config.json", model.packaged.sha256, False)
    assert len(check.found) == 64


def test_a_file_beside_a_model_that_was_changed_shows(tmp_path):
    folder = shutil.copytree(BUNDLED, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"initializer_range": 0.5}))
    checks = {c.fact: c.ok for c in un.verify(un.load(folder))}
    assert not checks.pop("sha256 of config.json")
    assert all(checks.values())


FACTS = ["recorded facts", "weights", "logits", "later tokens change what was predicted", "token by token and at once", "tokenizer"]


def test_of_other_models_what_holds_of_every_model_is_checked(tmp_path):
    folder = tiny_folder(tmp_path / "tiny")
    checks = un.verify(un.load(folder))
    assert [c.fact for c in checks] == FACTS
    assert all(c.ok for c in checks)
    assert checks[0].found.startswith(f"none of {folder} (gpt2, ")
    assert len(out("verify", str(folder)).splitlines()) == len(FACTS)


@pytest.mark.parametrize("settings", [{"backend": "torch"}, {"dtype": "bfloat16"}, {"backend": "transformers"}])
def test_so_it_is_on_every_backend(tmp_path, settings):
    pytest.importorskip("transformers")
    assert [c for c in un.verify(un.load(tiny_folder(tmp_path / "tiny"), device="cpu", **settings)) if not c.ok] == []


def test_of_a_broken_model_it_is_said_what_is_broken(tmp_path):
    folder = tiny_folder(tmp_path / "broken", broken=True)
    code, text, said = called("verify", str(folder))
    assert (code, said) == (1, "")
    assert [line.split()[0] for line in text.splitlines() if line[0] != " "] == ["ok", "differs", "differs", "differs", "differs", "ok"]
    assert "NaN or infinity in transformer.ln_f.bias" in text
    assert "NaN or infinity after" in text


class Wrong:
    """A table model that looks at later tokens, or whose cache differs from what is computed at once."""

    def __init__(self, causal):
        self.inner, self.causal = table(vocabulary=6), causal
        self.vocabulary, self.context, self.end_tokens, self.start = 6, 64, (), 0

    def session(self, plan=un.NO_PLAN):
        session, causal, chains = self.inner.session(plan), self.causal, []
        ask, grow = session.logits, session.extend

        def extend(parents, given, every=False):
            chains.append(list(map(int, given[0])))
            return grow(parents, given, every)

        def logits(rows):
            found = ask(rows).copy()
            found[:, 0] += len(chains) if causal else chains[-1][-1]
            return found

        session.extend, session.logits = extend, logits
        return session


def test_a_model_that_is_not_causal_shows():
    assert FACTS[3] in [c.fact for c in un.verify(un.LanguageModel(Wrong(causal=False))) if not c.ok]


def test_a_model_whose_cache_differs_shows():
    checks = {c.fact: c.ok for c in un.verify(un.LanguageModel(Wrong(causal=True)))}
    assert [fact for fact, ok in checks.items() if not ok] == [FACTS[4]]


def test_a_tokenizer_that_gives_another_text_back_shows(tmp_path):
    lm = un.load(tiny_folder(tmp_path / "tiny"))
    lm.tokenizer.encode_prompt = lambda text: [5, 6, 7]
    assert [c.fact for c in un.verify(lm) if not c.ok] == ["tokenizer"]


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
