"""Write tests/data/patience-ctranslate2.json with CTranslate2, whose beam search has patience.

    PYTHONPATH=tests python tests/parity/make_patience_golden.py
"""

import json
import random
import tempfile
from pathlib import Path

import ctranslate2
import numpy as np
from ctranslate2.specs import TransformerDecoderModelSpec, common_spec
from helpers.checkpoints import tiny_gpt2

VOCABULARY, LIMIT, SCALE, END = 24, 10, 0.5, 6
NAMES = [f"t{i}" for i in range(VOCABULARY)]


def normed(spec, weights, name):
    spec.gamma, spec.beta = weights[f"{name}.weight"], weights[f"{name}.bias"]


def linear(spec, weights, name):
    spec.weight, spec.bias = np.ascontiguousarray(weights[f"{name}.weight"].T), weights[f"{name}.bias"]


def generator(seed, folder):
    """The checkpoint as a model of theirs."""
    config, w = tiny_gpt2(seed, vocabulary=VOCABULARY, scale=SCALE)
    spec = TransformerDecoderModelSpec.from_config(
        config["n_layer"], config["n_head"], pre_norm=True, activation=common_spec.Activation.GELUTanh
    )
    decoder = spec.decoder
    decoder.scale_embeddings = False
    decoder.embeddings.weight, decoder.position_encodings.encodings = w["wte.weight"], w["wpe.weight"]
    decoder.projection.weight = w["wte.weight"]
    normed(decoder.layer_norm, w, "ln_f")
    for i, layer in enumerate(decoder.layer):
        normed(layer.self_attention.layer_norm, w, f"h.{i}.ln_1")
        linear(layer.self_attention.linear[0], w, f"h.{i}.attn.c_attn")
        linear(layer.self_attention.linear[1], w, f"h.{i}.attn.c_proj")
        normed(layer.ffn.layer_norm, w, f"h.{i}.ln_2")
        linear(layer.ffn.linear_0, w, f"h.{i}.mlp.c_fc")
        linear(layer.ffn.linear_1, w, f"h.{i}.mlp.c_proj")
    spec.register_vocabulary(NAMES)
    spec.config.bos_token, spec.config.eos_token, spec.config.unk_token = NAMES[1], NAMES[END], NAMES[0]
    spec.validate()
    spec.save(folder)
    return ctranslate2.Generator(folder, device="cpu", compute_type="float32")


def cases():
    chance = random.Random(0)
    for seed in range(8):
        with tempfile.TemporaryDirectory() as folder:
            model = generator(seed, folder)
            for _ in range(12):
                prompt = [chance.choice([t for t in range(VOCABULARY) if t != END]) for _ in range(chance.randint(1, 5))]
                width = chance.choice([2, 3, 4])
                settings = {"beam_size": width, "patience": chance.choice([0.5, 1.0, 1.5, 2.0]), "num_hypotheses": 1}
                settings["length_penalty"] = chance.choice([0.5, 1.0, 2.0])
                (found,) = model.generate_batch(
                    [[NAMES[t] for t in prompt]], max_length=LIMIT, return_scores=True, include_prompt_in_result=False, **settings
                )
                yield {"seed": seed, "prompt": prompt, "settings": settings, "tokens": found.sequences_ids[0], "score": found.scores[0]}


if __name__ == "__main__":
    head = json.dumps({"ctranslate2": ctranslate2.__version__, "limit": LIMIT, "scale": SCALE, "end": END})[:-1]
    body = ",\n".join(json.dumps(case) for case in cases())
    (Path(__file__).parents[1] / "data" / "patience-ctranslate2.json").write_text(f'{head}, "cases": [\n{body}\n]}}\n')
