"""A model object that the caller holds: used where it is, in its own number format, and left as it is."""

import copy
import inspect

import numpy as np
import pytest
from helpers.tables import Letters, run, table

import unspool as un
from unspool.models.hf import TransformersModel

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def letters():
    return Letters(24, specials=(2,))


def test_a_model_and_its_tokenizer_are_a_language_model(theirs):
    lm = un.load(theirs("stablelm"), tokenizer=letters())
    out = lm.generate("hello", "beam(2)", max_new_tokens=4)
    assert len(out.tokens) <= 4
    assert out.trace.model["backend"] == "transformers"
    assert out.trace.model["architecture"] == "stablelm"
    assert (out.trace.model["device"], out.trace.model["dtype"]) == ("cpu", "float32")
    assert lm.score("hello", "abc").logprob < 0
    assert len(lm.steps("hello", n=2)) == 2


def test_a_model_of_ours_may_be_given_too():
    lm = un.load(table(), tokenizer=Letters())
    assert lm.generate("ab", max_new_tokens=3).tokens


def test_nothing_of_it_is_changed(theirs):
    model = copy.deepcopy(theirs("gpt2"))
    model.train()
    model.transformer.h[0].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    config, settings = model.config.to_dict(), model.generation_config.to_dict()
    modes = [module.training for module in model.modules()]
    wanted = [p.requires_grad for p in model.parameters()]
    random = torch.get_rng_state()
    lm = un.load(model, tokenizer=letters())
    first = lm.generate("hello", "sample(2)", seed=3, max_new_tokens=5)
    assert [module.training for module in model.modules()] == modes
    assert [p.requires_grad for p in model.parameters()] == wanted
    assert all(p.grad is None for p in model.parameters())
    assert (model.config.to_dict(), model.generation_config.to_dict()) == (config, settings)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert lm.model.inner is model
    still = un.load(theirs("gpt2"), tokenizer=letters()).generate("hello", "sample(2)", seed=3, max_new_tokens=5)
    assert [s.tokens for s in first.sequences] == [s.tokens for s in still.sequences], "dropout was on"


def test_training_goes_on_after_an_error(theirs):
    model = copy.deepcopy(theirs("gpt2")).train()
    lm = un.load(model, tokenizer=letters())
    with pytest.raises(un.PromptError):
        lm.generate("a" * 100)
    with pytest.raises(RuntimeError), lm.model.still():
        raise RuntimeError
    assert all(module.training for module in model.modules())


def test_bfloat16(theirs):
    model = copy.deepcopy(theirs("llama")).to(torch.bfloat16)
    lm = un.load(model, tokenizer=letters())
    assert lm.model.caches
    session = lm.model.session()
    rows = session.extend([-1, -1], [[3, 4, 5], [6]])
    assert session.logits(rows).dtype == session.hidden(rows).dtype == torch.float32
    with torch.no_grad():
        expected = model(torch.tensor([[3, 4, 5]])).logits[0, -1].float()
    np.testing.assert_allclose(session.logits(rows)[0], expected, atol=0.1, rtol=0.05)
    assert model.dtype == torch.bfloat16
    for decoder in ("contrastive_search", "beam(2)", "top_p(0.9) | sample(2)"):
        assert run(lm.model, decoder, [[3, 4], [5]], 4)


def test_logits_are_remembered_where_the_head_does_more(theirs):
    """A head that no rule of ours describes: the model's own logits are kept for every token."""
    model = copy.deepcopy(theirs("gpt2"))
    inner = model.forward

    class Shifted(type(model)):
        def forward(self, *arguments, **options):
            out = inner(*arguments, **options)
            out.logits = out.logits * 0.5 + torch.arange(24) / 10
            return out

    model.__class__ = Shifted
    ours = TransformersModel(model)
    assert ours.head is None
    assert ours.gives_hidden
    assert ours.caches
    session = ours.session()
    rows = session.extend([-1], [[3, 4, 5]])
    rows = session.extend(rows[[0, 0]], [[6, 7], [8]])
    with torch.no_grad():
        expected = model(torch.tensor([[3, 4, 5, 6, 7]])).logits[0, -1]
    np.testing.assert_allclose(session.logits(rows)[0], expected, atol=1e-4)
    session.keep(rows[:1])
    assert len(session.answers) == 5


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("BertLMHeadModel", {"vocab_size": 24, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}, "no causal"),
        ("T5ForConditionalGeneration", {"vocab_size": 24, "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1}, "encoder-decoder"),
    ],
)
def test_others_are_refused_by_name(name, settings, says):
    cls = getattr(transformers, name)
    model = cls(cls.config_class(**settings))
    with pytest.raises(un.Unsupported, match=says) as caught:
        un.load(model, tokenizer=letters())
    assert name in str(caught.value)


def test_what_a_held_model_needs(theirs):
    model = theirs("gpt2")
    with pytest.raises(un.ParameterError, match="tokenizer="):
        un.load(model)
    with pytest.raises(un.ParameterError, match="leave out"):
        un.load(model, tokenizer=letters(), dtype="bfloat16")
    with pytest.raises(un.ParameterError, match="got int"):
        un.load(3)
    with pytest.raises(un.ParameterError, match="got dict"):
        un.load(model, tokenizer={})
    assert un.load(model, tokenizer=Letters(30)).tokenizer.size == 30      # more than the model has
    with pytest.raises(un.ModelError, match="token 24 is outside"):
        un.load(model, tokenizer=letters()).model.session().extend([-1], [[1, 24]])


@pytest.mark.parametrize("name", ["past_key_values", "cache"])
def test_a_cache_is_given_by_the_name_that_the_model_has_for_it(name, theirs):
    """transformers 5.24 calls it cache; code of other releases is run too. Here the whole model is asked, as its head is none of ours."""
    model = copy.deepcopy(theirs("llama"))
    inner = model.forward
    given = "cache" if "cache" in inspect.signature(inner).parameters else "past_key_values"

    def named(input_ids, mask, positions, use_cache, cache, options):
        out = inner(input_ids, attention_mask=mask, position_ids=positions, use_cache=use_cache, **{given: cache}, **options)
        out.logits = out.logits * 0.5
        return out

    class Newer(type(model)):
        def forward(self, input_ids, attention_mask=None, position_ids=None, use_cache=None, cache=None, **options):
            return named(input_ids, attention_mask, position_ids, use_cache, cache, options)

    class Older(type(model)):
        def forward(self, input_ids, attention_mask=None, position_ids=None, use_cache=None, past_key_values=None, **options):
            return named(input_ids, attention_mask, position_ids, use_cache, past_key_values, options)

    model.__class__ = Newer if name == "cache" else Older
    ours = TransformersModel(model)
    assert ours.caches
    assert ours.head is None
    session = ours.session()
    rows = session.extend(session.extend([-1], [[3, 4, 5]])[[0, 0]], [[6, 7], [8]])
    with torch.no_grad():
        expected = model(torch.tensor([[3, 4, 5, 6, 7]])).logits[0, -1]
    np.testing.assert_allclose(session.logits(rows)[0], expected, atol=1e-4)
