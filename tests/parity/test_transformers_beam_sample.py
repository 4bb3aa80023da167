"""Beam sampling gives the texts and scores of transformers' `generate` with num_beams and do_sample, given the same draws."""

from hashlib import blake2b

import numpy as np
import pytest

import unspool.strategies.beam_sample as ours

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

REFERENCE = f"transformers {transformers.__version__}"
LIMIT = 10
CASES = [
    ("", {}),
    ("log_softmax | temperature(0.6) | ", {"temperature": 0.6}),
    ("log_softmax | repetition_penalty(1.3) | temperature(1.7) | ", {"repetition_penalty": 1.3, "temperature": 1.7}),
]


def numbers_of(text, vocabulary):
    """A Gumbel number for every continuation of a text, the same on both sides."""
    seed = int.from_bytes(blake2b(str(list(map(int, text))).encode(), digest_size=8).digest(), "little")
    return np.random.default_rng(seed).gumbel(size=vocabulary)


@pytest.fixture
def shared(monkeypatch):
    """Both draw by the same numbers: theirs in place of `torch.multinomial`, which draws without replacement, too."""
    monkeypatch.setattr(ours, "noise", lambda f: np.asarray([numbers_of(f.tokens(i), f.vocabulary) for i in range(len(f))]))
    theirs = transformers.GenerationMixin._get_top_k_continuations

    def continuations(self, accumulated_log_probs, running_sequences, cur_len, **rest):
        rows = running_sequences[0, :, :cur_len].tolist()
        noise = torch.from_numpy(np.concatenate([numbers_of(row, self.config.vocab_size) for row in rows]))

        def multinomial(p, num_samples):
            return (p[0].double().log() + noise).topk(num_samples)[1][None]

        monkeypatch.setattr(torch, "multinomial", multinomial)
        return theirs(self, accumulated_log_probs, running_sequences, cur_len=cur_len, **rest)

    monkeypatch.setattr(transformers.GenerationMixin, "_get_top_k_continuations", continuations)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("width", "stopping", "penalty"), [(2, False, 1.0), (3, True, 0.0), (4, "never", 0.5), (4, True, 2.0)])
@pytest.mark.parametrize(("text", "settings"), CASES)
def test_equal_under_one_noise(
    seed, width, stopping, penalty, text, settings, shared, checkpoint, prompts_of, run, theirs_of, cut, tally
):
    model = checkpoint(seed)
    ends = tuple(model.likely[rank] for rank in (2, 5)[: seed % 3])
    prompts = prompts_of(width * 10 + seed, model.ours.vocabulary, 2)
    settings = settings | {"num_beams": width, "num_return_sequences": width, "length_penalty": penalty, "early_stopping": stopping}
    options = f"length_penalty={penalty}, early_stopping={stopping!r}, n={width}, renormalise={not text}"
    found, _ = run(model.ours, prompts, f"{text}beam_sample({width}, {options})", LIMIT, ends)
    for prompt, mine in zip(prompts, found, strict=True):
        their = theirs_of(model, prompt, LIMIT, ends, do_sample=True, top_k=0, **settings)
        scores = their.sequences_scores.numpy()
        real = scores > -1e8
        assert [h.tokens for h in mine] == [cut(row, prompt, ends) for row in their.sequences[torch.from_numpy(real)]]
        np.testing.assert_allclose([h.score for h in mine], scores[real], atol=1e-4, rtol=0)
        tally("beam sampling, with the same draws")
