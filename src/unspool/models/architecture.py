"""Whether a checkpoint is one that can be read, by its config.json alone; if not, what it is and what would run it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unspool.errors import ModelError
from unspool.models.families import FAMILIES
from unspool.models.quantised import method_of

ENCODER_ONLY = {
    "albert", "bert", "camembert", "canine", "convbert", "deberta", "deberta-v2", "distilbert", "electra", "ernie", "esm", "eurobert",
    "flaubert", "fnet", "funnel", "ibert", "layoutlm", "longformer", "luke", "megatron-bert", "mobilebert", "modernbert", "mpnet", "mra",
    "nezha", "nomic_bert", "nystromformer", "rembert", "roberta", "roberta-prelayernorm", "roformer", "splinter", "squeezebert", "tapas",
    "xlm-roberta", "xlm-roberta-xl", "xmod", "yoso",
}  # fmt: skip
ENCODER_DECODER = {
    "bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "fsmt", "led", "longt5", "m2m_100", "marian", "mbart", "mt5", "mvp",
    "nllb-moe", "pegasus", "pegasus_x", "plbart", "prophetnet", "speech_to_text", "switch_transformers", "t5", "t5gemma", "umt5", "whisper",
}  # fmt: skip
OTHER_HEADS = {
    "ForSequenceClassification": "classifies texts",
    "ForTokenClassification": "classifies tokens",
    "ForQuestionAnswering": "marks answers",
    "ForMaskedLM": "fills in masked tokens",
    "ForMultipleChoice": "chooses among answers",
}


def check_kind(config: Mapping[str, Any]) -> str:
    """The kind of model that a config.json names, refused if it is no decoder that writes text."""
    kind = config.get("model_type")
    made = [name for name in config.get("architectures") or () if isinstance(name, str)]
    shown = f"{kind!r}" + (f" ({made[0]})" if made else "")
    if config.get("is_encoder_decoder") is True or kind in _strings(ENCODER_DECODER):
        raise ModelError(f"is an encoder-decoder of type {shown}; unspool reads decoder-only models, as gpt2 and llama")
    if kind in _strings(ENCODER_ONLY) and not config.get("is_decoder"):
        raise ModelError(f"is an encoder of type {shown}, which does not write text; unspool reads decoder-only models, as gpt2 and llama")
    for ending, what in OTHER_HEADS.items():
        if made and all(name.endswith(ending) for name in made):
            raise ModelError(f"is a {made[0]}, which {what} and does not write text; give the language model that it was made from")
    return str(kind)


def check_architecture(config: Mapping[str, Any]) -> str:
    """The family that a config.json names; a ModelError says why a model of another kind cannot be read."""
    kind = check_kind(config)
    if kind not in FAMILIES:
        raise ModelError(
            f"is a model of type {kind!r}; supported are {', '.join(sorted(FAMILIES))}; others may run with backend='transformers', "
            "which is the extra unspool[transformers]"
        )
    if config.get("quantization_config"):
        method_of(config["quantization_config"])
    return kind


def _strings(kinds: set[str]) -> list[str]:
    """A list, which any value of a JSON file may be sought in."""
    return list(kinds)
