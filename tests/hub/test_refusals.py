"""What the hub does not give is refused in one line that says why and what to do."""

import errno

import pytest

from unspool.models.hub_errors import as_ours


@pytest.fixture
def found(hub, client, repository):
    """Loading names: what each gives."""

    def load(*names, **env):
        return dict(zip(names, client.load(*names, **env), strict=True))

    return load


def refused(entry, *words, kind="ModelError"):
    assert kind in entry["kinds"], entry
    assert "\n" not in entry["error"]
    for word in words:
        assert word in entry["error"], entry["error"]


def test_what_the_hub_does_not_have_or_show(hub, found, repository):
    hub.repositories["org/gated"] = repository(gated=True)
    hub.repositories["org/tiny"] = repository()
    answers = found("org/gated", "org/nothing", "bnudled-xl", "hf:bundeld", "bundeld", "org/tiny@v9")
    refused(answers["org/gated"], "org/gated is gated", f"accept its terms on {hub.address}/org/gated", "HF_TOKEN")
    refused(answers["org/nothing"], "there is no model folder 'org/nothing'", hub.address, kind="UnknownName")
    refused(answers["bnudled-xl"], "unknown model 'bnudled-xl'", "no such folder", hub.address, "did you mean bundled?", kind="UnknownName")
    refused(answers["hf:bundeld"], "there is no model 'bundeld'", hub.address, kind="UnknownName")
    refused(answers["bundeld"], "unknown model 'bundeld': did you mean bundled?", kind="UnknownName")
    refused(answers["org/tiny@v9"], "org/tiny has no revision 'v9'", kind="UnknownName")


def test_files_that_cannot_be_used(hub, found, repository, tiny_files):
    without = {name: data for name, data in tiny_files.items() if name != "model.safetensors"}
    hub.repositories |= {f"org/{name}": repository() for name in ("pickled", "other", "wrong", "config", "truncated", "large")}
    hub.repositories["org/pickled"].files = without | {"pytorch_model.bin": b"x"}
    hub.repositories["org/other"].files = without | {"model.onnx": b"x"}
    hub.repositories["org/wrong"].served["model.safetensors"] = tiny_files["model.safetensors"][:-1] + b"!"
    hub.repositories["org/config"].served["config.json"] = tiny_files["config.json"].replace(b"1", b"2", 1)
    hub.repositories["org/truncated"].breaks["model.safetensors"] = [0] * 20
    hub.repositories["org/large"].claimed["model.safetensors"] = 10**16
    answers = found(*hub.repositories)
    refused(answers["org/pickled"], "only pickled weights (pytorch_model.bin)", "can run code")
    refused(answers["org/other"], "no weights in safetensors or GGUF", "model.onnx")
    refused(answers["org/wrong"], "the download of model.safetensors is broken", "hash")
    refused(answers["org/config"], "the download of config.json is broken", "hash")
    refused(answers["org/truncated"], "the download of org/truncated broke off", "run again")
    refused(answers["org/large"], "no space for org/large", "10000000000.00 MB", "HF_HUB_CACHE")
    assert not [name for name, _ in hub.fetched() if name.endswith((".bin", ".py", ".gguf", ".md"))]


def test_offline_without_a_copy(hub, client, repository):
    hub.repositories["org/tiny"] = repository()
    for name, words in (("org/tiny", "no model folder 'org/tiny'"), ("bundel", "did you mean bundled"), ("gpt2", "models here: bundled")):
        said = client.error(name, HF_HUB_OFFLINE="1")
        assert words in said
        assert "HF_HUB_OFFLINE forbids" in said or name == "bundel"
    assert hub.log == []


def test_the_hub_is_off(hub, client):
    hub.close()
    said = client.error("org/tiny")
    assert f"{hub.address} cannot be reached" in said
    assert "is not in the cache" in said
    said = client.error("gpt2")
    assert said.startswith("unknown model 'gpt2': there is no such folder, and gpt2 is not in the cache")
    assert "models here: bundled" in said


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/cache/x"), ("no space for org/x", "/cache/x", "HF_HUB_CACHE")),
        (PermissionError(errno.EACCES, "Permission denied", "/cache"), ("cannot keep org/x", "Permission denied")),
        (OSError("Consistency check failed: file should be of size 5\nbut"), ("broke off", "run again")),
        (RuntimeError("something\nelse"), ("cannot fetch org/x from https://hub", "something")),
    ],
)
def test_the_disk_and_the_rest(error, words):
    said = str(as_ours(error, "org/x", None, "https://hub", "/cache"))
    for word in words:
        assert word in said
    assert "\n" not in said
