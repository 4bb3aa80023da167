"""What a server allows."""

from __future__ import annotations

from dataclasses import dataclass

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Names of this machine, which nobody else can reach it by."""


@dataclass(frozen=True)
class Settings:
    """What the server allows."""

    key: str | None = None
    """What clients must show, as a bearer token."""
    local: bool = True
    """Whether it listens to this machine alone: then a request must call it by a name of this machine."""
    rows: int = 64
    queue: int = 256
    tokens: int | None = None
    """New tokens of a text at most; the model's context if not given."""
    seconds: float | None = 600.0
    """How long a request may take, waiting included."""
    body: int = 8_000_000
    """Bytes of a request."""
    seed: int | None = None
    """Of requests that give none; drawn for each if not given."""
    grace: float = 10.0
    """Seconds that requests have to end when the server stops."""
