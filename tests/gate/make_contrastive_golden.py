"""Write tests/data/contrastive-4.49.json with transformers 4.49, the last minor release with contrastive search inside.

    PYTHONPATH=tests python tests/gate/make_contrastive_golden.py
"""

import json
from pathlib import Path

import numpy as np
import torch
import transformers
from helpers.checkpoints import in_transformers, tiny_gpt2, tiny_llama

KINDS = {"gpt2": tiny_gpt2, "llama": tiny_llama}
CHECKPOINTS = [(kind, {"seed": seed, "scale": scale}) for kind in KINDS for seed, scale in enumerate([0.2, 0.35, 0.35, 0.5, 0.5])]
SETTINGS = [(1, 0.6), (2, 0.3), (3, 0.6), (4, 0.0), (4, 0.6), (5, 0.9), (6, 0.5), (6, 1.0)]
NEW = 10


def cases():
    for number, (kind, checkpoint) in enumerate(CHECKPOINTS):
        model = in_transformers(*KINDS[kind](**checkpoint))
        rng = np.random.default_rng(number)
        prompts = [rng.integers(0, 24, n).tolist() for n in (1, 3, 6)]
        for k, alpha in SETTINGS:
            texts = []
            for prompt in prompts:
                ids = torch.tensor([prompt])
                options = {"penalty_alpha": alpha, "top_k": k, "max_new_tokens": NEW, "do_sample": False, "pad_token_id": 0}
                found = model.generate(ids, attention_mask=torch.ones_like(ids), **options)
                texts.append(found[0, len(prompt) :].tolist())
            yield {"kind": kind, "checkpoint": checkpoint, "k": k, "alpha": alpha, "prompts": prompts, "texts": texts}


if __name__ == "__main__":
    assert transformers.__version__.startswith("4.49."), transformers.__version__
    lines = ",\n".join(json.dumps(case) for case in cases())
    target = Path(__file__).parents[1] / "data" / "contrastive-4.49.json"
    target.write_text(f'{{"transformers": "{transformers.__version__}", "new": {NEW}, "cases": [\n{lines}\n]}}\n')
