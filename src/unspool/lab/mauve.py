"""MAUVE: texts and reference texts as two distributions over clusters of a model's features (Pillutla et al. 2021, arXiv 2102.01454)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from unspool.arrays import Floats, host
from unspool.core.model import ROOT, Plan
from unspool.errors import MissingExtra, Unsupported
from unspool.language_model import LanguageModel

LEAST_TEXTS = 1000
"""Texts of each kind below which the estimate is too high to be believed."""
ROWS_AT_ONCE = 64


def mauve(texts: Floats, reference: Floats) -> float:
    """MAUVE of features (texts, width) and those of the reference (texts, width), as the package mauve-text has it by default."""
    with _quiet():                                                        # its clustering warns on the descriptor of standard error
        found: float = mauve_library().compute_mauve(p_features=texts, q_features=reference, verbose=False).mauve
    return float(found)


def features_of(lm: LanguageModel, texts: Sequence[str]) -> list[Floats]:
    """The final hidden state at each text's last token, (width,), float64; a text without a token has that of its start."""
    if "hidden" not in lm.model.session().can:
        raise Unsupported(f"mauve reads hidden states, which {lm.name} does not give; take a judge that does")
    chains = [(lm.tokens_of("") + lm.tokenizer.encode(text))[: lm.model.context] for text in texts]
    found: list[Floats] = []
    for first in range(0, len(chains), ROWS_AT_ONCE):
        some = chains[first : first + ROWS_AT_ONCE]
        session = lm.model.session(Plan(len(some), max(map(len, some))))
        found += list(host(session.hidden(session.extend([ROOT] * len(some), some))).astype(np.float64))
    return found


def mauve_library() -> Any:
    """The package mauve-text."""
    try:
        import mauve
    except ImportError:
        raise MissingExtra("mauve needs the package mauve-text: pip install 'unspool[mauve]'") from None
    return mauve


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
