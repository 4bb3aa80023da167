"""The public names, each from the module that defines it: the one list of them, read by type checkers, and by `__init__.py` at run time."""

from unspool.arrays import log_probs_from_logits as log_probs_from_logits
from unspool.core.decoder import Decoder as Decoder
from unspool.core.decoder import parse as parse
from unspool.core.model import ROOT as ROOT
from unspool.core.model import Model as Model
from unspool.core.model import Plan as Plan
from unspool.core.model import Session as Session
from unspool.core.processor import Processor as Processor
from unspool.core.processor import Rows as Rows
from unspool.core.stop import Stop as Stop
from unspool.core.strategy import Choice as Choice
from unspool.core.strategy import Dropped as Dropped
from unspool.core.strategy import Look as Look
from unspool.core.strategy import Strategy as Strategy
from unspool.core.strategy import Twin as Twin
from unspool.errors import (
    DeadEnd as DeadEnd,
)
from unspool.errors import (
    DecoderError as DecoderError,
)
from unspool.errors import (
    MissingExtra as MissingExtra,
)
from unspool.errors import (
    ModelError as ModelError,
)
from unspool.errors import (
    ParameterError as ParameterError,
)
from unspool.errors import (
    PartError as PartError,
)
from unspool.errors import (
    PromptError as PromptError,
)
from unspool.errors import (
    UnknownName as UnknownName,
)
from unspool.errors import (
    UnspoolError as UnspoolError,
)
from unspool.errors import (
    Unsupported as Unsupported,
)
from unspool.lab.compare import compare as compare
from unspool.lab.comparison import Comparison as Comparison
from unspool.lab.facts import Check as Check
from unspool.lab.facts import verify as verify
from unspool.language_model import LanguageModel as LanguageModel
from unspool.loader import load as load
from unspool.output import GeneratedText as GeneratedText
from unspool.output import Output as Output
from unspool.processors.adapt import AdaptiveP as AdaptiveP
from unspool.processors.adapt import Mirostat as Mirostat
from unspool.processors.constrain import (
    Allowed as Allowed,
)
from unspool.processors.constrain import (
    Automaton as Automaton,
)
from unspool.processors.constrain import (
    Banned as Banned,
)
from unspool.processors.constrain import (
    Bias as Bias,
)
from unspool.processors.constrain import (
    RemoveInvalid as RemoveInvalid,
)
from unspool.processors.constrain import (
    Suppress as Suppress,
)
from unspool.processors.constrain import (
    SuppressAtBegin as SuppressAtBegin,
)
from unspool.processors.contrast import Guidance as Guidance
from unspool.processors.dry import Dry as Dry
from unspool.processors.endings import (
    ExponentialDecayLength as ExponentialDecayLength,
)
from unspool.processors.endings import (
    ForcedEnd as ForcedEnd,
)
from unspool.processors.endings import (
    MinLength as MinLength,
)
from unspool.processors.endings import (
    MinNewTokens as MinNewTokens,
)
from unspool.processors.force import Forced as Forced
from unspool.processors.force import ForcedBegin as ForcedBegin
from unspool.processors.force import PrefixConstrained as PrefixConstrained
from unspool.processors.from_hf import FromHf as FromHf
from unspool.processors.grammar import Grammar as Grammar
from unspool.processors.grammar import JsonSchema as JsonSchema
from unspool.processors.grammar import Regex as Regex
from unspool.processors.penalize import (
    EncoderNoRepeatNgram as EncoderNoRepeatNgram,
)
from unspool.processors.penalize import (
    EncoderRepetitionPenalty as EncoderRepetitionPenalty,
)
from unspool.processors.penalize import (
    FrequencyPenalty as FrequencyPenalty,
)
from unspool.processors.penalize import (
    NoRepeatNgram as NoRepeatNgram,
)
from unspool.processors.penalize import (
    PresencePenalty as PresencePenalty,
)
from unspool.processors.penalize import (
    RepetitionPenalty as RepetitionPenalty,
)
from unspool.processors.shape import (
    DynamicTemperature as DynamicTemperature,
)
from unspool.processors.shape import (
    LogSoftmax as LogSoftmax,
)
from unspool.processors.shape import (
    Skew as Skew,
)
from unspool.processors.shape import (
    Smoothing as Smoothing,
)
from unspool.processors.shape import (
    Temperature as Temperature,
)
from unspool.processors.threshold import Epsilon as Epsilon
from unspool.processors.threshold import Eta as Eta
from unspool.processors.threshold import MinP as MinP
from unspool.processors.threshold import PLess as PLess
from unspool.processors.threshold import TopA as TopA
from unspool.processors.threshold import TopNSigma as TopNSigma
from unspool.processors.truncate import TailFree as TailFree
from unspool.processors.truncate import TopH as TopH
from unspool.processors.truncate import TopK as TopK
from unspool.processors.truncate import TopP as TopP
from unspool.processors.truncate import Typical as Typical
from unspool.processors.watermark_kgw import WatermarkKgw as WatermarkKgw
from unspool.processors.watermark_synthid import WatermarkSynthid as WatermarkSynthid
from unspool.processors.xtc import Xtc as Xtc
from unspool.record.step import Hypothesis as Hypothesis
from unspool.record.step import Step as Step
from unspool.record.trace import Trace as Trace
from unspool.score import Score as Score
from unspool.stops.confidence import Confidence as Confidence
from unspool.stops.limits import MaxTime as MaxTime
from unspool.stops.limits import TokenBudget as TokenBudget
from unspool.stops.loop import Loop as Loop
from unspool.stops.texts import StopRegex as StopRegex
from unspool.stops.texts import StopStrings as StopStrings
from unspool.stops.tokens import End as End
from unspool.stops.tokens import StopFunction as StopFunction
from unspool.strategies.beam import Beam as Beam
from unspool.strategies.contrastive_search import ContrastiveSearch as ContrastiveSearch
from unspool.strategies.exact import Exact as Exact
from unspool.strategies.follow import Follow as Follow
from unspool.strategies.greedy import Greedy as Greedy
from unspool.strategies.sample import Sample as Sample
from unspool.strategies.sequential_monte_carlo import SequentialMonteCarlo as SequentialMonteCarlo
from unspool.strategies.speculative import Speculative as Speculative
from unspool.strategies.stochastic_beam import StochasticBeam as StochasticBeam
from unspool.strategies.stochastic_beam import importance_weights as importance_weights
from unspool.stream import Stream as Stream
from unspool.views.table import StepTable as StepTable

__version__: str
__all__: list[str]
