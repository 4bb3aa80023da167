"""Processors of a user's own that read early layers or several models, against the definition from scratch, under every kind of search."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from helpers.checkpoints import tiny_gpt2
from helpers.layered import END, transformer
from helpers.tables import BACKENDS, normalised, run, same, texts

import unspool as un
from unspool.arrays import Array, log_softmax, namespace, or_zero
from unspool.core.model import Model
from unspool.models.toy import TableModel

VOCABULARY = 24
PROMPTS = [[1, 2, 3], [7], [4, 4, 9, 0, 2]]


@dataclass(frozen=True)
class Layers(un.Processor):
    """DoLa (Chuang et al. 2024, arXiv 2309.03883): log p(v) - log q(v) for tokens with p(v) >= alpha * max p; q an early layer's.

    Of several layers the one whose distribution is farthest from the last by the Jensen-Shannon divergence.
    """

    name = "test_layers"
    reads_layers: tuple[int, ...] = (1,)
    alpha: float = 0.1

    def process(self, rows: un.Rows, scores: Array, memory: object = None) -> Array:
        xp, last = namespace(scores), log_softmax(scores)
        early = xp.stack([log_softmax(logits) for logits in rows.layers])                    # (L, R, V)
        middle = xp.log((xp.exp(last) + xp.exp(early)) / 2)
        apart = xp.sum(xp.exp(last) * or_zero(last - middle) + xp.exp(early) * (early - middle), axis=-1)
        farthest = xp.argmax(apart, axis=0)                                                  # (R,)
        chosen = xp.stack([early[int(layer), r] for r, layer in enumerate(farthest)])
        likely = last >= xp.max(last, axis=-1, keepdims=True) + np.log(self.alpha)
        return xp.where(likely, last - chosen, -xp.inf)


@dataclass(frozen=True)
class Together(un.Processor):
    """The mean of several models' log-probabilities: the model's own and those of its companions."""

    name = "test_together"
    others: tuple[Model, ...]

    def companions(self) -> Sequence[Model]:
        return self.others

    def process(self, rows: un.Rows, scores: Array, memory: object = None) -> Array:
        return sum((log_softmax(logits) for logits in rows.companions), log_softmax(scores)) / (1 + len(rows.companions))


def cut(model, layers):
    """The model as if it ended after so many layers, under its own final norm and head."""
    return replace(model, blocks=model.blocks[:layers], rules=model.rules[:layers])


def logits_of(model, tokens):
    """From scratch."""
    session = model.session()
    return np.asarray(session.logits(session.extend([-1], [list(tokens)])))[0].astype(np.float64)


def log_p(logits):
    return logits - np.logaddexp.reduce(logits)


def contrasted(model, layers, alpha):
    """The definition over models that are cut, as a model: its answers are what the processor should make of the whole one."""
    exits = [cut(model, layer) for layer in layers]

    def probabilities(tokens):
        last, early = log_p(logits_of(model, tokens)), [log_p(logits_of(one, tokens)) for one in exits]

        def apart(other):
            middle = (np.exp(last) + np.exp(other)) / 2
            return sum((np.exp(one) * (one - np.log(middle))).sum() for one in (last, other))

        found = np.where(last >= last.max() + np.log(alpha), last - max(early, key=apart), -np.inf)
        return np.exp(found - found.max())

    return TableModel(probabilities, VOCABULARY, end_tokens=(END,))


def mixed(models):
    """The mean of the models' log-probabilities, from scratch, as a model."""
    return TableModel(lambda tokens: np.exp(sum(log_p(logits_of(m, tokens)) for m in models) / len(models)), VOCABULARY, end_tokens=(END,))


SEARCHES = [un.Greedy(), un.Beam(3, n=3), un.Beam(4, 0.0, "never", n=2), un.Sample(3), un.ContrastiveSearch(3, 0.0), un.StochasticBeam(3)]
SEARCHES += [un.Exact(2)]
CASES = {"one layer": ((2,), 0.1), "the first": ((1,), 0.3), "chosen of three": ((1, 2, 3), 0.1), "in another order": ((3, 1), 0.05)}


def agree(found, expected):
    """The same texts with the same processed log-probabilities and scores."""
    for mine, their in zip(found, expected, strict=True):
        assert texts(mine) == texts(their)
        for one, other in zip(mine, their, strict=True):
            np.testing.assert_allclose(one.processed, other.processed, atol=2e-4)
            np.testing.assert_allclose(one.score, other.score, atol=1e-3)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_early_logits_are_those_of_the_model_that_ends_there(kind, backend):
    """Of rows that fork, and wait, and are grown by chains; those of several trees together too."""
    model, rng = transformer(kind, 1, backend), np.random.default_rng(0)
    session = model.session(un.Plan(layers=(1, 3)))
    rows = [(int(row), list(prompt)) for row, prompt in zip(session.extend([-1] * 3, PROMPTS), PROMPTS, strict=True)]
    for _ in range(12):
        at = rng.integers(0, len(rows), 3)
        chains = [rng.integers(0, VOCABULARY, rng.integers(1, 4)).tolist() for _ in at]
        new = session.extend([rows[i][0] for i in at], chains)
        rows += [(int(row), rows[i][1] + chain) for row, i, chain in zip(new, at, chains, strict=True)]
        rows = [rows[i] for i in sorted(rng.choice(len(rows), min(len(rows), 7), replace=False))]
        session.keep([row for row, _ in rows])
        for layer in (1, 3, None):
            early = np.asarray(session.logits([row for row, _ in rows], layer))
            one = model if layer is None else cut(model, layer)
            np.testing.assert_allclose(early, [logits_of(one, text) for _, text in rows], atol=1e-4)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("search", SEARCHES, ids=str)
def test_layers_are_compared_as_the_definition_says(kind, case, search):
    layers, alpha = CASES[case]
    for seed in range(3):
        model = transformer(kind, seed)
        found = run(model, un.Decoder((Layers(layers, alpha), search)), PROMPTS, 6)
        agree(found, run(contrasted(model, layers, alpha), search, PROMPTS, 6))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("search", ["beam", "speculation", "looks"])
def test_numpy_is_torch(search, backend):
    def found(kind):
        draft = transformer("llama", 5, kind)
        how = {"beam": un.Beam(3, n=3), "speculation": un.Speculative(draft, 3), "looks": un.ContrastiveSearch(3)}[search]
        return run(transformer("llama", 4, kind), un.Decoder((Layers((1, 3)), how)), PROMPTS, 5)

    for one, other in zip(found(backend), found("numpy"), strict=True):
        same(one, other, 2e-3)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("case", ["one layer", "chosen of three"])
@pytest.mark.parametrize("tokens", [1, 3, 5])
def test_speculation_looks_at_layers_too(kind, case, tokens):
    """Greedy texts are greedy search's; drawn ones have its distribution's support and numbers."""
    layers, alpha = CASES[case]
    for seed in range(4):
        model, draft = transformer(kind, seed), transformer(kind, seed + 1)
        part = Layers(layers, alpha)
        plain = run(model, un.Decoder((part, un.Temperature(0), un.Greedy())), PROMPTS, 9)
        fast = run(model, un.Decoder((part, un.Temperature(0), un.Speculative(draft, tokens))), PROMPTS, 9)
        for one, other in zip(plain, fast, strict=True):
            same(one, other, 2e-4)
        reference = contrasted(model, layers, alpha)
        for prompt, some in zip(PROMPTS, run(model, un.Decoder((part, un.Speculative(draft, tokens))), PROMPTS, 9), strict=True):
            text, told = list(prompt), []
            for token in some[0].tokens:
                told.append(np.log(normalised(reference.probabilities(tuple(text)))[token]))
                text.append(token)
            np.testing.assert_allclose(some[0].processed, told, atol=2e-4)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_with_what_remembers_and_stops(kind):
    """Beside a processor with a memory that reads what enters it, in either order, and stops that end texts early."""
    model = transformer(kind, 2)
    reference = contrasted(model, (1, 2), 0.1)
    rest = un.Mirostat(1.5, eta=0.5) | un.Sample(3) | un.End(5, 6)
    agree(run(model, Layers((1, 2)) | rest, PROMPTS, 7), run(reference, rest, PROMPTS, 7))
    own = run(model, Layers((1, 2)) | un.RepetitionPenalty(1.3) | un.Beam(3, n=2), PROMPTS, 7)
    again = run(model, un.Decoder((Layers((1, 2)), un.RepetitionPenalty(1.3), un.Beam(3, n=2))), PROMPTS[::-1], 7)[::-1]
    for one, other in zip(own, again, strict=True):
        same(one, other, 2e-4)                                           # whatever runs beside it


def test_two_that_read_other_layers_each_see_their_own():
    model = transformer("llama", 3)
    both = run(model, Layers((1,), 0.5) | Layers((3,), 0.5) | un.Beam(2, n=2), PROMPTS, 5)

    def probabilities(tokens):
        first = np.log(contrasted(model, (1,), 0.5).probabilities(tokens) + 1e-300)
        last, early = log_p(first), log_p(logits_of(cut(model, 3), tokens))
        found = np.where(last >= last.max() + np.log(0.5), last - early, -np.inf)
        return np.exp(found - found.max())

    agree(both, run(TableModel(probabilities, VOCABULARY, end_tokens=(END,)), un.Beam(2, n=2), PROMPTS, 5))


@pytest.mark.parametrize(("layers", "told"), [((4,), "layer 4"), ((0,), "layer 0"), ((1, 9), "layer 9"), ((-1,), "layer -1")])
def test_layers_that_are_not_there_are_named(layers, told):
    with pytest.raises(un.ModelError, match=f"{told} is none between the layers of this model: it has 4"):
        run(transformer("gpt2"), Layers(layers) | un.Greedy(), PROMPTS, 3)


def test_models_of_transformers_give_layers_if_they_show_their_states():
    """And their norm can be found (tests/hf/test_custom_generate.py compares them with our own)."""
    pytest.importorskip("transformers")
    from helpers.checkpoints import in_transformers

    from unspool.models.hf import TransformersModel

    model = TransformersModel(in_transformers(*tiny_gpt2(0, layers=4)))
    assert run(model, "dola((1, 3)) | greedy", [[1, 2]], 3)
    with pytest.raises(un.ModelError, match="layer 4 is none"):
        run(model, "dola(4) | greedy", [[1, 2]], 3)
    model.early = None
    with pytest.raises(un.Unsupported, match=r"session gives no layers, which test_layers needs"):
        run(model, un.Temperature(0.5) | Layers() | un.Greedy(), [[1, 2]], 3)


def test_bare_arrays_hold_no_layers_and_no_companions():
    for part in (Layers(), Together((transformer("gpt2"),))):
        with pytest.raises(TypeError, match="needs more than the tokens"):
            part(np.asarray([[1, 2]]), np.zeros((1, VOCABULARY), np.float32))


@pytest.mark.parametrize("search", SEARCHES, ids=str)
@pytest.mark.parametrize("kinds", [("gpt2", "gpt2", "gpt2"), ("llama", "gpt2", "llama")])
def test_several_companions_go_where_the_rows_go(search, kinds):
    """The mean of three models' log-probabilities is the definition's, from scratch."""
    for seed in range(2):
        one, *others = (transformer(kind, 10 * i + seed) for i, kind in enumerate(kinds))
        found = run(one, un.Decoder((Together(tuple(others)), search)), PROMPTS, 6)
        agree(found, run(mixed([one, *others]), search, PROMPTS, 6))


def test_companions_beside_layers_and_speculation():
    one, two, three, draft = (transformer("gpt2", seed) for seed in range(4))
    decoder = un.Decoder((Together((two, three)), un.Temperature(0), un.Speculative(draft, 3)))
    plain = run(mixed([one, two, three]), un.Greedy(), PROMPTS, 8)
    assert [texts(some) for some in run(one, decoder, PROMPTS, 8)] == [texts(some) for some in plain]
    both = run(one, Layers((1, 2)) | Together((two, three)) | un.Beam(3, n=2), PROMPTS, 5)
    reference = contrasted(one, (1, 2), 0.1)

    def probabilities(tokens):
        with np.errstate(divide="ignore"):
            parts = [np.log(normalised(reference.probabilities(tokens))), *(log_p(logits_of(m, tokens)) for m in (two, three))]
        return np.exp(sum(parts) / 3)

    agree(both, run(TableModel(probabilities, VOCABULARY, end_tokens=(END,)), un.Beam(3, n=2), PROMPTS, 5))
