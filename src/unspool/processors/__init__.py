"""Processors, by family. A new one is a few lines beside its siblings and a name below, or any Processor of your own."""

from unspool.processor import FromHf
from unspool.processors.adapt import AdaptiveP, Mirostat
from unspool.processors.constrain import Allowed, Automaton, Banned, Bias, RemoveInvalid, Suppress, SuppressAtBegin
from unspool.processors.contrast import Guidance
from unspool.processors.dry import Dry
from unspool.processors.endings import ExponentialDecayLength, ForcedEnd, MinLength, MinNewTokens
from unspool.processors.force import Forced, ForcedBegin, PrefixConstrained
from unspool.processors.grammar import Grammar, JsonSchema, Regex
from unspool.processors.penalize import (
    EncoderNoRepeatNgram,
    EncoderRepetitionPenalty,
    FrequencyPenalty,
    NoRepeatNgram,
    PresencePenalty,
    RepetitionPenalty,
)
from unspool.processors.shape import DynamicTemperature, LogSoftmax, Skew, Smoothing, Temperature
from unspool.processors.threshold import Epsilon, Eta, MinP, PLess, TopA, TopNSigma
from unspool.processors.truncate import TailFree, TopH, TopK, TopP, Typical
from unspool.processors.watermark_kgw import WatermarkKgw
from unspool.processors.watermark_synthid import WatermarkSynthid
from unspool.processors.xtc import Xtc

__all__ = [
    "AdaptiveP",
    "Allowed",
    "Automaton",
    "Banned",
    "Bias",
    "Dry",
    "DynamicTemperature",
    "EncoderNoRepeatNgram",
    "EncoderRepetitionPenalty",
    "Epsilon",
    "Eta",
    "ExponentialDecayLength",
    "Forced",
    "ForcedBegin",
    "ForcedEnd",
    "FrequencyPenalty",
    "FromHf",
    "Grammar",
    "Guidance",
    "JsonSchema",
    "LogSoftmax",
    "MinLength",
    "MinNewTokens",
    "MinP",
    "Mirostat",
    "NoRepeatNgram",
    "PLess",
    "PrefixConstrained",
    "PresencePenalty",
    "Regex",
    "RemoveInvalid",
    "RepetitionPenalty",
    "Skew",
    "Smoothing",
    "Suppress",
    "SuppressAtBegin",
    "TailFree",
    "Temperature",
    "TopA",
    "TopH",
    "TopK",
    "TopNSigma",
    "TopP",
    "Typical",
    "WatermarkKgw",
    "WatermarkSynthid",
    "Xtc",
]
