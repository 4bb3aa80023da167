"""Write tests/data/dola-4.49.json with transformers 4.49, the last minor release with DoLa inside.

    PYTHONPATH=tests python tests/parity/make_dola_golden.py
"""

import json
import random
from pathlib import Path

import torch
import transformers
from helpers.checkpoints import in_transformers, tiny_gpt2, tiny_llama

KINDS = {"gpt2": tiny_gpt2, "llama": tiny_llama}
VOCABULARY, LIMIT, SCALE = 24, 8, 0.3
GIVEN = ["low", "high", [1, 2], [0, 1, 3], [3], [2, 99]]


def model_of(kind, seed, layers):
    return in_transformers(*KINDS[kind](seed, layers=layers, vocabulary=VOCABULARY, scale=SCALE))


def generated(model, prompts, given, penalty):
    """Of prompts that are equally long the new tokens of each and, for every new token, the scores of those that were plausible."""
    ids = torch.tensor(prompts)
    fixed = {"max_new_tokens": LIMIT, "do_sample": False, "pad_token_id": 0, "output_scores": True, "return_dict_in_generate": True}
    found = model.generate(ids, attention_mask=torch.ones_like(ids), dola_layers=given, repetition_penalty=penalty, **fixed)
    tokens = found.sequences[:, ids.shape[1] :].tolist()
    scores = [[{t: round(s, 5) for t, s in enumerate(step[row].tolist()) if s > -1e30} for step in found.scores] for row in range(len(ids))]
    return tokens, scores


def cases():
    chance = random.Random(0)
    for seed in range(8):
        kind, layers = ("gpt2", "llama")[seed % 2], (4, 6)[seed // 2 % 2]
        model = model_of(kind, seed, layers)
        for given in GIVEN:
            for penalty in (1.0, 1.2):
                prompt = [chance.randrange(1, VOCABULARY) for _ in range(chance.randint(1, 5))]
                (text,), (scores,) = generated(model, [prompt], given, penalty)
                where = {"kind": kind, "seed": seed, "layers": layers, "given": given, "penalty": penalty}
                yield where | {"prompt": prompt, "text": text, "scores": scores}


def together():
    """Prompts beside each other, and each alone."""
    chance = random.Random(1)
    for seed in range(8):
        kind = ("gpt2", "llama")[seed % 2]
        model = model_of(kind, seed, 6)
        prompts = [[chance.randrange(1, VOCABULARY) for _ in range(3)] for _ in range(4)]
        alone = [generated(model, [prompt], [1, 3, 5], 1.0)[0][0] for prompt in prompts]
        yield {"kind": kind, "seed": seed, "prompts": prompts, "together": generated(model, prompts, [1, 3, 5], 1.0)[0], "alone": alone}


def refused():
    """What "low" of a GPT-2 of three layers says, and what layer -1 says."""
    try:
        generated(model_of("gpt2", 0, 3), [[1]], "low", 1.0)
    except RuntimeError as error:
        low = str(error)
    return {"low of three layers": low, "layer -1": generated(model_of("gpt2", 0, 4), [[1, 2]], [-1], 1.0)[1][0]}


if __name__ == "__main__":
    assert transformers.__version__.startswith("4.49."), transformers.__version__
    lists = {"cases": cases(), "together": together()}
    body = ",\n".join(f'"{name}": [\n' + ",\n".join(map(json.dumps, some)) + "\n]" for name, some in lists.items())
    target = Path(__file__).parents[1] / "data" / "dola-4.49.json"
    head = f'"transformers": "{transformers.__version__}", "limit": {LIMIT}, "scale": {SCALE}'
    target.write_text(f'{{{head}, "odd": {json.dumps(refused())},\n{body}}}\n')
