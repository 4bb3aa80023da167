"""Where transformers parts from its own definition. A test that fails here is good news: the page of parity changes."""

import numpy as np
import pytest
from helpers.checkpoints import in_transformers, tiny_gpt2

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

REFERENCE = f"transformers {transformers.__version__}"


def generated(model, prompt, **settings):
    ids = torch.tensor([prompt])
    settings |= {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0, "return_dict_in_generate": True, "output_scores": True}
    with torch.no_grad():
        return model.generate(ids, attention_mask=torch.ones_like(ids), **settings)


def guided(model, scale, prompt, new, renormalise):
    """The sum of a text's scores under guidance, whose other branch begins with the prompt's last token."""
    total = 0.0
    for i, token in enumerate(new):
        with torch.no_grad():
            p, q = (model(torch.tensor([[*begin, *new[:i]]])).logits[0, -1].double().log_softmax(-1) for begin in (prompt, prompt[-1:]))
        mixed = q + scale * (p - q)
        total += float((mixed.log_softmax(-1) if renormalise else mixed)[token])
    return total


def test_guidance_under_beams(tally):
    model = in_transformers(*tiny_gpt2(0))
    errors = {}
    for width in (1, 3):
        out = generated(model, [3, 8, 11], guidance_scale=3.0, num_beams=width, length_penalty=0.0)
        new = out.sequences[0, 3:].tolist()
        steps = [float(s[0].log_softmax(-1)[t]) for s, t in zip(out.scores, new, strict=True)]
        score = sum(steps) if width == 1 else float(out.sequences_scores[0])
        errors[width] = abs(score - guided(model, 3.0, [3, 8, 11], new, renormalise=width == 1))
    assert errors[1] < 1e-3 < 0.1 < errors[3]
    tally.defect(
        "guidance under beam search",
        "the cache of its second branch is not reordered with the beams, so their scores are not those of their texts; every hypothesis of "
        "ours has its own",
    )


def test_guidance_beside_drafts(tally):
    """Where it draws up a draft, the text is another than that of greedy search, or there is an error."""
    wrong = 0
    for seed in range(4):
        model, draft = (in_transformers(*tiny_gpt2(s)) for s in (seed, seed + 50))
        greedy = generated(model, [3, 8, 11], guidance_scale=3.0).sequences.tolist()
        try:
            wrong += generated(model, [3, 8, 11], guidance_scale=3.0, assistant_model=draft).sequences.tolist() != greedy
        except IndexError:
            wrong += 1
    assert wrong >= 3
    tally.defect(
        "guidance beside drafts",
        "its second branch is grown once for each drafted place: the text is not that without a draft, or an IndexError ends it; ours is",
    )


def test_early_exit_of_gpt2(tally):
    """Early exit as a draft leaves the model with fewer layers after an error."""
    model = in_transformers(*tiny_gpt2(0))
    layers = model.config.num_hidden_layers
    with pytest.raises(IndexError):
        generated(model, [3, 8, 11], assistant_early_exit=1)
    assert model.config.num_hidden_layers != layers
    tally.defect(
        "early exit of GPT-2 as its own draft",
        "`assistant_early_exit` raises an IndexError and leaves the model's configuration with one layer, so that later calls fail too",
    )


def test_eager_attention_of_falcon(tally):
    logits = []
    for attention in ("eager", "sdpa"):
        torch.manual_seed(1)
        shape = {"vocab_size": 31, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "alibi": True, "multi_query": False}
        model = transformers.FalconForCausalLM(transformers.FalconConfig(**shape, attn_implementation=attention)).eval()
        for weight in model.parameters():
            weight.data = torch.randn_like(weight) * 0.3
        with torch.no_grad():
            logits.append(model(torch.tensor([[3, 8, 11, 4, 5, 9]])).logits.numpy())
    assert np.abs(logits[0] - logits[1]).max() > 1e-2
    tally.defect("ALiBi of Falcon", "its eager attention adds the bias of positions twice, its default one once; ours is the default")


def test_a_row_draws_what_its_neighbours_leave(tally):
    model = in_transformers(*tiny_gpt2(0))
    texts = []
    for batch in ([[3, 8, 11]], [[5, 5, 2], [3, 8, 11]]):
        torch.manual_seed(0)
        ids = torch.tensor(batch)
        with torch.no_grad():
            out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=True, top_k=0, max_new_tokens=12, pad_token_id=0)
        texts.append(out[-1].tolist())
    assert texts[0] != texts[1]
    tally.difference(
        "what a seed means",
        "theirs draws from one stream for the whole batch, so a text depends on its neighbours; here every text has its own, whatever runs "
        "beside it",
    )


def test_beams_are_filled_up_with_the_end_token(tally):
    """Texts that ended early are filled up with the first end token in place of the pad token, if that is 0."""
    model, short = in_transformers(*tiny_gpt2(0)), []
    for prompt in ([3, 8, 11], [5, 5, 2], [7]):
        probe = generated(model, prompt, num_beams=3).sequences[0, len(prompt) :].tolist()
        rows = generated(model, prompt, num_beams=3, num_return_sequences=3, eos_token_id=probe[1], early_stopping=True).sequences
        short += [new for row in rows.tolist() if probe[1] in (new := row[len(prompt) :])[:-1]]
    assert short
    assert all(new[-1] == new[-2] != 0 for new in short)
    tally.defect(
        "filling up under beam search",
        "where the pad token is 0, texts that ended are filled up with the end token in its place; ours have no filling",
    )


def test_a_stream_beside_beam_sampling_stays_empty(tally):
    model, told = in_transformers(*tiny_gpt2(0)), []

    class Listener:
        def put(self, value):
            told.append(value.tolist())

        def end(self):
            told.append("end")

    ids = torch.tensor([[3, 8, 11]])
    with torch.no_grad():
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), num_beams=2, do_sample=True, max_new_tokens=4, pad_token_id=0, streamer=Listener()
        )
    assert out.shape[1] == 7
    assert told == [[[3, 8, 11], [3, 8, 11]]]
    tally.defect(
        "a streamer beside beam sampling",
        "it hears the prompt, once for each beam, and nothing more, not even the end; here a search says that it does not stream",
    )
