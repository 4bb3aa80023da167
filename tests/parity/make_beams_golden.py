"""Write tests/data/beams-4.49.json with transformers 4.49, the last minor release with group and constrained beams inside.

    PYTHONPATH=tests python tests/parity/make_beams_golden.py
"""

import json
import random
from pathlib import Path

import torch
import transformers
from helpers.checkpoints import in_transformers, tiny_gpt2, tiny_llama

KINDS = {"gpt2": tiny_gpt2, "llama": tiny_llama}
VOCABULARY, LIMIT, PAD = 24, 10, 0
"""The token that fills up is suppressed: a group that is done would count as taking it."""
SCALE = 0.5


def likely(model):
    """The tokens in the order of how likely they are on the whole, without the one that fills up."""
    with torch.no_grad():
        tokens = torch.arange(VOCABULARY * 8).reshape(32, 6) * 7 % VOCABULARY
        mean = model(tokens).logits.softmax(-1).mean((0, 1))
    return [t for t in mean.argsort(descending=True).tolist() if t != PAD]


def generated(model, prompt, **settings):
    """The hypotheses, best first, each with its score."""
    ends = settings.pop("eos_token_id")
    ids = torch.tensor([prompt])
    fixed = {"max_new_tokens": LIMIT, "do_sample": False, "pad_token_id": PAD, "suppress_tokens": [PAD], "output_scores": True}
    with torch.no_grad():
        found = model.generate(
            ids, attention_mask=torch.ones_like(ids), eos_token_id=ends or None, return_dict_in_generate=True, **fixed, **settings
        )
    for row, score in zip(found.sequences.tolist(), found.sequences_scores.tolist(), strict=True):
        new = row[len(prompt) :]
        at = next((i for i, t in enumerate(new) if t in ends), len(new) - 1)
        yield {"tokens": new[: at + 1], "score": round(score, 6)}


def cases():
    chance = random.Random(0)
    for seed in range(12):
        kind = ("gpt2", "llama")[seed % 2]
        model = in_transformers(*KINDS[kind](seed, vocabulary=VOCABULARY, scale=SCALE))
        tokens = likely(model)
        for _ in range(12):
            prompt = [chance.randrange(1, VOCABULARY) for _ in range(chance.randint(1, 5))]
            common = {"early_stopping": chance.choice([True, False, "never"]), "length_penalty": chance.choice([0.0, 0.5, 1.0, 2.0])}
            common["eos_token_id"] = [tokens[rank] for rank in (3, 6)[: chance.choice([0, 1, 1, 2])]]
            where = {"kind": kind, "seed": seed, "prompt": prompt}
            groups, each = chance.choice([(2, 1), (2, 2), (3, 1), (3, 2), (4, 1)])
            settings = common | {"num_beams": groups * each, "num_beam_groups": groups, "diversity_penalty": chance.choice([0.3, 1.0, 3.0])}
            settings["num_return_sequences"] = groups * each
            yield "groups", where | {"settings": settings, "found": list(generated(model, prompt, **settings))}
            free = [t for t in range(1, VOCABULARY) if t not in prompt and t not in common["eos_token_id"]]
            phrases = [chance.sample(free, chance.randint(1, 2)) for _ in range(chance.randint(1, 3))]
            words = [[p] if chance.random() < 0.6 else [p, [t for t in free if t not in p][:2]] for p in phrases]
            width = chance.choice([3, 4, 6])
            settings = common | {"num_beams": width, "num_return_sequences": 1, "force_words_ids": words}
            yield "constrained", where | {"settings": settings, "found": list(generated(model, prompt, **settings))}


if __name__ == "__main__":
    assert transformers.__version__.startswith("4.49."), transformers.__version__
    by_kind = {"groups": [], "constrained": []}
    for name, case in cases():
        by_kind[name].append(json.dumps(case))
    body = ",\n".join(f'"{name}": [\n' + ",\n".join(some) + "\n]" for name, some in by_kind.items())
    target = Path(__file__).parents[1] / "data" / "beams-4.49.json"
    target.write_text(f'{{"transformers": "{transformers.__version__}", "limit": {LIMIT}, "scale": {SCALE},\n{body}}}\n')
