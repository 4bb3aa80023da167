"""The few operations the array API lacks: one code for numpy arrays and torch tensors."""

from __future__ import annotations

from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = Any
"""A numpy array or a torch tensor."""
Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]

INF = float("inf")
IN_CACHE = 1 << 18
"""Above this many numbers, numpy works row by row, so that a row stays in the processor's cache between passes."""


def namespace(x: Array) -> ModuleType:
    """The array library of x."""
    if isinstance(x, np.ndarray):
        return np
    from array_api_compat import array_namespace

    found: ModuleType = array_namespace(x)
    return found


def host(x: Array) -> Any:
    """x as a numpy array."""
    return x.detach().cpu().numpy() if hasattr(x, "detach") else np.asarray(x)


def like(host_array: Array, x: Array) -> Array:
    """A numpy array in the library and on the device of x."""
    return host_array if isinstance(x, np.ndarray) else namespace(x).asarray(host_array, device=x.device)


def widened(x: Array) -> Array:
    """A tensor's numbers of 16 bits in float32; numpy arrays here have no such."""
    return x if isinstance(x, np.ndarray) else x.float()


def copy(x: Array) -> Array:
    """A copy that can be written to."""
    return x.copy() if isinstance(x, np.ndarray) else x.clone()


def read_only(x: Array) -> Array:
    """The same numbers in an array that cannot be written to; a tensor as it is, whose `version` tells."""
    if isinstance(x, np.ndarray):
        x = x.view()
        x.flags.writeable = False
    return x


def version(x: Array) -> int:
    """How often a tensor was changed in place; 0 for arrays, and for tensors that do not count."""
    return 0 if isinstance(x, np.ndarray) or x.is_inference() else int(x._version)


def gather(x: Array, index: Array) -> Array:
    """The chosen columns of every row: x (R, V), index (R, K) -> (R, K)."""
    return np.take_along_axis(x, index, -1) if isinstance(x, np.ndarray) else x.gather(-1, index)


def put(x: Array, columns: Array, values: Array) -> Array:
    """An array like x with values (R, K) at columns (R, K) and -inf elsewhere."""
    out = namespace(x).full_like(x, -INF)
    if not isinstance(out, np.ndarray):
        return out.scatter_(-1, columns, values)
    np.put_along_axis(out, columns, values, axis=-1)
    return out


def block(scores: Array, keep: Array) -> Array:
    """Scores with -inf where keep is false."""
    return namespace(scores).where(keep, scores, -INF)


def topk(x: Array, k: int) -> tuple[Array, Array]:
    """The k largest of each row, best first, equals in ascending order of column: x (R, V) -> values, columns (R, k)."""
    k = min(k, x.shape[-1])
    if isinstance(x, np.ndarray):
        if k == 1:
            columns = x.argmax(-1)[:, None]
            return np.take_along_axis(x, columns, -1), columns
        if k == x.shape[-1]:
            columns = ranked(x)
            return np.take_along_axis(x, columns, -1), columns
        columns = np.sort(np.argpartition(x, -k, -1)[:, -k:], -1)
        values = np.take_along_axis(x, columns, -1)
        order = np.argsort(-values, -1, kind="stable")
        values, columns = np.take_along_axis(values, order, -1), np.take_along_axis(columns, order, -1)
        least = values[:, -1:]
        tied = (least > -INF)[:, 0] & ((x >= least).sum(-1) > k)
        if tied.any():
            columns[tied] = ranked(x[tied])[:, :k]
        return values, columns
    values, columns = x.topk(k)
    if bool(((values[:, -1:] > -INF) & ((x >= values[:, -1:]).sum(-1, keepdim=True) > k)).any()) or bool(
        ((values[:, 1:] == values[:, :-1]) & (values[:, 1:] > -INF)).any()
    ):
        values, columns = x.sort(dim=-1, descending=True, stable=True)
        return values[:, :k], columns[:, :k]
    return values, columns


def ranked(x: Array) -> Ints:
    """The columns of a numpy array's rows, the largest first, equals in ascending order: (R, V) -> (R, V).

    Numbers of 32 bits become whole ones in the same order, their columns are written below them, and one plain sort does the
    rest: about ten times as fast as a stable sort of places.
    """
    if x.dtype != np.float32:
        return np.argsort(-x, -1, kind="stable")
    if 4 * x.size > IN_CACHE and len(x) > 1:                            # keys are wider, and there are two of them
        return np.concatenate([ranked(x[r : r + 1]) for r in range(len(x))])
    bits = (x + np.float32(0)).view(np.int32)                            # -0 becomes 0, which it equals
    keys = np.where(bits < 0, bits ^ np.int32(-(2**31)), ~bits).astype(np.int64) << 32
    keys |= np.arange(x.shape[-1])
    keys.sort(-1)
    columns: Ints = keys & 0xFFFFFFFF
    return columns


def logsumexp(x: Array) -> Array:
    """log of the sum of exp over the last axis, which is kept: (R, V) -> (R, 1)."""
    if not isinstance(x, np.ndarray):
        return x.logsumexp(-1, keepdim=True)
    if x.size > IN_CACHE and len(x) > 1:
        return np.concatenate([logsumexp(x[r : r + 1]) for r in range(len(x))])
    top = x.max(-1, keepdims=True)
    top = np.where(np.isneginf(top), np.zeros_like(top), top)
    with np.errstate(divide="ignore"):
        return top + np.log(np.exp(x - top).sum(-1, keepdims=True))


def log_softmax(x: Array) -> Array:
    """Log-probabilities of scores along the last axis; a row of -inf stays -inf."""
    return x - or_zero(logsumexp(x))


def or_zero(x: Array) -> Array:
    """x with 0 in place of -inf, for subtracting."""
    return namespace(x).where(x == -INF, namespace(x).zeros_like(x), x)



def softmax(x: Array) -> Array:
    """Probabilities of scores along the last axis."""
    if not isinstance(x, np.ndarray):
        return x.softmax(-1)
    x = np.exp(x - x.max(-1, keepdims=True))
    x /= x.sum(-1, keepdims=True)
    return x


def log_probs_from_logits(logits: Array, labels: Array) -> Array:
    """The log-probability of each label: log softmax(logits)[label].

    logits (..., V) and labels (...), integers in [0, V), as numpy arrays or torch tensors; the result has the shape of labels.
    """
    return gather(log_softmax(logits), labels[..., None])[..., 0]
