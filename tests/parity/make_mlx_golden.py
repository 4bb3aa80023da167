"""Write tests/data/mlx-lm.json.gz: what mlx-lm's samplers and logits processors say to the cases below.

    pip install mlx[cpu] && pip install --no-deps mlx-lm==0.32.2
    PYTHONPATH=tests:src python tests/parity/make_mlx_golden.py
"""

import importlib.util
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from parity import peers
from parity.llama_cases import SMALL, TEXT, Case, one
from parity.llama_partings import Parting, all_of

TARGET = peers.DATA / "mlx-lm.json.gz"
INSTALLED = bool(find_spec("mlx") and find_spec("mlx_lm"))
APART = ("plain", "holes", "one", "far")
"""Without equals, all of which it keeps (see PARTINGS)."""
COUNTED = {"vocabularies": SMALL, "texts": (TEXT, TEXT[:2], ())}


def penalised(name, penalty, window):
    scope = "" if name == "repetition" else ", scope='all'"
    return one(f"{name}_penalty", f"{name}_penalty({penalty}{scope}, window={window})", f"{name}_penalty", penalty, window, **COUNTED)


CASES = [
    *(one("top_k", f"top_k({k})", "top_k", k, kinds=APART, vocabularies=(40, 300, 1500)) for k in (1, 3, 39)),
    *(one("top_p", f"top_p({p})", "top_p", p, kinds=APART) for p in (0.01, 0.5, 0.9, 0.99)),
    *(one("min_p", f"min_p({p})", "min_p", p) for p in (0.01, 0.3, 0.9, 1.0)),
    *(one("xtc", f"xtc({t}, probability=1.0)", "xtc", 1.0, t, [], kinds=APART) for t in (0.01, 0.1, 0.3)),
    one("xtc", "xtc(0.05, probability=1.0, protect=(1, 3))", "xtc", 1.0, 0.05, [1, 3], kinds=APART),
    *(penalised(*settings) for settings in (("repetition", 1.3, 20), ("repetition", 0.8, 3), ("repetition", 2.0, 1))),
    *(penalised(*settings) for settings in (("presence", 0.7, 20), ("presence", -0.4, 3), ("frequency", 0.7, 20), ("frequency", -0.4, 3))),
    Case(
        "top_p, min_p, xtc, top_k in its order",
        "top_p(0.95) | min_p(0.02) | xtc(0.1, probability=1.0) | top_k(3)",
        (("top_p", 0.95), ("min_p", 0.02), ("xtc", 1.0, 0.1, []), ("top_k", 3)), kinds=("plain",), vocabularies=(40, 300, 1500, 41, 301),
    ),
]  # fmt: skip
FLAT = (0.0,) * 8
PARTINGS = [
    Parting(
        "top_p at a tie", "top_p(0.4)", ("top_p", 0.4), FLAT, all_of(4), all_of(8),
        "theirs keeps every token as likely as the last one needed; ours stops once the mass is there, at the lowest ids",
    ),
    Parting(
        "xtc at a tie", "xtc(0.1, probability=1.0)", ("xtc", 1.0, 0.1, []), FLAT, (7,), all_of(8),
        "theirs keeps all tokens as likely as the least likely of those above the threshold; ours, as its definition, one",
    ),
]  # fmt: skip


def answers() -> dict:
    """What it says to every case."""
    found = {"mlx-lm": version("mlx-lm"), "cases": {}, "partings": {}}
    for case in CASES:
        found["cases"][str(case)] = [peers.packed(scores, after(case.theirs, scores, text)) for scores, text in case.inputs()]
    for parting in PARTINGS:
        found["partings"][str(parting)] = peers.packed(parting.row(), after((parting.theirs,), parting.row(), ()))
    return found


def after(chain: tuple[tuple, ...], scores: np.ndarray, text: tuple[int, ...]) -> np.ndarray:
    """Scores (V,) after its functions; those that cut see log-probabilities, as its sampler does."""
    import mlx.core as mx

    theirs = sample_utils()
    if chain[0][0].endswith("penalty"):
        ((name, *settings),) = chain
        return np.array(getattr(theirs, f"make_{name}")(*settings)(mx.array(text, mx.int32), mx.array(scores[None])))[0]
    rows = mx.array(scores[None])
    rows = rows - mx.logsumexp(rows, keepdims=True)
    for name, *settings in chain:
        rows = getattr(theirs, f"apply_{name}")(rows, *settings)
    return np.where(np.array(rows)[0] > -np.inf, scores, np.float32(-np.inf))


def sample_utils():
    """That file alone: the package wants transformers and more."""
    path = Path(find_spec("mlx_lm").submodule_search_locations[0]) / "sample_utils.py"
    spec = importlib.util.spec_from_file_location("sample_utils", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    peers.write(TARGET, answers())
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")
