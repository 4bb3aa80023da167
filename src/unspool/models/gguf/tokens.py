"""The tokenizer and the chat template of a GGUF file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unspool.errors import ModelError
from unspool.models.chat import ChatTemplate
from unspool.models.gguf.splits import DEFAULT_SPLIT, SPLITS, Split
from unspool.models.gguf.vocabulary import KEY, Vocabulary, vocabulary_of
from unspool.models.pieces import BYTE, CONTROL, OWN_SYMBOL, SPACE, UNKNOWN, Charmap, PieceFile
from unspool.models.sentencepiece_file import SentencePieceFile
from unspool.models.tokenizer_file import TokenizerFile
from unspool.text import Tokenizer

TOKENIZER_KINDS = ("gpt2", "llama", "t5")
TEMPLATE_KEY = "tokenizer.chat_template"
NAMED_IN_CHATS = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}


def tokenizer_of(words: Vocabulary) -> Tokenizer:
    """The tokenizer of a file's tokens."""
    if words.model not in TOKENIZER_KINDS:
        raise ModelError(f"{KEY}model is {words.model!r:.60}; supported are {', '.join(TOKENIZER_KINDS)}: give a tokenizer of your own")
    return _byte_level(words) if words.model == "gpt2" else _pieces(words)


def notes_of(words: Vocabulary) -> list[str]:
    """What the user should know of a tokenizer."""
    if words.model != "gpt2" or words.split:
        return []
    return [f"the file does not say how its tokenizer cuts texts ({KEY}pre): they are cut as llama.cpp does by default, which may be wrong"]


def _byte_level(words: Vocabulary) -> TokenizerFile:
    """Bytes that are joined by merges, within the parts that a text is cut into."""
    from tokenizers import AddedToken, Regex, Tokenizer as Inner, decoders, models, pre_tokenizers, processors

    split = _split(words)
    tokens = {name: i for i, name in enumerate(words.names)}
    inner = Inner(models.BPE(tokens, _merges(words, tokens), ignore_merges=split.whole))
    cuts = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in split.patterns]
    inner.pre_tokenizer = pre_tokenizers.Sequence([*cuts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    inner.decoder = decoders.ByteLevel()
    kinds = {kind: [words.names[i] for i, k in enumerate(words.kinds) if k == kind] for kind in (UNKNOWN, CONTROL, OWN_SYMBOL)}
    inner.add_tokens([AddedToken(name, normalized=False) for name in kinds[OWN_SYMBOL]])
    inner.add_special_tokens([AddedToken(name, normalized=False) for name in kinds[UNKNOWN] + kinds[CONTROL]])
    if (start := _start(words, split.starts)) is not None:
        name = words.names[start]
        inner.post_processor = processors.TemplateProcessing(single=[name, "$A"], special_tokens=[(name, start)])
    return TokenizerFile(inner)


def _split(words: Vocabulary) -> Split:
    if not words.split:
        return DEFAULT_SPLIT
    if words.split not in SPLITS:
        raise ModelError(f"{KEY}pre is {words.split!r:.60}, a way to cut texts that is not known here; give a tokenizer of your own")
    return SPLITS[words.split]


def _merges(words: Vocabulary, tokens: dict[str, int]) -> list[tuple[str, str]]:
    """The pairs that are joined, the first ones first; those whose token there is not are passed over."""
    given = words.keys.get(f"{KEY}merges")
    if not isinstance(given, list) or not all(isinstance(merge, str) for merge in given):
        raise ModelError(f"the file lacks the key {KEY}merges, a list of texts; give a tokenizer of your own")
    pairs = ((merge[:at], merge[at + 1 :]) for merge in given if (at := merge.find(" ", 1)) > 0)
    return [(a, b) for a, b in pairs if a in tokens and b in tokens and a + b in tokens]


def _start(words: Vocabulary, default: bool) -> int | None:
    """The token before every text, if there is one."""
    return words.special.get("bos") if words.flag("add_bos_token", default) else None


def _pieces(words: Vocabulary) -> SentencePieceFile:
    """SentencePiece's pieces: by merges ("llama") or by scores ("t5")."""
    scores, merges = words.numbers("scores"), words.model == "llama"
    if scores is None:
        raise ModelError(f"the file lacks the key {KEY}scores; give a tokenizer of your own")
    if UNKNOWN not in words.kinds:
        raise ModelError(f"{KEY}token_type has no token for what is unknown; give a tokenizer of your own")
    names = tuple(name.replace(" ", SPACE) if kind == OWN_SYMBOL else name for name, kind in zip(words.names, words.kinds, strict=True))
    charmap = words.keys.get(f"{KEY}precompiled_charsmap")
    start, end = (words.special.get(name, -1) for name in ("bos", "eos"))
    try:
        written = Charmap.of(b"" if charmap is None else bytes(charmap))
    except (ValueError, TypeError) as error:
        raise ModelError(f"{KEY}precompiled_charsmap is broken: {error}") from None
    pieces = PieceFile(
        names,
        tuple(map(float, scores)),
        words.kinds,
        merges,
        words.kinds.count(BYTE) == 256,
        words.flag("add_space_prefix", True),
        words.flag("remove_extra_whitespaces", False),
        written,
        start,
        end,
    )
    first = _start(words, merges)
    return SentencePieceFile(pieces, begins=() if first is None else (first,))


def chat_of(keys: Mapping[str, Any]) -> ChatTemplate:
    """The chat template, or several by name, with the special tokens that it names."""
    text = keys.get(TEMPLATE_KEY)
    more = {name.removeprefix(f"{TEMPLATE_KEY}."): value for name, value in keys.items() if name.startswith(f"{TEMPLATE_KEY}.")}
    if more:
        text = {**more, **({"default": text} if isinstance(text, str) else {})}
    try:
        words = vocabulary_of(keys)
    except ModelError:
        return ChatTemplate(text)
    return ChatTemplate(text, {NAMED_IN_CHATS[name]: words.names[i] for name, i in words.special.items() if name in NAMED_IN_CHATS})
