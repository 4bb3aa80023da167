"""The tokenizer in a folder, of whichever of its files are there.

The vocabulary is tokenizer.json, vocab.json with merges.txt of GPT-2's kind, or a file of SentencePiece's. What other files say of
special and added tokens is added to it, in the order and under the conditions in which transformers does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unspool.errors import ModelError, is_whole
from unspool.models.families import GPT2_WORDS
from unspool.models.loading import read_json
from unspool.models.pieces import holds_pieces, read_pieces
from unspool.models.sentencepiece_file import SentencePieceFile
from unspool.models.tokenizer_file import TokenizerFile
from unspool.text import Fitted, Tokenizer

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer as Inner

SINGLE, WORD_FILE, MERGES = "tokenizer.json", "vocab.json", "merges.txt"
SETTINGS, SPECIALS, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
OTHER_FILES = (SETTINGS, "vocab.txt", WORD_FILE, "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "tekken.json")
"""Files of which transformers can make a tokenizer where this module cannot."""
PIECES = ("tokenizer.model", "spiece.model")
PIECES_CLASSES = (None, "LlamaTokenizer", "LlamaTokenizerFast", "GemmaTokenizer", "GemmaTokenizerFast", "PreTrainedTokenizerFast")
"""Classes whose ids are those of the file; others move them, or add tokens of their own."""
GPT2_CLASSES = ("GPT2Tokenizer", "GPT2TokenizerFast")
GPT2_NAMES = dict.fromkeys(("unk_token", "bos_token", "eos_token"), "<|endoftext|>")
FIRST_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
MORE_NAMES = ("extra_special_tokens", "additional_special_tokens")


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in a folder; an error that names the missing file if there is none."""
    try:
        if (folder / SINGLE).is_file():
            return _read_single(folder)
        if (folder / WORD_FILE).is_file() and (folder / MERGES).is_file() and _is_gpt2s(folder):
            return _read_pair(folder)
        pieces = next((folder / name for name in PIECES if holds_pieces(folder / name)), None)
        if pieces is not None and _class_of(folder) in PIECES_CLASSES:
            return _read_pieces(folder, pieces)
    except ModelError:
        raise
    except Exception as error:                                            # the library raises bare Exceptions
        raise ModelError(f"cannot read the tokenizer of {folder}: {error}") from None
    others = [name for name in OTHER_FILES if (folder / name).is_file()]
    if not others or (_is_gpt2s(folder) and {*others} <= {SETTINGS, WORD_FILE}):
        raise ModelError(f"{folder} has no tokenizer: {_missing(folder)}")
    from unspool.models.hf_tokenizer import read_by_transformers

    return read_by_transformers(folder, str(_read(folder, SETTINGS).get("tokenizer_class")))


def read_fitted(folder: Path) -> Tokenizer:
    """The tokenizer in a folder, beside a model of the size that its config.json says: as a LanguageModel of it has it."""
    found, size = read_tokenizer(folder), _read(folder, "config.json").get("vocab_size")
    return Fitted(found, int(size)) if size is not None and is_whole(size, 1) and size != found.size else found


def _missing(folder: Path) -> str:
    """What a folder without a tokenizer lacks."""
    there = [name for name in (WORD_FILE, MERGES) if (folder / name).is_file()]
    if len(there) == 1:
        return f"no {SINGLE}, and {there[0]} without {MERGES if there[0] == WORD_FILE else WORD_FILE}"
    return f"neither {SINGLE} nor {WORD_FILE} with {MERGES}"


def _read_single(folder: Path) -> TokenizerFile:
    from tokenizers import Tokenizer as Inner

    inner, said = Inner.from_file(str(folder / SINGLE)), said_of(folder)
    return TokenizerFile(inner, said.add_to(inner))


def _read_pair(folder: Path) -> TokenizerFile:
    from tokenizers import Tokenizer as Inner, decoders, models, pre_tokenizers, processors

    said = said_of(folder)
    inner = Inner(models.BPE.from_file(str(folder / WORD_FILE), str(folder / MERGES)))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=bool(said.settings.get("add_prefix_space", False)))
    inner.decoder = decoders.ByteLevel()
    special = said.add_to(inner)
    put = {name: said.names.get(f"{name}_token") for name in ("bos", "eos") if said.settings.get(f"add_{name}_token")}
    around = {name: content_of(token) for name, token in put.items() if token is not None}
    if around:
        form = " ".join([*(t for name, t in around.items() if name == "bos"), "$A", *(t for name, t in around.items() if name == "eos")])
        inner.post_processor = processors.TemplateProcessing(
            single=form, special_tokens=[(t, inner.token_to_id(t)) for t in dict.fromkeys(around.values())]
        )
    return TokenizerFile(inner, special)


def _read_pieces(folder: Path, file: Path) -> SentencePieceFile:
    """With its start token before a prompt, unless the settings say otherwise, as the classes of Llama and Gemma do."""
    pieces, said = read_pieces(file.read_bytes(), str(file)), said_of(folder)
    added = [(content_of(token), isinstance(token, Mapping) and bool(token.get("special"))) for token in said.added]
    added += [(content_of(token), True) for token in (*said.names.values(), *said.more)]
    start = content_of(said.names["bos_token"]) if "bos_token" in said.names else pieces.names[pieces.start] if pieces.start >= 0 else ""
    found = SentencePieceFile(pieces, added)
    if start and said.settings.get("add_bos_token", True):
        found.begins = tuple(found.ids(start))
    return found


def said_of(folder: Path) -> Said:
    """What a folder's files say beside the vocabulary, with the names that GPT-2's kind has by itself."""
    pair = not (folder / SINGLE).is_file() and (folder / WORD_FILE).is_file() and _is_gpt2s(folder)
    return Said.by(folder, GPT2_NAMES if pair else None)


def _is_gpt2s(folder: Path) -> bool:
    """Whether vocab.json and merges.txt are to be read as GPT-2's: by the class that is named, or the type of the model."""
    named = _class_of(folder)
    return named in GPT2_CLASSES or (named is None and _read(folder, "config.json").get("model_type") in (None, *GPT2_WORDS))


def _class_of(folder: Path) -> str | None:
    """The class of tokenizer that a folder names."""
    return _read(folder, SETTINGS).get("tokenizer_class") or _read(folder, "config.json").get("tokenizer_class")


@dataclass(frozen=True)
class Said:
    """What the files beside the vocabulary say: settings, special tokens by their names, other special tokens, added tokens."""

    settings: Mapping[str, Any]
    names: Mapping[str, Any]
    more: tuple[Any, ...]
    added: tuple[Any, ...]

    @classmethod
    def by(cls, folder: Path, defaults: Mapping[str, Any] | None = None) -> Said:
        """What a folder says. With `added_tokens_decoder` in its settings, the two older files are not read."""
        settings = {**(defaults or {}), **_read(folder, SETTINGS)}
        listed = settings.get("added_tokens_decoder")
        if listed is None:
            settings |= _read(folder, SPECIALS)
        names = {key: settings[key] for key in FIRST_NAMES if settings.get(key)}
        names |= {key: value for key, value in settings.items() if key.endswith("_token") and isinstance(value, str | dict) and value}
        given: Any = next((settings[key] for key in MORE_NAMES if settings.get(key)), [])
        more = tuple(given.values() if isinstance(given, Mapping) else given)
        if listed is not None:
            added = [token for _, token in sorted((int(i), token) for i, token in listed.items())]
        else:
            known = {content_of(token) for token in (*names.values(), *more)}
            by_id = sorted((int(i), text) for text, i in _read(folder, ADDED).items())
            added = [{"content": text, "special": text in known, "normalized": text not in known} for _, text in by_id]
        return cls(settings, names, more, tuple(added))

    def add_to(self, inner: Inner) -> set[int]:
        """Add to a vocabulary what it lacks and mark what is special; the ids of the named tokens come back."""
        named = [content_of(token) for token in (*self.names.values(), *self.more)]
        inner.add_tokens([_token(token) for token in self.added])
        known = {token.content for token in inner.get_added_tokens_decoder().values()}
        for token in (*self.names.values(), *self.more):
            if content_of(token) not in known:
                inner.add_tokens([_token(token, special=True)])
        inner.encode_special_tokens = bool(self.settings.get("split_special_tokens", False))
        return {i for i in map(inner.token_to_id, named) if i is not None}


def content_of(token: Any) -> str:
    """A token's text, whichever way a file writes it."""
    return str(token.get("content", "")) if isinstance(token, Mapping) else str(token)


def _token(token: Any, special: bool = False) -> AddedToken:
    from tokenizers import AddedToken

    given = token if isinstance(token, Mapping) else {"content": str(token)}
    flags = {name: bool(given[name]) for name in ("single_word", "lstrip", "rstrip", "normalized") if name in given}
    return AddedToken(content_of(given), special=special or bool(given.get("special", False)), **flags)


def _read(folder: Path, name: str) -> dict[str, Any]:
    """A file's JSON object; nothing if it is not there."""
    return read_json(folder / name) if (folder / name).is_file() else {}
