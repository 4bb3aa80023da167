"""A law under trial: what it says when it is broken, and how answers are compared."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from unspool.arrays import host

LONGEST_SHOWN = 160
"""Characters of a value in a message."""


class LawBroken(AssertionError):
    """A part breaks a law of its kind; the message says which, given what, what came and what was expected."""

    def __init__(self, law: str, message: str) -> None:
        super().__init__(message)
        self.law = law


class Law:
    """A law that a part is held to, with one input; an error inside `with` breaks it too."""

    def __init__(self, law: str, part: Any, given: Any = "") -> None:
        self.law, self.part, self.given = law, part, given

    def __enter__(self) -> Law:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, LawBroken):
            raise self.broken(f"{type(error).__name__} ({error})", "an answer") from error

    def broken(self, came: Any, expected: Any) -> LawBroken:
        """The error that says so."""
        given = f"given {shown(self.given)}, " if str(self.given) else ""
        message = f"{named(self.part)} breaks the law {self.law!r}: {given}{shown(came)} came where {shown(expected)} was expected"
        return LawBroken(self.law, message)

    def expect(self, ok: Any, came: Any, expected: Any) -> None:
        """The law is broken unless ok."""
        if not ok:
            raise self.broken(came, expected)

    def same(self, came: Any, expected: Any, what: str) -> None:
        """Two plain values are equal."""
        if came != expected:
            raise self.broken(f"{what} {shown(came)}", shown(expected))

    def close(self, came: Any, expected: Any, what: str, tolerance: float = 1e-5) -> None:
        """Two arrays have one shape, and numbers that are equal but for rounding; infinities are equal."""
        came, expected = (np.asarray(host(x), np.float64) for x in (came, expected))
        if came.shape != expected.shape:
            raise self.broken(f"{what} of shape {came.shape}", f"shape {expected.shape}")
        wrong = ~np.isclose(came, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
        if wrong.any():
            at = tuple(int(i) for i in np.argwhere(wrong)[0])
            place = f" at {at[0] if len(at) == 1 else at}" if at else ""
            raise self.broken(f"{what} {came[at]:.6g}{place}", f"{expected[at]:.6g}")


def named(part: Any) -> str:
    """A part by its text form, anything else by its class."""
    text = str(part)
    return f"the {type(part).__name__}" if re.match(r"<.* object at 0x", text) else text


def shown(value: Any) -> str:
    """A value on one line, not too long."""
    if isinstance(value, np.ndarray) or hasattr(value, "detach"):
        text = np.array2string(host(value), precision=5, threshold=12)
    else:
        text = value if isinstance(value, str) else repr(value)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."
