"""Write tests/data/gguf-tokens.json.gz: llama.cpp's tokens of hard texts, under every name of a way to cut them, with GPT-2's vocabulary.

    pip install llama-cpp-python==0.3.36 gguf
    PYTHONPATH=tests:src python tests/models/gguf/make_golden.py
"""

import gzip
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import llama_cpp as lib
from helpers.gguf_files import DATA, write_words
from helpers.hard_texts import HARD_TEXTS, SPECIAL_TEXTS

from unspool.models.gguf.splits import SPLITS

TARGET = DATA / "gguf-tokens.json.gz"


class Words:
    """llama.cpp with the tokens of a file alone."""

    def __init__(self, path):
        settings = lib.llama_model_default_params()
        settings.vocab_only = True
        self.model = lib.llama_model_load_from_file(str(path).encode(), settings)
        self.words = self.model and lib.llama_model_get_vocab(self.model)

    def ids(self, text, start):
        data = text.encode()
        room = (lib.llama_token * (len(data) + 16))()
        count = lib.llama_tokenize(self.words, data, len(data), room, len(room), start, True)
        return list(room[:count])


def main():
    quiet = lib.llama_log_callback(lambda level, text, data: None)
    lib.llama_log_set(quiet, None)
    found = {"llama-cpp-python": lib.__version__, "splits": {}, "starts": []}
    with TemporaryDirectory() as folder:
        for name in SPLITS:
            path = Path(folder) / "words.gguf"
            write_words(path, name)
            words = Words(path)
            if not words.model:
                print("unknown to llama.cpp:", name)
                continue
            found["splits"][name] = [words.ids(text, False) for text in HARD_TEXTS]
            if words.ids("a", True) != words.ids("a", False):
                found["starts"].append(name)
            if name == "smollm":
                found["special"] = [words.ids(text, False) for text in SPECIAL_TEXTS]
    TARGET.write_bytes(gzip.compress(json.dumps(found, separators=(",", ":")).encode(), mtime=0))
    print(f"{TARGET}: {TARGET.stat().st_size} bytes, {len(found['splits'])} names")


if __name__ == "__main__":
    main()
