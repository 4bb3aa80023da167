"""How byte-level vocabularies cut a text before they join bytes, by the names that llama.cpp has for it (tokenizer.ggml.pre).

A rule is a list of patterns: what the first finds stands alone, as does what lies between; the next one cuts each of these further.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

WORD_ENDINGS = "'s|'t|'re|'ve|'m|'ll|'d"
ANY_ENDINGS = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
BEFORE = r"[^\r\n\p{L}\p{N}]?"
"""What a word may begin with."""
SIGNS = r" ?[^\s\p{L}\p{N}]+"
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
NO_SMALL, NO_CAPITAL = r"(?:(?=\p{L})[^a-z])", r"(?:(?=\p{L})[^A-Z])"
PUNCTUATED = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|" + SPACES
HAN_AND_KANA = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"

GPT_2 = rf"{WORD_ENDINGS}| ?\p{{L}}+| ?\p{{N}}+|{SIGNS}|\s+(?!\S)"


def words(digits: str, letters: str = r"\p{L}", marks: str = rf"{SIGNS}[\r\n]*", spaces: str = SPACES, endings: str = ANY_ENDINGS) -> str:
    """The pattern of GPT-4 and what came after it; digits: how many stand together."""
    return rf"{endings}|{BEFORE}{letters}+|\p{{N}}{digits}|{marks}|{spaces}"


def cased(first: str, then: str, digits: str, endings: str = "") -> str:
    """The pattern of GPT-4o: words end where a capital follows."""
    return rf"{BEFORE}{first}*{then}+{endings}|{BEFORE}{first}+{then}*{endings}|\p{{N}}{digits}|{SIGNS}[\r\n/]*|{SPACES}"


@dataclass(frozen=True)
class Split:
    """How a text is cut, and what else a name says."""

    patterns: tuple[str, ...]
    whole: bool = False
    """A part that is a token is that token, however it would be joined."""
    starts: bool = False
    """A start token stands before a text, if the file does not say otherwise."""


DIGITS_APART = (r"\p{N}", GPT_2)
LLAMA_3 = words("{1,3}")
QWEN_2 = words("")
DEEPSEEK_3 = (r"\p{N}{1,3}", HAN_AND_KANA, PUNCTUATED)
SENTENCES = (" ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+",)
DEFAULT_SPLIT = Split((r"[\p{P}\$\+<=>\^~\|]+", GPT_2, r"\p{N}+", "[0-9][0-9][0-9]"))

_SPLITS: dict[tuple[str, ...], Split] = {
    ("default",): DEFAULT_SPLIT,
    ("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling", "gigachat", "a.x-4.0", "mellum", "modern-bert", "exaone4"):
        Split((GPT_2,)),
    ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"): Split(DIGITS_APART),
    ("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"): Split((LLAMA_3,), whole=True, starts=True),
    ("dbrx", "smaug-bpe", "glm4", "chatglm-bpe"): Split((LLAMA_3,)),
    ("qwen2", "deepseek-r1-qwen", "kormo", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2"): Split((QWEN_2,)),
    ("qwen35",): Split((words("", r"[\p{L}\p{M}]", r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"),)),
    ("bailingmoe", "bailingmoe2", "llada-moe"): Split((words("", spaces=r"\s*[\r\n]|\s+(?!\S)|\s+"),)),
    ("seed-coder",): Split((words("", marks=r" ?[^\s\p{L}\p{N}\r\n]+"),)),
    ("minicpm5",): Split((r"\p{N}{1,3}", words("+")), whole=True),
    ("tekken",): Split((cased(NO_SMALL, NO_CAPITAL, ""),), whole=True, starts=True),
    ("gpt-4o", "llama4", "kanana2", "minimax-m2"): Split((cased(NO_SMALL, NO_CAPITAL, "{1,3}", f"{ANY_ENDINGS}?"),)),
    ("deepseek-v3", "hunyuan-dense", "joyai-llm"): Split(DEEPSEEK_3),
    ("deepseek-coder",): Split((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", r"\p{N}")),
    ("falcon",): Split((r"[\p{P}\$\+<=>\^~\|`]+", GPT_2, "[0-9][0-9][0-9]")),
    ("bloom", "gpt3-finnish", "poro-chat"): Split(SENTENCES),
    ("viking",): Split((*SENTENCES, r"\p{N}")),
}  # fmt: skip
SPLITS: Mapping[str, Split] = {name: split for names, split in _SPLITS.items() for name in names}
