"""unspool decodes text from autoregressive language models, by every strategy, in full view."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unspool.arrays import log_probs_from_logits
    from unspool.decoder import Decoder, parse
    from unspool.errors import (
        DeadEnd,
        DecoderError,
        MissingExtra,
        ModelError,
        ParameterError,
        PromptError,
        UnknownName,
        UnspoolError,
        Unsupported,
    )
    from unspool.facts import Check, verify
    from unspool.language_model import GeneratedText, LanguageModel, Output, Stream, load
    from unspool.processor import Processor, Rows
    from unspool.processors import (
        Allowed,
        Automaton,
        Banned,
        Bias,
        Epsilon,
        Eta,
        FrequencyPenalty,
        FromHf,
        Guidance,
        LogSoftmax,
        MinNewTokens,
        MinP,
        Mirostat,
        NoRepeatNgram,
        PLess,
        PresencePenalty,
        RepetitionPenalty,
        TailFree,
        Temperature,
        TopA,
        TopH,
        TopK,
        TopNSigma,
        TopP,
        Typical,
        Xtc,
    )
    from unspool.score import Score
    from unspool.step import Hypothesis, Step
    from unspool.stop import End, MaxTime, Stop, StopStrings
    from unspool.strategies import Beam, ContrastiveSearch, Exact, Greedy, Sample, Speculative
    from unspool.strategy import Choice, Look, Strategy, Twin
    from unspool.trace import Trace
    from unspool.views.table import StepTable

__version__ = "0.1.0"

__all__ = [
    "Allowed",
    "Automaton",
    "Banned",
    "Beam",
    "Bias",
    "Check",
    "Choice",
    "ContrastiveSearch",
    "DeadEnd",
    "Decoder",
    "DecoderError",
    "End",
    "Epsilon",
    "Eta",
    "Exact",
    "FrequencyPenalty",
    "FromHf",
    "GeneratedText",
    "Greedy",
    "Guidance",
    "Hypothesis",
    "LanguageModel",
    "LogSoftmax",
    "Look",
    "MaxTime",
    "MinNewTokens",
    "MinP",
    "Mirostat",
    "MissingExtra",
    "ModelError",
    "NoRepeatNgram",
    "Output",
    "PLess",
    "ParameterError",
    "PresencePenalty",
    "Processor",
    "PromptError",
    "RepetitionPenalty",
    "Rows",
    "Sample",
    "Score",
    "Speculative",
    "Step",
    "StepTable",
    "Stop",
    "StopStrings",
    "Strategy",
    "Stream",
    "TailFree",
    "Temperature",
    "TopA",
    "TopH",
    "TopK",
    "TopNSigma",
    "TopP",
    "Trace",
    "Twin",
    "Typical",
    "UnknownName",
    "UnspoolError",
    "Unsupported",
    "Xtc",
    "load",
    "log_probs_from_logits",
    "parse",
    "verify",
]

_HOME = {
    "unspool.arrays": ("log_probs_from_logits",),
    "unspool.decoder": ("Decoder", "parse"),
    "unspool.errors": (
        "DeadEnd",
        "DecoderError",
        "MissingExtra",
        "ModelError",
        "ParameterError",
        "PromptError",
        "UnknownName",
        "UnspoolError",
        "Unsupported",
    ),
    "unspool.facts": ("Check", "verify"),
    "unspool.language_model": ("GeneratedText", "LanguageModel", "Output", "Stream", "load"),
    "unspool.processor": ("Processor", "Rows"),
    "unspool.processors": (
        "Allowed",
        "Automaton",
        "Banned",
        "Bias",
        "Epsilon",
        "Eta",
        "FrequencyPenalty",
        "FromHf",
        "Guidance",
        "LogSoftmax",
        "MinNewTokens",
        "MinP",
        "Mirostat",
        "NoRepeatNgram",
        "PLess",
        "PresencePenalty",
        "RepetitionPenalty",
        "TailFree",
        "Temperature",
        "TopA",
        "TopH",
        "TopK",
        "TopNSigma",
        "TopP",
        "Typical",
        "Xtc",
    ),
    "unspool.score": ("Score",),
    "unspool.step": ("Hypothesis", "Step"),
    "unspool.stop": ("End", "MaxTime", "Stop", "StopStrings"),
    "unspool.strategies": ("Beam", "ContrastiveSearch", "Exact", "Greedy", "Sample", "Speculative"),
    "unspool.strategy": ("Choice", "Look", "Strategy", "Twin"),
    "unspool.trace": ("Trace",),
    "unspool.views.table": ("StepTable",),
}
"""The module of every public name: it is imported when the name is first used, so that `unspool --help` need not wait for numpy."""


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module, names in _HOME.items():
        if name in names:
            value = globals()[name] = getattr(import_module(module), name)
            return value
    raise AttributeError(f"module 'unspool' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
