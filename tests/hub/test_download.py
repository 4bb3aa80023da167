"""Models are fetched from the hub, kept, completed and found again, and every result says of which commit they are."""

import json
import subprocess

import numpy as np
import pytest
from helpers.program import PROGRAM, Terminal
from safetensors.numpy import load_file, save_file

WANTED = ["config.json", "model.safetensors", "tokenizer.json"]
BLOCK = 10 * 1024 * 1024
"""Bytes that huggingface_hub writes at once."""


def files(hub):
    return [name for name, _ in hub.fetched()]


def test_download_then_cache(hub, client, repository):
    hub.repositories["org/tiny"] = model = repository(revisions=("main", "v1"))
    (found,) = client.load("org/tiny")
    assert files(hub) == WANTED
    assert found["name"] == found["recipe"]["model"] == found["model"]["name"] == "org/tiny"
    assert found["info"]["revision"] == found["recipe"]["revision"] == found["model"]["revision"] == model.commit

    hub.log.clear()
    assert client.load("org/tiny", f"org/tiny@{model.commit}", "hf:org/tiny@v1") == [
        found,
        found | {"name": f"org/tiny@{model.commit}"} | renamed(found, f"org/tiny@{model.commit}"),
        found | {"name": "org/tiny@v1"} | renamed(found, "org/tiny@v1"),
    ]
    assert files(hub) == []                                               # asked for the commit, fetched nothing

    hub.close()
    assert client.load("org/tiny") == [found]                             # the hub is off
    assert client.load("org/tiny", HF_HUB_OFFLINE="1") == [found]


def renamed(found, name):
    return {"recipe": found["recipe"] | {"model": name}, "model": found["model"] | {"name": name}}


def test_a_revision_stays_while_the_newest_moves(hub, client, repository):
    old, new = repository(revisions=("v1",)), repository()
    new.files = new.files | {"generation_config.json": b'{"eos_token_id": 3}'}
    hub.repositories["tiny"] = old
    assert client.load("tiny@v1")[0]["info"]["revision"] == old.commit
    hub.repositories["tiny"] = new
    assert client.load("tiny")[0]["info"]["revision"] == new.commit
    assert client.load("tiny@v1")[0]["error"].startswith("tiny has no revision 'v1'")
    assert client.load("tiny@v1", "tiny", HF_HUB_OFFLINE="1")[0]["info"]["revision"] == old.commit


def test_a_broken_download_is_resumed(hub, client, repository, tmp_path):
    hub.repositories["org/tiny"] = model = repository(breaks={"model.safetensors": [BLOCK + 1000]})
    (tmp_path / "weights").write_bytes(model.files["model.safetensors"])
    mask = {"transformer.h.0.attn.bias": np.ones(BLOCK // 4 + 1000, np.float32)}
    save_file(load_file(tmp_path / "weights") | mask, tmp_path / "weights")
    model.files["model.safetensors"] = (tmp_path / "weights").read_bytes()
    assert client.load("org/tiny")[0]["info"]["revision"] == model.commit
    assert [where for name, where in hub.fetched() if name == "model.safetensors"] == [None, f"bytes={BLOCK}-"]


def test_what_is_whole_is_kept_for_the_next_time(hub, client, repository):
    hub.repositories["org/tiny"] = model = repository(served={"model.safetensors": b"wrong"})
    assert "broken" in client.error("org/tiny")
    model.served.clear()
    hub.log.clear()
    assert client.load("org/tiny")[0]["info"]["revision"] == model.commit
    assert files(hub) == ["model.safetensors"]


def test_a_folder_comes_before_the_hub(hub, client, repository, tmp_path, monkeypatch):
    hub.repositories["tiny"] = model = repository()
    (tmp_path / "tiny").mkdir()
    for name in WANTED:
        (tmp_path / "tiny" / name).write_bytes(model.files[name])
    monkeypatch.chdir(tmp_path)
    folder, hubs = client.load("tiny", "hf:tiny")
    assert "revision" not in folder["info"]
    assert hubs["info"]["revision"] == model.commit


def test_a_token_opens_what_is_private(hub, client, repository):
    hub.repositories["org/tiny"] = repository(token="secret")
    assert "set HF_TOKEN" in client.error("org/tiny")
    assert client.load("org/tiny", HF_TOKEN="secret")[0]["name"] == "org/tiny"


def test_the_command_line_fetches_and_lists(hub, client, repository):
    hub.repositories["org/tiny"] = repository()
    run = lambda *arguments: subprocess.run(  # noqa: E731
        [*PROGRAM, *arguments], capture_output=True, env=client.environment(), timeout=60, check=True, text=True
    )
    done = run("Once", "-m", "org/tiny", "--max-new-tokens", "2", "-o", "json")
    assert done.stderr == ""                                              # no bar where nobody can see it
    assert json.loads(done.stdout)[0]["recipe"]["revision"] == hub.repositories["org/tiny"].commit
    listed = json.loads(run("models", "-o", "json").stdout)
    assert [(m["name"], m["architecture"]) for m in listed] == [("bundled", "gpt2"), ("org/tiny", "gpt2")]


@pytest.mark.parametrize("apart", [False, True])
def test_a_bar_is_shown_on_a_terminal(hub, client, repository, tmp_path, apart):
    hub.repositories["org/tiny"] = repository()
    own = client.environment()
    errors = str(tmp_path / "errors") if apart else None
    terminal = Terminal("Once", "-m", "org/tiny", "--max-new-tokens", "2", stderr=errors, **own)
    shown = terminal.read()
    assert terminal.code() == 0
    assert ("%" in shown) is not apart
    if apart:
        assert (tmp_path / "errors").read_text() == ""
