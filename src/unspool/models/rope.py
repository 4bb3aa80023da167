"""Rotary position embeddings (Su et al. 2021, arXiv 2104.09864) and their scalings for longer contexts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import Array, Floats, like, namespace
from unspool.errors import ModelError


@dataclass(frozen=True, eq=False)
class Rope:
    """Turn pairs of a query's or key's numbers by position times frequency.

    frequencies (D / 2,): of the first D numbers of a head. interleaved: whether pairs are neighbours, as in GPT-J, or lie
    half a width apart, as in Llama. factor: what cosines and sines are multiplied by.
    """

    frequencies: Floats
    interleaved: bool = False
    factor: float = 1.0

    def angles(self, positions: Array, beside: Array) -> tuple[Array, Array]:
        """Cosines and sines (N, 1, D / 2) for positions (N,), beside an array."""
        xp = namespace(beside)
        turns = xp.astype(positions, xp.float32)[:, None] * like(self.frequencies.astype(np.float32), beside)
        cos, sin = xp.cos(turns) * self.factor, xp.sin(turns) * self.factor
        return xp.astype(cos[:, None], beside.dtype), xp.astype(sin[:, None], beside.dtype)

    def __call__(self, x: Array, cos: Array, sin: Array) -> Array:
        """x (N, H, D or more) turned; numbers beyond D stay."""
        xp, half = namespace(x), len(self.frequencies)
        first = x[..., : 2 * half]
        if self.interleaved:
            a, b = first[..., ::2], first[..., 1::2]
            turned = xp.reshape(xp.stack([a * cos - b * sin, b * cos + a * sin], axis=-1), first.shape)
        else:
            a, b = first[..., :half], first[..., half:]
            turned = xp.concat([a * cos - b * sin, b * cos + a * sin], axis=-1)
        return turned if x.shape[-1] == 2 * half else xp.concat([turned, x[..., 2 * half :]], axis=-1)


def rope_settings(config: Mapping[str, Any], kind: str = "full_attention") -> dict[str, Any]:
    """The rope settings of a config, of either generation: rope_parameters, or rope_theta with rope_scaling.

    kind: the layers that are asked about; "sliding_attention" only where those have settings of their own, rope_local_base_freq without
    scaling in the older generation.
    """
    whole: dict[str, Any] = dict(config.get("rope_parameters") or {})
    scaling, local = config.get("rope_scaling") or {}, kind == "sliding_attention"
    settings = dict(whole.get(kind) or {}) if local or kind in whole else whole
    scaling = (scaling[kind] or {}) if kind in scaling else {} if local else scaling
    settings = {"rope_theta": config.get("rope_local_base_freq" if local else "rope_theta", 10000.0), **settings, **scaling}
    settings["rope_type"] = settings.get("rope_type") or settings.get("type") or "default"
    return settings


def make_rope(config: Mapping[str, Any], settings: Mapping[str, Any], size: int, interleaved: bool = False) -> Rope:
    """The rope of a head's first `size` numbers."""
    for name in ("rope_theta", "factor"):
        if settings.get(name) is not None and not 0 < float(settings[name]) < math.inf:
            raise ModelError(f"config.json has {name} {settings[name]!r} for its rotary positions; it is a number above 0")
    plain = 1.0 / float(settings["rope_theta"]) ** (np.arange(0, size, 2, dtype=np.float64) / size)
    kind = settings["rope_type"]
    if kind == "default":
        return Rope(plain, interleaved)
    if kind == "linear":
        return Rope(plain / float(settings["factor"]), interleaved)
    if kind == "divided":
        return Rope(_divided(plain, settings), interleaved)
    if kind == "llama3":
        return Rope(_llama3(plain, settings), interleaved)
    if kind == "yarn":
        frequencies, factor = _yarn(plain, config, settings, size)
        return Rope(frequencies, interleaved, factor)
    raise ModelError(f"rope scaling {kind!r} is not supported; supported are default, linear, llama3 and yarn")


def _divided(plain: Floats, settings: Mapping[str, Any]) -> Floats:
    """Each wave is slowed by a divisor of its own, as files of llama.cpp have those of Llama 3."""
    divisors = np.asarray(settings["divisors"], np.float64)
    if divisors.shape != plain.shape or not (divisors > 0).all():
        raise ModelError(f"the rotary positions have {len(divisors)} divisors for {len(plain)} frequencies; it is one above 0 for each")
    return plain / divisors


def _llama3(plain: Floats, settings: Mapping[str, Any]) -> Floats:
    """Long waves are slowed by the factor, short ones kept, those between blended (Llama 3, arXiv 2407.21783)."""
    factor, low, high = float(settings["factor"]), float(settings["low_freq_factor"]), float(settings["high_freq_factor"])
    old = float(settings["original_max_position_embeddings"])
    waves = 2 * math.pi / plain
    blend = np.clip((old / waves - low) / (high - low), 0, 1)
    return np.where(waves > old / low, plain / factor, (1 - blend) * plain / factor + blend * plain)


def _yarn(plain: Floats, config: Mapping[str, Any], settings: Mapping[str, Any], size: int) -> tuple[Floats, float]:
    """YaRN (Peng et al. 2023, arXiv 2309.00071): slow waves are interpolated, fast ones kept, in between a ramp."""
    old = float(settings.get("original_max_position_embeddings") or config["max_position_embeddings"])
    factor = float(settings.get("factor") or config["max_position_embeddings"] / old)
    base = float(settings["rope_theta"])

    def dimension(turns: float) -> float:
        return size * math.log(old / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = dimension(float(settings.get("beta_fast") or 32)), dimension(float(settings.get("beta_slow") or 1))
    if settings.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, size - 1)
    ramp = np.clip((np.arange(size // 2) - low) / ((high - low) or 0.001), 0, 1)

    def growth(scale: float = 1.0) -> float:
        return 1.0 if factor <= 1 else 0.1 * scale * math.log(factor) + 1.0

    scales = settings.get("mscale"), settings.get("mscale_all_dim")
    given = settings.get("attention_factor")
    attention = growth(scales[0]) / growth(scales[1]) if scales[0] and scales[1] else growth()
    return plain / factor * ramp + plain * (1 - ramp), attention if given is None else float(given)
