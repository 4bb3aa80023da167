"""Tokenizers that the caller holds or that only transformers can make, with the bytes of their tokens."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from unspool.errors import MissingExtra, ModelError, ParameterError
from unspool.models.pieces import holds_pieces
from unspool.models.spelling import ByDecoding, of_byte_level, of_piece
from unspool.models.tokenizer_file import TokenizerFile
from unspool.text import SAMPLES, Tokenizer, TokenizerBase, text_of


def of_bytes(name: str) -> bytes:
    """The bytes of a token whose every character stands for the byte of its number, as ByT5's."""
    return name.encode("latin-1") if all(ord(c) < 256 for c in name) else name.encode()


WAYS: tuple[Callable[[str], bytes], ...] = (of_byte_level, of_piece, of_bytes, str.encode)
"""How tokens can be spelled, tried in this order."""


class TransformersTokenizer(TokenizerBase):
    """A tokenizer of transformers that is not built on the `tokenizers` library.

    How its tokens are spelled is found out by samples, whose bytes have to be their decoded text: byte-level, SentencePiece's
    pieces, a character for each byte, plain, or what a token adds to a decoded text.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self._names: dict[int, str] = {int(i): name for name, i in inner.get_vocab().items()}
        added = getattr(inner, "added_tokens_decoder", {})
        self._added = {int(i): str(getattr(token, "content", token)) for i, token in added.items()}
        self.size = max([*self._names, *self._added], default=-1) + 1
        special = {int(i) for i, token in added.items() if getattr(token, "special", False)}
        self.specials = frozenset(i for i in special_ids(inner) | special if 0 <= i < self.size)

    @cached_property
    def hash(self) -> str:
        """sha256 of the kind of tokenizer and its vocabulary."""
        what = [type(self.inner).__name__, sorted(self._names.items()), sorted(self.specials)]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()

    @cached_property
    def begins(self) -> tuple[int, ...]:  # type: ignore[override]
        """The tokens it puts before every text."""
        plain, whole = self.ids("a"), list(map(int, self.inner.encode("a", add_special_tokens=True)))
        for first in range(len(whole) - len(plain) + 1):
            if whole[first : first + len(plain)] == plain:
                return tuple(whole[:first])
        return ()

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, nothing added."""
        return list(map(int, self.inner.encode(text, add_special_tokens=False)))

    def name_of(self, token: int) -> str:
        """A token's own name in the vocabulary."""
        return self._added.get(int(token)) or self._names.get(int(token)) or f"<{int(token)}>"

    @property
    def suffixes_space(self) -> bool:
        """Whether words carry the space after them, which a text does not end in."""
        return isinstance(self._spell, ByDecoding) and not self._spell.after

    def spell(self, token: int) -> bytes:
        """The bytes of a token that is not special."""
        return self._spell(token) if token in self._names or token in self._added else b""

    @cached_property
    def _spell(self) -> Callable[[int], bytes]:
        """The first way whose bytes are the decoded text of the most samples."""
        plain = sorted(t for t in self._names if t not in self.specials and t not in self._added)
        drawn = [plain[i :: len(plain) // 6 + 1] for i in range(8)]          # for one that cannot read these texts
        samples = [[t for t in self.ids(text) if t not in self.specials] for text in SAMPLES]
        samples = [sample for sample in samples if sample] or drawn
        ways = [partial(self._by_name, way) for way in WAYS] + [ByDecoding.of(self._decode, samples)]
        texts = [self._decode(sample).strip(" ") for sample in samples]

        def found(way: Callable[[int], bytes]) -> int:
            joined = [b"".join(map(way, sample)).decode("utf-8", "replace").strip(" ") for sample in samples]
            return sum(one == text for one, text in zip(joined, texts, strict=True))

        return max(ways, key=found)

    def _by_name(self, way: Callable[[str], bytes], token: int) -> bytes:
        return self._added[token].encode() if token in self._added else way(self._names[token])

    def _decode(self, tokens: Sequence[int]) -> str:
        return str(self.inner.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _decoded_alike(made: TokenizerFile | TransformersTokenizer, given: Any) -> int:
    """Of how many samples the bytes are the decoded text: a class may decode otherwise than its file says, as CLIP's does."""
    samples = [[t for t in made.ids(sample) if t not in made.specials] for sample in SAMPLES]
    texts = [str(given.decode(tokens, clean_up_tokenization_spaces=False)).strip() for tokens in samples]
    return sum(text_of(made, tokens).strip() == text for tokens, text in zip(samples, texts, strict=True))


def special_ids(inner: Any) -> set[int]:
    """What a tokenizer of transformers calls its special tokens, without names that its vocabulary lacks."""
    return {int(i) for i in getattr(inner, "all_special_ids", ()) if i is not None}


def as_tokenizer(given: Any) -> Tokenizer:
    """A tokenizer of ours, of transformers or of the `tokenizers` library as one of ours; what is given is left as it is."""
    import tokenizers

    if hasattr(given, "bytes_of") and hasattr(given, "encode_prompt"):
        ours: Tokenizer = given
        return ours
    inner = given if isinstance(given, tokenizers.Tokenizer) else getattr(given, "backend_tokenizer", None)
    if isinstance(inner, tokenizers.Tokenizer):
        copy = tokenizers.Tokenizer.from_str(inner.to_str())
        copy.encode_special_tokens = bool(getattr(given, "split_special_tokens", inner.encode_special_tokens))
        file = TokenizerFile(copy, special_ids(given))
        if given is inner or _decoded_alike(file, given) == len(SAMPLES):
            return file
        other = TransformersTokenizer(given)
        return other if _decoded_alike(other, given) > _decoded_alike(file, given) else file
    if all(hasattr(given, name) for name in ("get_vocab", "encode", "decode", "all_special_ids")):
        return TransformersTokenizer(given)
    raise ParameterError(
        f"tokenizer is a tokenizer of transformers or of the tokenizers library, or a folder that has one; got {type(given).__name__}"
    )


def read_by_transformers(folder: Path, named: str) -> Tokenizer:
    """The tokenizer in a folder of whose files only transformers makes one. named: the class that its settings name."""
    from unspool.models.hf import first_line, library, quiet

    try:
        transformers = library()
    except MissingExtra as error:
        raise MissingExtra(f"the tokenizer of {folder} is in a form that only transformers reads; {error}") from None
    try:
        with quiet(transformers):
            made = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:                                            # each of its classes raises errors of its own
        _refuse_pieces(folder, named)
        _refuse_missing(folder, getattr(transformers, named, None), all)
        raise ModelError(f"transformers cannot make the tokenizer of {folder}: {first_line(error)}") from None
    _refuse_pieces(folder, named)
    _refuse_missing(folder, type(made), any)                              # it is made all the same, and is empty
    return as_tokenizer(made)


def _refuse_pieces(folder: Path, named: str) -> None:
    """Refuse a file of SentencePiece's whose ids a class of transformers changes, if the library by which it reads it is not there."""
    file = next((path for path in sorted(folder.glob("*.model")) if holds_pieces(path)), None)
    if file is None:
        return
    try:
        import sentencepiece  # noqa: F401
    except ImportError:
        raise MissingExtra(
            f"transformers reads {file} of a {named} by the library sentencepiece: pip install sentencepiece protobuf, "
            "or save a tokenizer.json beside it with the tokenizer's save_pretrained where both are"
        ) from None


def _refuse_missing(folder: Path, kind: Any, enough: Callable[[Iterable[bool]], bool]) -> None:
    """Refuse a folder that lacks the files of a class of tokenizer: some of them, or all."""
    files = [name for name in getattr(kind, "vocab_files_names", {}).values() if name]
    missing = [name for name in files if not (folder / name).is_file()]
    if files and not enough(name not in missing for name in files):
        raise ModelError(f"{folder} has no tokenizer: a {kind.__name__} is made of {', '.join(files)}; {', '.join(missing)} is not there")
