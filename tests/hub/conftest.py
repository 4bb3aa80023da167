"""A hub with a tiny model, and programs that use it in an environment of their own."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers.program import environment, tiny_folder

_spec = importlib.util.spec_from_file_location("hub_server", Path(__file__).with_name("server.py"))
server = importlib.util.module_from_spec(_spec)
sys.modules["hub_server"] = server
_spec.loader.exec_module(server)

TRY = """
import json, sys, time
import unspool as un
wait = time.sleep
time.sleep = lambda seconds: wait(min(seconds, 0.05))    # between tries of a download; theirs is a second
found = []
for name in sys.argv[1:]:
    try:
        lm = un.load(name)
        out = lm.generate("Once", max_new_tokens=2)
        found.append({"name": lm.name, "info": lm.info, "recipe": out.recipe, "model": out.trace.model, "text": out.text})
    except un.UnspoolError as error:
        found.append({"error": str(error), "kinds": [kind.__name__ for kind in type(error).__mro__]})
print(json.dumps(found))
"""


@dataclass
class Client:
    """Programs that ask one hub and share one cache."""

    hub: object
    cache: Path

    def environment(self, **more):
        own = {"HF_ENDPOINT": self.hub.address, "HF_HUB_CACHE": str(self.cache), "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1"}
        own |= {"UNSPOOL_CACHE": str(self.cache.with_name("kept"))}           # what the user keeps is none of the hub's
        names = ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HOME", "HUGGING_FACE_HUB_TOKEN")
        return {k: v for k, v in environment(**own).items() if k not in names} | {"HF_TOKEN_PATH": str(self.cache / "no-token")} | more

    def load(self, *names, **env):
        """What loading each name gives: what is recorded, or the error."""
        command, own = [sys.executable, "-c", TRY, *names], self.environment(**env)
        done = subprocess.run(command, capture_output=True, env=own, timeout=90, check=False)
        assert done.returncode == 0, done.stderr.decode()
        assert done.stderr == b"", done.stderr.decode()
        return json.loads(done.stdout)

    def error(self, name, **env):
        (found,) = self.load(name, **env)
        assert "\n" not in found["error"]
        return found["error"]


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory):
    """The files of a tiny model."""
    folder = tiny_folder(tmp_path_factory.mktemp("tiny") / "model")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def repository(tiny_files):
    """Make a repository of the tiny model, with things that are not to be fetched beside it."""

    def make(**more):
        others = {"README.md": b"# A model", "modeling.py": b"raise SystemExit", "pytorch_model.bin": b"pickled", "onnx/config.json": b"{}"}
        return server.Repository(tiny_files | others, **more)

    return make


@pytest.fixture
def hub():
    found = server.Hub()
    yield found
    found.close()


@pytest.fixture
def client(hub, tmp_path):
    return Client(hub, tmp_path / "cache")
