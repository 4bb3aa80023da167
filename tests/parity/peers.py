"""Our processors beside a peer's samplers on one row of scores, and what a peer said, stored in a small file."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
from parity.near import near_the_line

import unspool as un

DATA = Path(__file__).parents[1] / "data"


def write(target: Path, content: dict[str, Any]) -> None:
    """A gzipped JSON file that is the same whenever it is written."""
    target.write_bytes(gzip.compress(json.dumps(content, separators=(",", ":")).encode(), 9, mtime=0))


def read(source: Path) -> dict[str, Any]:
    """What `write` wrote."""
    return json.loads(gzip.decompress(source.read_bytes()))


def packed(before: np.ndarray, after: np.ndarray) -> str:
    """Scores (V,) after a sampler: which are left, and where it changed them, their values."""
    kept = after > -np.inf
    mask = base64.b85encode(np.packbits(kept).tobytes()).decode()
    same = np.array_equal(before[kept], after[kept])
    return mask if same else f"{mask} {base64.b85encode(after[kept].astype('<f4').tobytes()).decode()}"


def unpacked(before: np.ndarray, text: str) -> np.ndarray:
    """The inverse of `packed`."""
    mask, _, values = text.partition(" ")
    kept = np.unpackbits(np.frombuffer(base64.b85decode(mask), np.uint8), count=len(before)).astype(bool)
    after = np.full(len(before), -np.inf, np.float32)
    after[kept] = np.frombuffer(base64.b85decode(values), "<f4") if values else before[kept]
    return after


def stages(processors: list[un.Processor], text: tuple[int, ...], scores: np.ndarray) -> list[np.ndarray]:
    """The scores (1, V) before every processor, and after the last."""
    rows = un.Rows(np.asarray([text], np.int64).reshape(1, -1), np.asarray([len(text)]), np.asarray([0]), (), lambda purpose: np.zeros(1))
    found = [scores[None]]
    for part in processors:
        found.append(part.process(rows, found[-1]))
    return found


def compare(processors: list[un.Processor], found: list[np.ndarray], theirs: np.ndarray) -> str:
    """ "equal", or "near tie" where all they differ in lies near a line; which of equals is kept does not matter."""
    before, mine = found[0][0], found[-1][0]
    same, values = np.array_equal(mine > -np.inf, theirs > -np.inf), mine[mine > -np.inf]
    kept, others = (lowest_of_equals(before, after > -np.inf) for after in (mine, theirs))
    for token in np.flatnonzero(kept != others):
        pairs = zip(processors, found[:-1], strict=True)
        assert any(near_the_line(part, scores, 0, token) for part, scores in pairs if scores[0, token] > -np.inf), f"token {token}"
    if same:
        np.testing.assert_allclose(values, theirs[theirs > -np.inf], rtol=1e-5, atol=3e-6)
    elif np.array_equal(kept, others):
        np.testing.assert_allclose(np.sort(values), np.sort(theirs[theirs > -np.inf]), rtol=1e-5, atol=3e-6)
    return "equal" if np.array_equal(kept, others) else "near tie"


def lowest_of_equals(scores: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """As many of each score, those with the lowest ids."""
    found = np.zeros_like(kept)
    for value in np.unique(scores[kept]):
        equals = np.flatnonzero(scores == value)
        found[equals[: kept[equals].sum()]] = True
    return found
