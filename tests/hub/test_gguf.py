"""GGUF files of the hub: the one that is meant is fetched, and nothing beside it."""

import json
import subprocess

import pytest
from helpers.checkpoints import tiny_gpt2

pytest.importorskip("gguf")

from helpers.gguf_files import write_model
from helpers.program import PROGRAM

from unspool.models.gguf.names import first_files, is_meant, patterns_of, quantisation_of


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A tiny model as a file."""
    config, weights = tiny_gpt2(0, layers=1, width=8, vocabulary=300, positions=16)
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    config |= {"layer_norm_epsilon": 1e-5, "eos_token_id": 0}
    write_model(path, "gpt2", config, {f"transformer.{name}": weight for name, weight in weights.items()})
    return path.read_bytes()


def fetched(hub):
    return [name for name, _ in hub.fetched()]


def test_the_format_that_is_named(hub, client, repository, data):
    hub.repositories["org/many"] = model = repository()
    model.files = {"README.md": b"#", **{f"tiny{end}.gguf": data for end in ("-f16", ".Q4_K_M", ".Q4_K_S")}, "mmproj-tiny.gguf": b"x"}
    (found,) = client.load("org/many:q4_k_m")
    assert fetched(hub) == ["tiny.Q4_K_M.gguf"]
    assert found["name"] == found["recipe"]["model"] == "org/many:q4_k_m"
    assert found["info"]["revision"] == model.commit
    named = client.load("hf:org/many:TINY-F16.gguf@main")[0]
    assert named["text"] == found["text"]
    assert client.error("org/many").endswith("say which, as org/many:Q4_K_M: it has Q4_K_M, Q4_K_S, f16")
    assert client.error("org/many:Q8_0").endswith("org/many has no GGUF file 'Q8_0'; it has Q4_K_M, Q4_K_S, f16")
    listed = subprocess.run([*PROGRAM, "models", "-o", "json"], capture_output=True, env=client.environment(), check=True)
    shown = [(m["name"], m["architecture"], m["problem"]) for m in json.loads(listed.stdout)]
    assert {("org/many:Q4_K_M", "gpt2", ""), ("org/many:f16", "gpt2", "")} <= set(shown)
    hub.close()
    assert client.load("org/many:Q4_K_M")[0]["text"] == found["text"]
    assert "not complete" in client.error("org/many:Q4_K_S")
    assert "not" in client.error("org/many:Q4_K_S", HF_HUB_OFFLINE="1")


def test_the_only_one_needs_no_name(hub, client, repository, data):
    hub.repositories["org/one"] = model = repository()
    model.files = {"config.json": b"{}", "one.Q8_0.gguf": data}
    assert client.load("org/one")[0]["info"]["revision"] == model.commit
    hub.log.clear()
    hub.close()
    assert client.load("org/one", "org/one:Q8_0", HF_HUB_OFFLINE="1")[1]["name"] == "org/one:Q8_0"


def test_a_repository_without(hub, client, repository):
    hub.repositories["org/tiny"] = repository()
    assert "org/tiny has no GGUF file 'Q4_0'; it has none at all" in client.error("org/tiny:Q4_0")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a-7b.Q4_K_M.gguf", "Q4_K_M"), ("a-instruct-q8_0.gguf", "q8_0"), ("f16.gguf", "f16"), ("a.BF16-00001-of-00003.gguf", "BF16")],
)
def test_formats_by_names(name, kind):
    import fnmatch

    assert quantisation_of(name) == kind
    for wanted in (kind.lower(), kind.upper(), name, name.upper()):
        assert is_meant(name, wanted)
        assert any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns_of(wanted))
        assert not any(fnmatch.fnmatchcase(name.replace(kind, f"{kind}_S"), pattern) for pattern in patterns_of(wanted))


def test_first_files():
    names = ["b-00001-of-00002.gguf", "b-00002-of-00002.gguf", "a.GGUF", "mmproj-a.gguf", "a.bin"]
    assert first_files(names) == ["a.GGUF", "b-00001-of-00002.gguf"]
