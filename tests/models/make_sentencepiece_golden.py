"""Train small tokenizers with sentencepiece and write what it says of texts: python tests/models/make_sentencepiece_golden.py

Needs `pip install sentencepiece==0.2.3`, in an environment of its own. Trained on README.md, README.ko.md and the pages of docs.
"""

import gzip
import io
import json
import random
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "data" / "sentencepiece"
SOURCES = [ROOT / "README.md", ROOT / "README.ko.md", *sorted((ROOT / "docs").glob("*.md"))]
AS_IT_IS = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
KINDS = {
    "llama": {"model_type": "bpe", "byte_fallback": True, "split_digits": True, "allow_whitespace_only_pieces": True, **AS_IT_IS},
    "gemma": {"model_type": "bpe", "byte_fallback": True, "add_dummy_prefix": False, **AS_IT_IS,
              "user_defined_symbols": ["<|user|>", "<sep>", "▁▁", "▁▁▁▁"]},
    "t5": {"model_type": "unigram", "pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1, "user_defined_symbols": ["①"]},
    "unigram": {"model_type": "unigram", "byte_fallback": True, "split_digits": True, "user_defined_symbols": ["<extra>"], **AS_IT_IS},
}  # fmt: skip
ODD = [" ", "  ", "\n", "\t", "é", "ﬁ", "①", "옛날", "👑", "👩\u200d👩", "<sep>", "<|user|>", "<extra>", "12345", "\u00a0", "Ａ", "e\u0301"]
ODD += ["\u2581", "가", "\x00", "ñ", "<", "a", "the"]


def texts(corpus: str) -> list[str]:
    """Some as people write them, some odd."""
    rng, found = random.Random(0), ["", " ", "  a  b  "]
    for i in range(300):
        first = rng.randrange(len(corpus) - 200)
        odd = "".join(rng.choice([*ODD, corpus[rng.randrange(len(corpus))]]) for _ in range(rng.randrange(1, 12)))
        found.append(odd if i % 2 else corpus[first : first + rng.randrange(1, 80)])
    return found


def main() -> None:
    import sentencepiece

    FOLDER.mkdir(exist_ok=True)
    corpus = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    golden = {}
    for name, options in KINDS.items():
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(corpus.split("\n")), model_writer=model, vocab_size=600, **options,
                                                 character_coverage=0.98, minloglevel=2)  # fmt: skip
        (FOLDER / f"{name}.model.gz").write_bytes(gzip.compress(model.getvalue(), mtime=0))
        read = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
        golden[name] = [[text, read.encode(text), read.decode(read.encode(text))] for text in texts(corpus)]
    golden = json.dumps({"sentencepiece": sentencepiece.__version__, "cases": golden}, ensure_ascii=False)
    (FOLDER / "golden.json.gz").write_bytes(gzip.compress(golden.encode(), mtime=0))


if __name__ == "__main__":
    main()
