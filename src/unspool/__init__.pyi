"""The public names, each from the module that defines it: the one list of them, read by type checkers, and by `__init__.py` at run time."""

from unspool import transformers as transformers
from unspool.arrays import log_probs_from_logits as log_probs_from_logits
from unspool.core.candidates import Candidates as Candidates
from unspool.core.decoder import Decoder as Decoder, parse as parse
from unspool.core.frontier import Frontier as Frontier
from unspool.core.model import NO_PLAN as NO_PLAN, ROOT as ROOT, Model as Model, Plan as Plan, Session as Session
from unspool.core.processor import Processor as Processor, Rows as Rows
from unspool.core.stop import Stop as Stop
from unspool.core.strategy import (
    Around as Around,
    Choice as Choice,
    Dropped as Dropped,
    Each as Each,
    Look as Look,
    Strategy as Strategy,
    Twin as Twin,
)
from unspool.errors import (
    DeadEnd as DeadEnd,
    DecoderError as DecoderError,
    MissingExtra as MissingExtra,
    ModelError as ModelError,
    ParameterError as ParameterError,
    PartError as PartError,
    PromptError as PromptError,
    UnknownName as UnknownName,
    UnspoolError as UnspoolError,
    Unsupported as Unsupported,
)
from unspool.lab.compare import compare as compare
from unspool.lab.comparison import Comparison as Comparison
from unspool.lab.engines.engine import Note as Note
from unspool.lab.estimate import WeightedMean as WeightedMean, estimate as estimate
from unspool.lab.facts import verify as verify
from unspool.lab.own_metrics import metric as metric
from unspool.lab.search_error import SearchError as SearchError, search_errors as search_errors
from unspool.lab.soundness import Check as Check
from unspool.lab.text_metric import Metric as Metric, TextSample as TextSample
from unspool.lab.translate import Translation as Translation, from_engine as from_engine, to_engine as to_engine
from unspool.lab.verify_draft import VerifiedDraft as VerifiedDraft, verify_draft as verify_draft
from unspool.language_model import LanguageModel as LanguageModel
from unspool.loader import load as load
from unspool.many.executors.opening import ModelOpening as ModelOpening
from unspool.many.run import Saving as Saving, run as run
from unspool.output import GeneratedText as GeneratedText, Output as Output
from unspool.page.widget import widget as widget
from unspool.processors.adapt import AdaptiveP as AdaptiveP, Mirostat as Mirostat
from unspool.processors.constrain import (
    Allowed as Allowed,
    Automaton as Automaton,
    Banned as Banned,
    Bias as Bias,
    RemoveInvalid as RemoveInvalid,
    Suppress as Suppress,
    SuppressAtBegin as SuppressAtBegin,
)
from unspool.processors.contrast import (
    ContextAware as ContextAware,
    ContrastiveDecoding as ContrastiveDecoding,
    Ensemble as Ensemble,
    Expert as Expert,
    Guidance as Guidance,
    Guide as Guide,
)
from unspool.processors.dry import Dry as Dry
from unspool.processors.endings import (
    ExponentialDecayLength as ExponentialDecayLength,
    ForcedEnd as ForcedEnd,
    MinLength as MinLength,
    MinNewTokens as MinNewTokens,
)
from unspool.processors.force import (
    Forced as Forced,
    ForcedBegin as ForcedBegin,
    OneOf as OneOf,
    PrefixConstrained as PrefixConstrained,
)
from unspool.processors.from_hf import FromHf as FromHf
from unspool.processors.grammar import Grammar as Grammar, JsonSchema as JsonSchema, Regex as Regex
from unspool.processors.heal import Heal as Heal
from unspool.processors.layers import ConfidentLayer as ConfidentLayer, Dola as Dola
from unspool.processors.parts import After as After, Between as Between, Until as Until
from unspool.processors.penalize import (
    EncoderNoRepeatNgram as EncoderNoRepeatNgram,
    EncoderRepetitionPenalty as EncoderRepetitionPenalty,
    FrequencyPenalty as FrequencyPenalty,
    NoRepeatNgram as NoRepeatNgram,
    PresencePenalty as PresencePenalty,
    RepetitionPenalty as RepetitionPenalty,
)
from unspool.processors.say import Cite as Cite, Say as Say, ThinkingBudget as ThinkingBudget
from unspool.processors.shape import (
    DynamicTemperature as DynamicTemperature,
    EntropyTemperature as EntropyTemperature,
    LogSoftmax as LogSoftmax,
    Skew as Skew,
    Smoothing as Smoothing,
    Temperature as Temperature,
)
from unspool.processors.threshold import Epsilon as Epsilon, Eta as Eta, MinP as MinP, PLess as PLess, TopA as TopA, TopNSigma as TopNSigma
from unspool.processors.truncate import (
    FactualNucleus as FactualNucleus,
    MinK as MinK,
    TailFree as TailFree,
    TopH as TopH,
    TopK as TopK,
    TopP as TopP,
    Typical as Typical,
)
from unspool.processors.watermark_gumbel import WatermarkGumbel as WatermarkGumbel
from unspool.processors.watermark_kgw import WatermarkKgw as WatermarkKgw
from unspool.processors.watermark_sbw import WatermarkSbw as WatermarkSbw
from unspool.processors.watermark_synthid import WatermarkSynthid as WatermarkSynthid
from unspool.processors.when import When as When
from unspool.processors.xtc import Xtc as Xtc
from unspool.record.certificate import Certificate as Certificate
from unspool.record.step import Hypothesis as Hypothesis, Step as Step
from unspool.record.trace import Trace as Trace
from unspool.score import Score as Score
from unspool.stops.confidence import Confidence as Confidence
from unspool.stops.limits import MaxTime as MaxTime, TokenBudget as TokenBudget
from unspool.stops.loop import Loop as Loop
from unspool.stops.texts import StopRegex as StopRegex, StopStrings as StopStrings
from unspool.stops.tokens import End as End, StopFunction as StopFunction
from unspool.strategies.alternatives import Alternatives as Alternatives
from unspool.strategies.arithmetic import Arithmetic as Arithmetic
from unspool.strategies.backtrack import Backtrack as Backtrack
from unspool.strategies.beam import Beam as Beam
from unspool.strategies.beam_sample import BeamSample as BeamSample
from unspool.strategies.best_first import BestFirst as BestFirst
from unspool.strategies.best_of import BestOf as BestOf
from unspool.strategies.conditional_poisson_beam import ConditionalPoissonBeam as ConditionalPoissonBeam
from unspool.strategies.constrained_beam import ConstrainedBeam as ConstrainedBeam
from unspool.strategies.contrastive_search import ContrastiveSearch as ContrastiveSearch
from unspool.strategies.cot import Cot as Cot
from unspool.strategies.diverse_beam import DiverseBeam as DiverseBeam
from unspool.strategies.exact import Exact as Exact
from unspool.strategies.follow import Follow as Follow
from unspool.strategies.greedy import Greedy as Greedy
from unspool.strategies.lookahead import Lookahead as Lookahead
from unspool.strategies.lookup import PromptLookup as PromptLookup, SuffixLookup as SuffixLookup
from unspool.strategies.mbr import Mbr as Mbr
from unspool.strategies.power import Power as Power
from unspool.strategies.power_rollouts import PowerRollouts as PowerRollouts
from unspool.strategies.rerank import Rerank as Rerank
from unspool.strategies.sample import Sample as Sample
from unspool.strategies.sequential_monte_carlo import SequentialMonteCarlo as SequentialMonteCarlo
from unspool.strategies.speculative import EarlyExit as EarlyExit, Speculative as Speculative
from unspool.strategies.steps_of import StepsOf as StepsOf
from unspool.strategies.stochastic_beam import StochasticBeam as StochasticBeam, importance_weights as importance_weights
from unspool.strategies.vote import Vote as Vote
from unspool.stream import Stream as Stream
from unspool.sweeps.result import Sweep as Sweep
from unspool.sweeps.sweeping import sweep as sweep
from unspool.views.diff import Diff as Diff, diff as diff
from unspool.views.table import StepTable as StepTable

__version__: str
__all__: list[str]
