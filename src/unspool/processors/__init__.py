"""Processors, by family. A new one is a few lines beside its siblings and a name below, or any Processor of your own."""

from unspool.processor import FromHf
from unspool.processors.adapt import Mirostat
from unspool.processors.constrain import Allowed, Automaton, Banned, Bias, MinNewTokens
from unspool.processors.contrast import Guidance
from unspool.processors.penalize import FrequencyPenalty, NoRepeatNgram, PresencePenalty, RepetitionPenalty
from unspool.processors.shape import LogSoftmax, Temperature
from unspool.processors.truncate import MinP, TopK, TopP, Typical

__all__ = [
    "Allowed",
    "Automaton",
    "Banned",
    "Bias",
    "FrequencyPenalty",
    "FromHf",
    "Guidance",
    "LogSoftmax",
    "MinNewTokens",
    "MinP",
    "Mirostat",
    "NoRepeatNgram",
    "PresencePenalty",
    "RepetitionPenalty",
    "Temperature",
    "TopK",
    "TopP",
    "Typical",
]
