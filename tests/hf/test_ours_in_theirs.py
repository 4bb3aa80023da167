"""Our processors and stops where transformers takes its own, and its criteria among ours: the same scores, the same ends."""

import numpy as np
import pytest
from helpers.tables import END, VOCABULARY, Letters, run, table
from laws.examples import processors, stops

import unspool as un
from unspool.testing.worlds import Definition
from unspool.transformers.ours import Follower

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

MODEL = table(3, VOCABULARY, end_tokens=(END,))
PROMPTS = [[1, 2, 3], [2], [0, 4, 1, 2]]
PAD = -7
PARTS = [p.resolve(Letters()) for some in processors().values() for p in some]
FOLLOWED = {str(p): p for p in PARTS if not p.reads_layers and not p.takes_back}


def batch(texts):
    """Rows of tokens, padded on the left."""
    widest = max(map(len, texts))
    return torch.tensor([[PAD] * (widest - len(t)) + list(t) for t in texts])


def logits(prompt, new):
    *_, (last, _) = Definition(MODEL, ()).along(prompt, new)
    return last


@pytest.mark.parametrize("name", FOLLOWED)
def test_scores_are_those_of_a_run_here(name, monkeypatch):
    """Rows grow, fork, die and change places as beams do; a second batch of prompts begins anew."""
    monkeypatch.setattr(Follower, "uniforms", lambda self, texts, purpose: np.zeros(len(texts)))
    part = FOLLOWED[name]
    (theirs,) = un.transformers.logits_processor(part, end_tokens=[END], pad_token_id=PAD)
    chance, native = np.random.default_rng(5), Definition(MODEL, [part], [END])
    for prompts in (PROMPTS, PROMPTS[::-1]):
        rows = [(p, []) for p in prompts for _ in range(2)]
        for _ in range(5):
            expected = [native.after(p, new)[1] for p, new in rows]
            scores = torch.tensor(np.stack([logits(p, new) for p, new in rows]), dtype=torch.float32)
            found = theirs(batch([[*p, *new] for p, new in rows]), scores.clone())
            found = found.double() - found.double().logsumexp(-1, keepdim=True).nan_to_num(neginf=0.0)
            np.testing.assert_allclose(found, np.stack(expected), atol=2e-4, rtol=1e-4)
            rows = [rows[i] for i in chance.integers(len(rows), size=len(rows))]
            rows = [(p, [*new, int(chance.integers(VOCABULARY - 1))]) for p, new in rows]


def test_a_chain_acts_in_its_order_inside_generate():
    from helpers.checkpoints import in_transformers, tiny_llama

    model, ids = in_transformers(*tiny_llama(4)), torch.tensor([[3, 4, 5], [6, 7, 8]])
    lm = un.LanguageModel(un.load(model, tokenizer=Letters(24, (2,))).model)
    for text in ("repetition_penalty(1.4) | no_repeat_ngram(1)", "min_new_tokens(3) | banned(7, (4, 5))", "mirostat(1.5)"):
        more = un.transformers.logits_processor(text, end_tokens=[2])
        settings = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 8, "eos_token_id": 2, "pad_token_id": 23}
        rows = model.generate(ids, logits_processor=more, **settings)[:, 3:].tolist()
        for row, out in zip(rows, lm.generate(ids.tolist(), f"{text} | greedy", max_new_tokens=8, end_tokens=[2]), strict=True):
            assert row[: len(out.tokens)] == out.tokens
        beams = model.generate(ids, logits_processor=more, num_beams=3, **settings)[:, 3:].tolist()
        found = lm.generate(ids.tolist(), f"log_softmax | {text} | beam(3, renormalise=False)", max_new_tokens=8, end_tokens=[2])
        assert [row[: len(out.tokens)] for row, out in zip(beams, found, strict=True)] == [out.tokens for out in found]


STOPS = {str(s): s.resolve(Letters()) for some in stops().values() for s in some}


@pytest.mark.parametrize("name", STOPS)
def test_stops_end_where_they_end_here(name):
    stop = STOPS[name]
    if stop.reads_logits:
        with pytest.raises(un.Unsupported, match="reads the model's logits"):
            un.transformers.stopping_criteria(stop)
        return
    (theirs,) = un.transformers.stopping_criteria(stop, vocabulary=VOCABULARY, pad_token_id=PAD)
    for seed in range(3):
        found = run(MODEL, un.Decoder((un.Sample(4), stop)), PROMPTS, 8, seed=seed, end_tokens=())
        for h in (h for some in found for h in some):
            prompt = PROMPTS[h.prompt]
            over = [bool(theirs(torch.tensor([[*prompt, *h.tokens[: n + 1]]]), None)[0]) for n in range(len(h.tokens))]
            assert over[:-1] == [False] * (len(over) - 1)
            assert over[-1] == (h.reason != "length" or len(h.tokens) < 8)


def test_their_criteria_end_texts_here():
    class Even(transformers.StoppingCriteria):
        def __call__(self, input_ids, scores, **_):
            return (input_ids == 1).sum(-1) >= 3

    for criteria in (Even(), [Even(), lambda ids, scores: False], transformers.StoppingCriteriaList([Even()])):
        for some in run(MODEL, un.Sample(3) | un.transformers.stop_criteria(criteria), PROMPTS, 30, seed=2):
            for h in some:
                counts = np.cumsum([t == 1 for t in [*PROMPTS[h.prompt], *h.tokens]])
                assert (counts[:-1] < 3).all()
                assert h.reason == ("stop" if counts[-1] >= 3 else "end")
    with pytest.raises(un.PartError, match="it answers for each row"):
        run(MODEL, un.Greedy() | un.transformers.stop_criteria(lambda ids, scores: [True, False]), PROMPTS)
    with pytest.raises(un.ParameterError, match="takes what is called"):
        un.transformers.stop_criteria(3)
    with pytest.raises(un.ParameterError, match="at least one"):
        un.transformers.stop_criteria([])


def test_what_does_not_fit_is_said():
    make = un.transformers.logits_processor
    for text, says in (("beam(4)", "takes processors alone; beam"), ("top_k(4) | sample | end(3)", "sample, end.3. is none of them")):
        with pytest.raises(un.ParameterError, match=says):
            make(text)
    with pytest.raises(un.ParameterError, match="takes stops alone; top_k"):
        un.transformers.stopping_criteria("top_k(4) | end(3)")
    with pytest.raises(un.Unsupported, match="needs the model itself"):
        make("dola(2)")
    with pytest.raises(un.ParameterError, match="reads the end tokens: give end_tokens"):
        make("min_new_tokens(3)")
    assert isinstance(make("top_k(4)"), transformers.LogitsProcessorList)
    assert isinstance(un.transformers.stopping_criteria("end(3)"), transformers.StoppingCriteriaList)


def test_a_config_and_back():
    config = transformers.GenerationConfig(do_sample=True, temperature=0.7, top_k=0, top_p=0.9, guidance_scale=2.0, max_new_tokens=9)
    found = un.transformers.from_config(config)
    assert str(found.decoder) == "temperature(0.7) | top_p(0.9) | sample"
    assert found.options == {"max_new_tokens": 9}
    assert [(note.setting, note.severity) for note in found.lost] == [("guidance_scale", "lost")]
    back, told = un.transformers.to_config(found.decoder, **found.options)
    assert isinstance(back, transformers.GenerationConfig)
    assert (back.do_sample, back.temperature, back.top_p, back.max_new_tokens) == (True, 0.7, 0.9, 9)
    assert not told.lost
    assert str(un.transformers.from_config(back).decoder) == str(found.decoder)
    with pytest.raises(un.Unsupported, match="transformers has nothing like exact"):
        un.transformers.to_config("exact(3)")
    assert str(un.transformers.from_config({"num_beams": 4, "early_stopping": "".join(["ne", "ver"])}).decoder).endswith("'never')")


def test_without_transformers_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    for call in (lambda: un.transformers.logits_processor("top_k(3)"), lambda: un.transformers.to_config("greedy")):
        with pytest.raises(un.MissingExtra, match=r"pip install 'unspool\[transformers\]'"):
            call()
