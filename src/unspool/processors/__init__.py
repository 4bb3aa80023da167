"""Processors, by family. A new one is a few lines beside its siblings and a name below, or any Processor of your own."""

from unspool.processor import FromHf
from unspool.processors.adapt import Mirostat
from unspool.processors.constrain import Allowed, Automaton, Banned, Bias, MinNewTokens
from unspool.processors.contrast import Guidance
from unspool.processors.penalize import FrequencyPenalty, NoRepeatNgram, PresencePenalty, RepetitionPenalty
from unspool.processors.shape import LogSoftmax, Temperature
from unspool.processors.threshold import Epsilon, Eta, MinP, PLess, TopA, TopNSigma
from unspool.processors.truncate import TailFree, TopH, TopK, TopP, Typical
from unspool.processors.xtc import Xtc

__all__ = [
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
]
