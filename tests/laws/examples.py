"""An example or more of every strategy, processor and stop; whoever adds one adds it here and has all laws tested."""

import numpy as np
from helpers.tables import END, VOCABULARY, Letters, table

import unspool as un


class Alternating:
    """A grammar: even and odd tokens in turn, the end token at any time."""

    def begin(self):
        return 0

    def advance(self, state, token):
        return 1 - state

    def allowed(self, state):
        return [t for t in range(VOCABULARY) if t % 2 == state or t == END]


def less_of_what_stands_last(input_ids, scores):
    """A logits processor as transformers has them."""
    from unspool.arrays import copy

    scores = copy(scores)
    for row in range(len(scores)):
        scores[row, int(input_ids[row, -1])] -= 1.5
    return scores


def anything_but_the_last(tokens):
    """What may come next, as a function of the text."""
    return [t for t in range(VOCABULARY) if t != tokens[-1]]


def half_for_every_token(tokens):
    """A potential: shorter texts weigh more, given as tokens or as a text, in which the end is nothing."""
    return 0.5 ** sum(token != END for token in tokens)


def not_twice_four(tokens):
    """A condition of a text's beginning, whether it is given as tokens or as a text."""
    return list(tokens)[-2:] not in ([4, 4], ["e", "e"])


def likes_odd_sums(texts):
    """How likely a property is of each text, as a function of its tokens."""
    return [0.9 if sum(text) % 2 else 0.3 for text in texts]


def spelled(part, characters):
    """A constraint for tokens that stand for these characters, whatever tokenizer it is given later."""
    letters = Letters()
    letters.name_of = lambda token: characters[token]
    part = part.resolve(letters)
    object.__setattr__(part, "resolve", lambda tokenizer: part)
    return part


def strategies(backend=np.asarray):
    draft = table(seed=77, backend=backend)
    return {
        un.Greedy: [un.Greedy()],
        un.SequentialMonteCarlo: [
            un.SequentialMonteCarlo(4, 2, truncated=True),
            un.SequentialMonteCarlo(3, 3, resample=1.0, truncated=True),
            un.SequentialMonteCarlo(3, 2, truncated=True, power=2.0, potential=half_for_every_token, boundary=2, condition=not_twice_four),
        ],
        un.Sample: [un.Sample(), un.Sample(3)],
        un.Arithmetic: [un.Arithmetic(1), un.Arithmetic(3)],
        un.Beam: [
            un.Beam(3),
            un.Beam(4, length_penalty=0.0, early_stopping=True, patience=2.0, n=2),
            un.Beam(3, early_stopping="never", length="gnmt", n=3),
            un.Beam(2, length="with_prompt", renormalise=False),
            un.Beam(2, length_penalty=-0.5, length="without_end"),
        ],
        un.Backtrack: [spelled(un.Backtrack(s, ("ab", "cd")), "abcdef") for s in (un.Greedy(), un.Sample(2), un.Beam(2))],
        un.BestOf: [un.BestOf(3), un.BestOf(un.Beam(3, n=3), "mean_processed", n=2)],
        un.Cot: [un.Cot(3), un.Cot(2, then=un.Sample(2), aggregate=True, n=3)],
        un.Mbr: [un.Mbr(3, n=2), un.Mbr(un.Exact(3), "exact", un.Sample(2), n=3), un.Mbr(un.Beam(3, n=3), weights="probability")],
        un.Rerank: [un.Rerank(table(seed=79, backend=backend), 3, 0.6)],
        un.StepsOf: [un.StepsOf(boundary=2, width=2, each=2, n=2), un.StepsOf(un.Greedy(), 1, "logprob", 3, 1)],
        un.Vote: [un.Vote(4), un.Vote(4, weights="worst", group=2, keep=0.5, n=2), un.Vote(5, decided="certain")],
        un.ContrastiveSearch: [un.ContrastiveSearch(), un.ContrastiveSearch(3, alpha=0.2)],
        un.Exact: [
            un.Exact(),
            un.Exact(4, expand=3),
            un.Exact(2, length_penalty=1.0, nodes=20),
            un.Exact(3, length_penalty=-0.5, length="without_end"),
        ],
        un.BeamSample: [un.BeamSample(3, n=2), un.BeamSample(2, length_penalty=0.0, early_stopping=True, renormalise=False)],
        un.BestFirst: [un.BestFirst(2), un.BestFirst(4, 3)],
        un.ConstrainedBeam: [
            un.ConstrainedBeam(3, phrases=(2, [0, (1, 4)]), n=2),
            un.ConstrainedBeam(2, length_penalty=0.0, early_stopping="never", phrases=(3, 1), ordered=True, banks="each"),
        ],
        un.DiverseBeam: [
            un.DiverseBeam(4, groups=2, n=4),
            un.DiverseBeam(3, groups=3, discount=0.5, penalise="selection", n=2),
            un.DiverseBeam(3, length_penalty=0.0, early_stopping="never", siblings=0.7),
        ],
        un.Follow: [un.Follow((1, 3, 0, 2)), un.Follow(((1, 0, 4, 2), (1, 0, 3), (4,), (1, 0)))]
        + [un.Follow((0, 3), then) for then in (un.Sample(2), un.Beam(2))],
        un.Speculative: [
            un.Speculative(draft),
            un.Speculative(draft, tokens=2),
            un.Speculative(draft, 3, coupled=True, confidence=0.3),
            un.Speculative(draft, 2, un.Greedy()),
        ],
        un.EarlyExit: [un.EarlyExit(1), un.EarlyExit(1, 3, un.Greedy(), confidence=0.2)],
        un.PromptLookup: [un.PromptLookup(), un.PromptLookup(3, un.Greedy(), longest=2), un.PromptLookup(2, un.Sample(2))],
        un.Lookahead: [un.Lookahead(), un.Lookahead(2, 3, un.Greedy(), candidates=2)],
        un.SuffixLookup: [
            un.SuffixLookup(((1, 3, 0, 2, 4, 1), (2, 2, 1, 0, 3))),
            un.SuffixLookup(tokens=3, then=un.Greedy(), depth=2, share=0.0, factor=9.0),
        ],
        un.Power: [un.Power(2.0, 3, 2), un.Power(3.0, 2, 3, n=2)],
        un.PowerRollouts: [un.PowerRollouts(2.0, 3, 2, 2), un.PowerRollouts(3.0, 6, 3, 1, n=2)],
        un.Alternatives: [un.Alternatives(3), un.Alternatives(4, least=0.2, then=un.Beam(2)), un.Alternatives(2, then=un.Sample(2))],
        un.StochasticBeam: [un.StochasticBeam(1), un.StochasticBeam(3)],
        un.ConditionalPoissonBeam: [un.ConditionalPoissonBeam(1), un.ConditionalPoissonBeam(3, annealing=0.5)],
    }


def processors(backend=np.asarray):
    other, third = table(seed=78, backend=backend), table(seed=79, backend=backend)
    return {
        un.Allowed: [un.Allowed(0, 2, 3, END)],
        un.Automaton: [un.Automaton(Alternating())],
        un.Banned: [un.Banned(1, (2, 3))],
        un.Bias: [un.Bias({1: 1.5, (2, 3): -2.0})],
        un.FrequencyPenalty: [un.FrequencyPenalty(0.7), un.FrequencyPenalty(0.4, "all", window=3)],
        un.FromHf: [un.FromHf(less_of_what_stands_last)],
        un.ConfidentLayer: [un.ConfidentLayer((1, 2, 3))],
        un.ContextAware: [un.ContextAware(0.8, other, 1)],
        un.ContrastiveDecoding: [
            un.ContrastiveDecoding(other),
            un.ContrastiveDecoding(other, 0.05, beta=0.5, temperature=0.7, context=1),
        ],
        un.Dola: [un.Dola(1), un.Dola((1, 2, 3), 0.05), un.Dola((1, 3), divergence="transformers")],
        un.Ensemble: [un.Ensemble((other,)), un.Ensemble((other, third), (0.5, 0.2, 0.3), "mixture")],
        un.Expert: [un.Expert(other, third, 0.7)],
        un.Guidance: [un.Guidance(1.7, other), un.Guidance(0.4, other, (3, 1))],
        un.Guide: [un.Guide(likes_odd_sums, 2.0, 4)],
        un.Regex: [spelled(un.Regex("[abd]*(c|a[^a])"), "abcdef")],
        un.JsonSchema: [spelled(un.JsonSchema({"type": ["array", "integer"]}), "[]1 0f")],
        un.Grammar: [spelled(un.Grammar('start: "a" start "b" | /[cd]+e?/'), "abcdef")],
        un.LogSoftmax: [un.LogSoftmax()],
        un.MinNewTokens: [un.MinNewTokens(3)],
        un.MinP: [un.MinP(0.2)],
        un.Mirostat: [un.Mirostat(1.2, eta=0.5), un.Mirostat(0.8, eta=0.9, surprise="truncated"), un.Mirostat(0.8, version=1)],
        un.NoRepeatNgram: [un.NoRepeatNgram(2), un.NoRepeatNgram(1, window=3, allowed=(1,))],
        un.PresencePenalty: [un.PresencePenalty(0.9, scope="all")],
        un.RepetitionPenalty: [un.RepetitionPenalty(1.4), un.RepetitionPenalty(1.7, window=1, decay=2)],
        un.Temperature: [un.Temperature(0.6), un.Temperature(0)],
        un.TopK: [un.TopK(3)],
        un.TopP: [un.TopP(0.7)],
        un.Typical: [un.Typical(0.6)],
        un.Epsilon: [un.Epsilon(0.15)],
        un.Eta: [un.Eta(0.3)],
        un.TopNSigma: [un.TopNSigma(0.8)],
        un.TopA: [un.TopA(0.6)],
        un.PLess: [un.PLess(), un.PLess(True)],
        un.TopH: [un.TopH(0.6), un.TopH(0.8, variant="transformers")],
        un.TailFree: [un.TailFree(0.8), un.TailFree(0.5, variant="llama.cpp")],
        un.MinK: [un.MinK(), un.MinK(0.0, min_keep=2)],
        un.FactualNucleus: [un.FactualNucleus(0.95, 0.6, reset=(1, 4)), un.FactualNucleus(1.0, 0.5, 0.2, ())],
        un.EntropyTemperature: [un.EntropyTemperature(0.9, 0.5), un.EntropyTemperature(1.5, theta=2.0, base=0.5)],
        un.Xtc: [un.Xtc(0.1, 0.5), un.Xtc(0.05, 1.0, (1,), protect_ends=True), un.Xtc(0.05, 1.0, (1,), variant="text-generation-webui")],
        un.DynamicTemperature: [un.DynamicTemperature(0.5, 1.8)],
        un.Smoothing: [un.Smoothing(0.3), un.Smoothing(0.2, curve=2.5)],
        un.Skew: [un.Skew(0.7), un.Skew(-0.5)],
        un.AdaptiveP: [un.AdaptiveP(0.4, decay=0.6)],
        un.Dry: [un.Dry(0.9, allowed_length=1, breakers=(4,)), un.Dry(2.0, 3.0, 2, (), window=4)],
        un.EncoderRepetitionPenalty: [un.EncoderRepetitionPenalty(1.6)],
        un.EncoderNoRepeatNgram: [un.EncoderNoRepeatNgram(2)],
        un.ExponentialDecayLength: [un.ExponentialDecayLength(1, 1.8)],
        un.MinLength: [un.MinLength(5)],
        un.ForcedEnd: [un.ForcedEnd(2, END), un.ForcedEnd(3, 1), un.ForcedEnd(2, 1, certain=True)],
        un.Suppress: [un.Suppress(1, 4)],
        un.SuppressAtBegin: [un.SuppressAtBegin(0, 2, END)],
        un.RemoveInvalid: [un.RemoveInvalid()],
        un.Forced: [un.Forced({1: 3, 2: 0})],
        un.ForcedBegin: [un.ForcedBegin(4), un.ForcedBegin(3, certain=True)],
        un.PrefixConstrained: [un.PrefixConstrained(((0, 3) * 5, (1, 4) * 5, (1,) * 9)), un.PrefixConstrained(anything_but_the_last)],
        un.OneOf: [un.OneOf((0, 3) * 5, (1, 4) * 5, (1,) * 9), un.OneOf((0,), (0, 1, 2), (0, 3, 4, 4), (3, 1))],
        un.After: [
            un.After(1, un.Mirostat(0.8, eta=0.9)),
            un.After((3,), un.Until(2, un.Forced({0: 4, 1: 0}))),
            un.After(2, un.Automaton(Alternating()), times=None),
            un.After(1, un.Guidance(1.7, other)),
        ],
        un.Until: [un.Until((0, 3), un.NoRepeatNgram(1)), un.Until(2, un.MinNewTokens(3))],
        un.Between: [un.Between(1, 3, un.Temperature(0.4)), un.Between(2, 2, un.Bias({1: 1.5, 3: -1.0}), prompt=True)],
        un.When: [
            un.When("entropy > 1.2", un.Temperature(0.5)),
            un.When("not loop >= 2 and (position < 2 or varentropy >= 0.4)", un.TopK(2)),
            un.When("top_probability < 0.5", un.Mirostat(0.9, eta=0.4)),
        ],
        un.Say: [
            un.Say((3, 0), when="position >= 2"),
            un.Say((1, 4), instead=END, times=2),
            un.Say(2, when="entropy > 1.3 and loop < 2", times=None),
        ],
        un.ThinkingBudget: [spelled(un.ThinkingBudget(2, "a", "b"), "abcdef"), spelled(un.ThinkingBudget(1, "bc", "de", "a"), "abcdef")],
        un.Cite: [un.Cite(1.5), un.Cite(0.5, following=2.0)],
        un.WatermarkKgw: [
            un.WatermarkKgw(0.4, 1.5),
            un.WatermarkKgw(0.5, context_width=2),
            un.WatermarkKgw(0.4, 2.0, 5, context_width=2, seeding_scheme="selfhash"),
        ],
        un.WatermarkGumbel: [un.WatermarkGumbel(7, 2), un.WatermarkGumbel(3, 1, 0.4, 2)],
        un.WatermarkSbw: [un.WatermarkSbw(0.4, 1.5), un.WatermarkSbw(0.5, 2.0, 9, 2)],
        un.WatermarkSynthid: [un.WatermarkSynthid(7, ngram_len=2), un.WatermarkSynthid((3, 1, 4), ngram_len=3, context_history_size=1)],
        un.Heal: [spelled(un.Heal(0), "abcdef")],
    }


def an_even_number_of_ones(tokens):
    """When to stop, as a function of the new tokens."""
    return tokens.count(1) > 0 and tokens.count(1) % 2 == 0


def stops():
    return {
        un.StopStrings: [un.StopStrings("ab", "cde")],
        un.End: [un.End(1, 4)],
        un.MaxTime: [un.MaxTime(3600.0)],
        un.StopRegex: [un.StopRegex("[ab]c|dd")],
        un.Loop: [un.Loop(2), un.Loop(2, 3, 2)],
        un.TokenBudget: [un.TokenBudget(5)],
        un.StopFunction: [un.StopFunction(an_even_number_of_ones)],
        un.Confidence: [un.Confidence(0.15), un.Confidence(0.4, 2, "likeliest"), un.Confidence(2.2, 3, "deepconf", k=4)],
    }


def neutral(backend=np.asarray):
    """Each processor at the value that changes no distribution, None where it has none."""
    other = table(seed=78, backend=backend)
    return {
        un.Allowed: un.Allowed(*range(VOCABULARY)),
        un.Automaton: un.Automaton(Anything()),
        un.Banned: un.Banned((END, END, END)),
        un.Bias: un.Bias({1: 0.0}),
        un.FrequencyPenalty: un.FrequencyPenalty(0.0),
        un.FromHf: un.FromHf(unchanged_scores),
        un.ConfidentLayer: None,
        un.ContextAware: un.ContextAware(0.0, other, 1),
        un.ContrastiveDecoding: un.ContrastiveDecoding(other, 0, beta=0.0),
        un.Dola: None,
        un.Ensemble: un.Ensemble((other,), (1.0, 0.0)),
        un.Expert: un.Expert(other, other, 0.0),
        un.Guidance: un.Guidance(1.0, other),
        un.Guide: un.Guide(likes_odd_sums, 0.0, VOCABULARY),
        un.Regex: spelled(un.Regex("[a-e]*"), "abcdef"),
        un.JsonSchema: None,
        un.Grammar: spelled(un.Grammar("start: /[a-e]/*"), "abcdef"),
        un.LogSoftmax: un.LogSoftmax(),
        un.MinNewTokens: un.MinNewTokens(0),
        un.MinP: un.MinP(0.0),
        un.Mirostat: un.Mirostat(1e6),
        un.NoRepeatNgram: un.NoRepeatNgram(50),
        un.PresencePenalty: un.PresencePenalty(0.0),
        un.RepetitionPenalty: un.RepetitionPenalty(1.0),
        un.Temperature: un.Temperature(1.0),
        un.TopK: un.TopK(VOCABULARY),
        un.TopP: un.TopP(1.0),
        un.Typical: un.Typical(1.0),
        un.Epsilon: un.Epsilon(0.0),
        un.Eta: un.Eta(0.0),
        un.TopNSigma: un.TopNSigma(1e9),
        un.TopA: un.TopA(0.0),
        un.PLess: None,
        un.TopH: un.TopH(1.0),
        un.TailFree: un.TailFree(1.0),
        un.MinK: un.MinK(1e9),
        un.FactualNucleus: un.FactualNucleus(1.0, 1.0, reset=()),
        un.EntropyTemperature: un.EntropyTemperature(1.0, 0.0),
        un.Xtc: un.Xtc(probability=0.0),
        un.DynamicTemperature: un.DynamicTemperature(1.0, 1.0),
        un.Smoothing: un.Smoothing(0.0),
        un.Skew: un.Skew(0.0),
        un.AdaptiveP: un.AdaptiveP(-1.0),
        un.Dry: un.Dry(0.0),
        un.EncoderRepetitionPenalty: un.EncoderRepetitionPenalty(1.0),
        un.EncoderNoRepeatNgram: un.EncoderNoRepeatNgram(50),
        un.ExponentialDecayLength: un.ExponentialDecayLength(0, 1.0),
        un.MinLength: un.MinLength(0),
        un.ForcedEnd: un.ForcedEnd(10**6),
        un.Suppress: None,
        un.SuppressAtBegin: None,
        un.RemoveInvalid: un.RemoveInvalid(),
        un.Forced: un.Forced({10**6: 1}),
        un.ForcedBegin: None,
        un.PrefixConstrained: un.PrefixConstrained(lambda tokens: range(VOCABULARY)),
        un.OneOf: None,
        un.After: un.After(1, un.TopP(1.0)),
        un.Until: un.Until("", un.TopK(1)),
        un.Between: un.Between(1, 2, un.Temperature(1.0)),
        un.When: un.When("never", un.TopK(1)),
        un.Heal: spelled(un.Heal(0), "abcdef"),
        un.Say: un.Say(2, when="never"),
        un.ThinkingBudget: spelled(un.ThinkingBudget(10**6, "a", "b"), "abcdef"),
        un.Cite: un.Cite(0.0),
        un.WatermarkKgw: un.WatermarkKgw(bias=0.0),
        un.WatermarkGumbel: None,
        un.WatermarkSbw: un.WatermarkSbw(bias=0.0),
        un.WatermarkSynthid: None,
    }


class Anything:
    """The grammar of all texts."""

    def begin(self):
        return None

    def advance(self, state, token):
        return None

    def allowed(self, state):
        return range(VOCABULARY)


def unchanged_scores(input_ids, scores):
    return scores


def named(parts):
    """Examples by their text form."""
    return {str(part): (cls, i) for cls, some in parts.items() for i, part in enumerate(some)}


STRATEGY_KINDS = {
    "plain": (un.Greedy,),
    "draws": (un.Sample, un.Arithmetic),
    "competes": (un.Beam, un.BeamSample, un.DiverseBeam, un.ConstrainedBeam),
    "looks ahead": (
        *(un.ContrastiveSearch, un.Power, un.PowerRollouts),
        *(un.Speculative, un.EarlyExit, un.PromptLookup, un.SuffixLookup, un.Lookahead),
    ),
    "waits": (un.Exact, un.BestFirst),
    "forces": (un.Follow,),
    "weighs": (un.SequentialMonteCarlo,),
    "hands on": (un.Alternatives,),
    "excludes": (un.StochasticBeam, un.ConditionalPoissonBeam),
    "takes back": (un.Backtrack,),
    "chooses": (un.BestOf, un.Cot, un.Mbr, un.Rerank, un.StepsOf, un.Vote),
}
"""What strategies ask of processors, as far as it differs:

plain: one row a text, which grows by its likeliest token. draws: rows of one text that are told apart by their draws alone.
competes: at every step rows fork, and others die for them. looks ahead: scores of rows that may never be committed, in
chains of several tokens and with a second model's rows beside. waits: a row is left and grown again many rounds later, out
of order. forces: tokens that the processors forbid are taken all the same. weighs: the processed scores are read against
the model's own, and rows are drawn anew in the middle of a text. hands on: rows go on by runs of their own. excludes:
every token that is possible counts, not only the best, and what one text has drawn is ruled out for the others. takes back:
rows that are looked at, or given up, and grown again with some tokens left out. chooses: a strategy around another, which
weighs its whole texts.
"""
PROCESSOR_KINDS = {
    "companion": lambda part: bool(part.companions()),
    "reads scores": lambda part: part.reads_scores,
    "dead end": lambda part: part.completes or isinstance(part, un.PrefixConstrained),
    "memory": lambda part: part.stateful,
    "draws": lambda part: (isinstance(part, un.Xtc) and part.probability < 1) or (isinstance(part, un.WatermarkGumbel) and part.second > 0),
    "stateless": lambda part: True,
}
"""What processors ask of strategies, as far as it differs; the first that is true of a processor is its kind:

companion: rows of a second model follow. reads scores: a memory needs the scores by which each token was chosen, also where
rows were passed over. dead end: a text may be left without any token to come, and dies. memory: a value follows every row
where it forks, waits and is looked at. draws: the scores depend on a draw of the row's own, so they are not to be had again
from its text. stateless: the text alone counts.
"""
