"""The bundled model works with sockets blocked and without torch, and knows GPT-2's unicorns."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

DATA = Path(__file__).parent / "data"

BLOCKED = """
import socket, sys

def refuse(*arguments, **options):
    raise OSError("this run may not open a socket")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
sys.modules["torch"] = None
import unspool as un

lm = un.load()
out = lm.generate("Once upon a time", "top_p(0.9) | sample(2)", max_new_tokens=5)
print(len(out.sequences), lm.score("Once upon a time", " there was").logprob < 0)
"""


def test_the_bundled_model_needs_no_network_and_no_torch():
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["2", "True"], done.stderr


def test_the_unicorn_prompt_of_the_docs_has_47_tokens_in_gpt2s_vocabulary(tmp_path):
    from unspool.models.tokenizer_folder import read_tokenizer

    for name in ("vocab.json", "merges.txt"):
        packed = DATA / f"gpt2-{name}.gz"
        (tmp_path / name).write_bytes(gzip.decompress(packed.read_bytes()))
    page = (Path(__file__).parents[1] / "docs" / "scoring.md").read_text(encoding="utf-8")
    lines = page.split("prompt = (\n")[1].split("\n)\n")[0]
    prompt = "".join(json.loads(line.strip()) for line in lines.splitlines())
    assert prompt.endswith("perfect English.\n\n\n")
    assert len(read_tokenizer(tmp_path).encode(prompt)) == 47
