"""The few operations the array API lacks: one code for numpy arrays and torch tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = Any
"""A numpy array or a torch tensor."""
Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]

INF = float("inf")
GROUP = 32
"""The most numbers of a row of which only the largest is looked at first."""
IN_CACHE = 1 << 18
"""Above this many numbers, numpy works row by row, so that a row stays in the processor's cache between passes."""
IN_TURN = 1024
"""So many numbers are summed one after the other, wherever they stand among zeros."""


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


def plus(x: Array, y: Array) -> Array:
    """x + y, written over x in numpy: x is an array that nobody else holds, of the shape of the sum."""
    if isinstance(x, np.ndarray):
        x += y
        return x
    return x + y


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


def is_floating(x: Array) -> bool:
    """Whether it holds real numbers, not whole ones or flags."""
    return x.dtype.kind == "f" if isinstance(x, np.ndarray) else bool(x.is_floating_point())


def by_row(work: Callable[[Array], Array], x: Array) -> Array:
    """work(x), one row after the other where numpy's passes would be over more than stays in the processor's cache."""
    if not isinstance(x, np.ndarray) or len(x) < 2 or x.size <= IN_CACHE:
        return work(x)
    return np.concatenate([work(x[r : r + 1]) for r in range(len(x))])


def gather(x: Array, index: Array) -> Array:
    """The chosen columns of every row: x (R, V), index (R, K) -> (R, K)."""
    if not isinstance(x, np.ndarray):
        return x.gather(-1, index)
    return x[np.arange(len(x))[:, None], index] if x.ndim == 2 else np.take_along_axis(x, index, -1)


def put(x: Array, columns: Array, values: Array) -> Array:
    """An array like x with values (R, K) at columns (R, K) and -inf elsewhere."""
    out = namespace(x).full_like(x, -INF)
    if not isinstance(out, np.ndarray):
        return out.scatter_(-1, columns, values)
    np.put_along_axis(out, columns, values, axis=-1)
    return out


def block(scores: Array, keep: Array) -> Array:
    """Scores with -inf where keep is false."""
    if isinstance(scores, np.ndarray) and keep.shape == scores.shape and 8 * np.count_nonzero(keep) < keep.size:
        out, places = np.full(scores.shape, -INF, scores.dtype), np.flatnonzero(keep)
        out.ravel()[places] = scores.ravel()[places]
        return out
    return namespace(scores).where(keep, scores, -INF)


Remembered: TypeAlias = dict[tuple[Any, ...], tuple[Array, Any]]
"""By what it is and a numpy array's place in memory, the array and what was found in it."""
_KNOWN: ContextVar[Remembered | None] = ContextVar("known", default=None)
T = TypeVar("T")


@contextmanager
def found_once(known: Remembered) -> Iterator[None]:
    """Within it what is `remembered` of numpy arrays that nobody changes is found once: many rules sort and sum the same scores."""
    token = _KNOWN.set(known)
    try:
        yield
    finally:
        _KNOWN.reset(token)


def remembered(what: Any, x: Array, find: Callable[[], T]) -> T:
    """find(), a function of x alone; within `found_once` what was found before is looked up. Nobody may change it."""
    known = _KNOWN.get()
    if known is None or not isinstance(x, np.ndarray):
        return find()
    place = (what, x.ctypes.data, x.shape, x.strides)
    if place not in known:
        known[place] = x, find()                                         # with x itself, so that its place in memory stays its own
    found: T = known[place][1]
    return found


def topk(x: Array, k: int) -> tuple[Array, Array]:
    """The k largest of each row, best first, equals in ascending order of column: x (R, V) -> values, columns (R, k)."""
    k = min(k, x.shape[-1])
    if isinstance(x, np.ndarray):
        return remembered(("topk", k), x, lambda: _top_of(x, k))
    values, columns = x.topk(k)
    if bool(((values[:, -1:] > -INF) & ((x >= values[:, -1:]).sum(-1, keepdim=True) > k)).any()) or bool(
        ((values[:, 1:] == values[:, :-1]) & (values[:, 1:] > -INF)).any()
    ):
        values, columns = x.sort(dim=-1, descending=True, stable=True)
        return values[:, :k], columns[:, :k]
    return values, columns


def _top_of(x: Floats, k: int) -> tuple[Array, Array]:
    columns = _topk(x, k) if len(x) and k > 1 else _best(x)
    return gather(x, columns), columns


def _best(x: Floats) -> Ints:
    """The column (R, 1) of the largest number of each row; row by row, for argmax copies an array that cannot be written to."""
    return np.fromiter((row.argmax() for row in x), np.int64, len(x))[:, None]


def _topk(x: Floats, k: int) -> Ints:
    """The columns (R, k) of the k largest of each row (R, V) of a numpy array, best first.

    A row is laid out in groups of one number from each stretch of it. The k-th largest of the groups' maxima is a bound that at least k
    numbers reach, and few others do.
    """
    rows, size = len(x), min(GROUP, x.shape[1] // (2 * k))
    if size < 4:
        return ranked(x)[:, :k]
    if (by_kernels := _top_by_kernels(x, k)) is not None:
        return by_kernels
    groups = x.shape[1] // size
    maxima = np.empty((rows, groups), x.dtype)
    for row, its in zip(x, maxima, strict=True):
        row[: groups * size].reshape(size, groups).max(0, out=its)
    least = np.partition(maxima, groups - k, axis=-1)[:, groups - k, None]
    if not (least > -INF).all():
        return np.stack([_few_possible(row, k) for row in x])
    row, column = np.divmod(np.flatnonzero(x >= least), x.shape[1])      # those that reach it, by row
    order = np.lexsort((-x[row, column], row))
    first = np.searchsorted(row, np.arange(rows + 1))
    if (first[1:] - first[:-1] < k).any():                               # what is no number hides others of its group
        return ranked(x)[:, :k]
    found: Ints = column[order][first[:-1, None] + np.arange(k)]
    return found


def _top_by_kernels(x: Floats, k: int) -> Ints | None:
    """The same by the kernels; None where a row holds too little that can come, or what is no number."""
    its, columns = _kernels_for(x), np.empty((len(x), k), np.int64)
    if its is None or its.top(x.ctypes.data, *x.shape, k, columns.ctypes.data) or (columns[:, 0] < 0).any():
        return None
    return columns


def _few_possible(row: Floats, k: int) -> Ints:
    """The columns of the k largest of a row most of which may be -inf: those come last, in order."""
    possible = np.flatnonzero(row > -INF)
    best = possible[np.argsort(-row[possible], kind="stable")][:k]
    found = np.concatenate([best, np.flatnonzero(row == -INF)[: k - len(best)]])
    return found if len(found) == k else ranked(row[None])[0, :k]    # what is no number is in no order


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
    if x.shape[-1] > IN_TURN and (found := _by_kernels(x)) is not None:
        return found
    if x.size > IN_CACHE and len(x) > 1:
        return np.concatenate([_in_numpy(x[r : r + 1]) for r in range(len(x))])
    return _in_numpy(x)


def _in_numpy(x: Array) -> Array:
    top = x.max(-1, keepdims=True)
    with np.errstate(invalid="ignore"):                                  # infinity less infinity is NaN, which shows in the sum
        terms = x - or_zero(top)
    np.exp(terms, out=terms)
    if not (top == -INF).any():
        return top + np.log(summed(terms))
    with np.errstate(divide="ignore"):                                   # of a row of -inf the sum is 0
        return top + np.log(summed(terms))


def _kernels_for(x: Array) -> Any:
    """The package's kernels, if they can read an array (R, V) as it lies; else None."""
    from unspool.kernels.library import available, kernels

    return kernels() if x.ndim == 2 and x.dtype == np.float32 and x.flags.c_contiguous and available() else None


def _by_kernels(x: Array) -> Array | None:
    """The same by the kernels, of rows that have more terms than are summed in turn."""
    its = _kernels_for(x)
    if its is None:
        return None
    found, terms = np.empty((len(x), 1), np.float32), np.empty(len(x), np.int64)
    its.log_sum_exp(x.ctypes.data, *x.shape, found.ctypes.data, terms.ctypes.data)
    some, size = np.flatnonzero(terms <= IN_TURN), max(1, IN_CACHE // x.shape[-1])
    for first in range(0, len(some), size):
        rows = some[first : first + size]
        found[rows] = _in_numpy(x[rows])
    return found


def summed(terms: Array) -> Array:
    """The sum over the last axis, which is kept: (R, V) -> (R, 1). Left out zeros change no bit of it.

    So what is summed over a vocabulary is the same when summed over the few tokens that can come, `core/few.py`. A row with at most
    `IN_TURN` numbers other than 0 is summed from left to right in float64, any other as numpy does it fastest.
    """
    if not isinstance(terms, np.ndarray):
        return namespace(terms).sum(terms, axis=-1, keepdims=True)
    if terms.shape[-1] <= IN_TURN:
        return np.cumsum(terms, -1, dtype=np.float64)[..., -1:].astype(terms.dtype)
    there = terms != 0
    if there.all():
        return terms.sum(-1, keepdims=True)
    sums = [_sum_of_row(row, its) for row, its in zip(terms.reshape(-1, terms.shape[-1]), there.reshape(-1, terms.shape[-1]), strict=True)]
    return np.asarray(sums, terms.dtype).reshape(*terms.shape[:-1], 1)


def _sum_of_row(row: Floats, there: Flags) -> Any:
    return row.sum() if np.count_nonzero(there) > IN_TURN else np.cumsum(np.append(row[there], 0), dtype=np.float64)[-1]


def log_softmax(x: Array) -> Array:
    """Log-probabilities of scores along the last axis; a row of -inf stays -inf."""
    return x - or_zero(logsumexp(x))


def or_zero(x: Array) -> Array:
    """x with 0 in place of -inf, for subtracting."""
    if isinstance(x, np.ndarray):
        impossible = x == -INF
        return np.where(impossible, x.dtype.type(0), x) if impossible.any() else x
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
