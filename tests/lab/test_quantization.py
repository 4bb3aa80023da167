"""The price of fewer bits: what it is made of, on models small enough to compute it by hand."""

import numpy as np
import pytest
from helpers.checkpoints import tiny_gpt2
from helpers.program import out

import unspool as un
from unspool.kernels import library
from unspool.lab import quantization
from unspool.lab.quantization import price
from unspool.models.compiled.model import CompiledTransformer
from unspool.models.reading import read_transformer
from unspool.text import TokenIds

pytestmark = pytest.mark.skipif(not library.variants(), reason="the kernels are not built")
TEXT = [5, 3, 8, 1, 1, 9, 20, 4, 7, 2, 2, 6, 13]
WORDS = " ".join(map(str, TEXT))


class Begins(TokenIds):
    """Token ids, with a start token before a text."""

    def encode_prompt(self, text):
        return [23, *self.encode(text)]


@pytest.fixture(params=[None, 23], ids=["without a start token", "with one"])
def pair(request):
    """A model in float32 and in int4, the first token of its texts, and their log-probabilities."""
    plain = read_transformer("gpt2", *tiny_gpt2(3))
    tokenizer = Begins(24) if request.param else None
    return [un.LanguageModel(CompiledTransformer(plain, kind), tokenizer) for kind in ("float32", "int4")], request.param


def rows_of(model, tokens):
    """Log-probabilities after each token but the last."""
    session = model.session()
    row = session.extend([-1], [tokens[:-1]], every=True)
    logits = np.asarray(session.logits(session.nodes.path(int(row[0]))), np.float64)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


@pytest.mark.parametrize("size", [100, 5, 2])
def test_every_token_of_a_text_is_counted_once_in_windows_that_begin_as_a_text_does(size, pair, monkeypatch):
    (plain, packed), start = pair
    monkeypatch.setattr(quantization, "READ_AT_ONCE", size)
    monkeypatch.setattr(quantization, "COMPARED_AT_ONCE", 3)
    step, costs, divergences, same = size - 1, np.zeros(2), [], []
    for first in range(0 if start else 1, len(TEXT), step):
        new = TEXT[first : first + step]
        p, q = (rows_of(lm.model, [start or TEXT[first - 1], *new]) for lm in (plain, packed))
        costs -= [of[np.arange(len(new)), new].sum() for of in (p, q)]
        divergences += (np.exp(p) * (p - q)).sum(-1).tolist()
        same += (p.argmax(-1) == q.argmax(-1)).tolist()
    found = price(plain, packed, "int4", WORDS)
    assert found.tokens == len(divergences) == len(TEXT) - (not start)
    assert found.mean_kl == pytest.approx(np.mean(divergences))
    assert found.kl_99 == pytest.approx(np.quantile(divergences, 0.99))
    assert found.same_top == np.mean(same)
    assert (found.plain_perplexity, found.perplexity) == pytest.approx(tuple(np.exp(costs / len(divergences))))
    assert found.bytes < found.plain_bytes


def test_a_model_costs_nothing_beside_itself(pair):
    plain = pair[0][0]
    found = price(plain, plain, "float32", WORDS)
    assert (found.mean_kl, found.same_top, found.perplexity) == (0, 1, found.plain_perplexity)


def test_the_bundled_model_s_texts_begin_with_its_start_token(tmp_path):
    (tmp_path / "text.txt").write_text("Once upon a time")
    lm = un.load(backend="compiled")
    tokens = lm.tokenizer.encode_prompt("Once upon a time")
    begins = len(lm.tokenizer.encode_prompt(""))
    said = out("quantize", "--dtype", "int8", "--text", str(tmp_path / "text.txt"), "-o", "json")
    assert f'"tokens": {len(tokens) - max(begins, 1)}' in said


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_a_model_whose_logits_are_no_numbers_has_no_price(value, which):
    """Neither the one that is packed nor the one that it is compared with."""
    config, weights = tiny_gpt2(3)
    held = [weights, weights | {"ln_f.bias": np.full_like(weights["ln_f.bias"], value)}]
    pair = [un.LanguageModel(CompiledTransformer(read_transformer("gpt2", config, one))) for one in (held if which else held[::-1])]
    with pytest.raises(un.ModelError, match=r"logits hold NaN or infinity, and so do its weights transformer\.ln_f\.bias"):
        price(*pair, "float32", WORDS)
