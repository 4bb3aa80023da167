"""Write what the installed transformers answers where it parts from its own definitions into tests/data/defects-transformers.json.

    PYTHONPATH=tests python tests/parity/make_defects_golden.py

The answers of other versions in the file stay as they are. test_defects.py says what is wrong with each.
"""

import json
from pathlib import Path

import torch
import transformers
from helpers.checkpoints import in_transformers, tiny_gpt2

TARGET = Path(__file__).parents[1] / "data" / "defects-transformers.json"
PROMPTS = [[3, 8, 11], [5, 5, 2], [7]]
SEEDS = [0, 1, 2, 3]
SCALE = 3.0


def generated(model, prompts, **settings):
    """Rows of tokens with scores, or the name of the error."""
    ids = torch.tensor(prompts)
    fixed = {"max_new_tokens": 8, "pad_token_id": 0, "do_sample": False, "return_dict_in_generate": True, "output_scores": True}
    with torch.no_grad():
        return model.generate(ids, attention_mask=torch.ones_like(ids), **(fixed | settings))


def new_of(out, prompt):
    return [row[len(prompt) :] for row in out.sequences.tolist()]


def guided_beams():
    for seed in SEEDS:
        for prompt in PROMPTS:
            out = generated(in_transformers(*tiny_gpt2(seed)), [prompt], guidance_scale=SCALE, num_beams=3, length_penalty=0.0)
            yield {"seed": seed, "prompt": prompt, "tokens": new_of(out, prompt)[0], "score": float(out.sequences_scores[0])}


def guided_drafts():
    for seed in SEEDS:
        for prompt in PROMPTS:
            model, draft = in_transformers(*tiny_gpt2(seed)), in_transformers(*tiny_gpt2(seed + 50))
            greedy = new_of(generated(model, [prompt], guidance_scale=SCALE), prompt)[0]
            try:
                found = new_of(generated(model, [prompt], guidance_scale=SCALE, assistant_model=draft), prompt)[0]
            except IndexError:
                found = "IndexError"
            yield {"seed": seed, "prompt": prompt, "greedy": greedy, "drafted": found}


def early_exit():
    model = in_transformers(*tiny_gpt2(0))
    before = model.config.num_hidden_layers
    try:
        found = new_of(generated(model, [PROMPTS[0]], assistant_early_exit=1), PROMPTS[0])[0]
    except Exception as error:
        found = type(error).__name__
    return {"seed": 0, "prompt": PROMPTS[0], "found": found, "layers": [before, model.config.num_hidden_layers]}


def filled():
    for seed in SEEDS:
        model = in_transformers(*tiny_gpt2(seed))
        for prompt in PROMPTS:
            end = new_of(generated(model, [prompt], num_beams=3), prompt)[0][1]
            settings = {"num_beams": 3, "num_return_sequences": 3, "eos_token_id": end, "early_stopping": True, "length_penalty": 0.0}
            yield {"seed": seed, "prompt": prompt, "end": end, "rows": new_of(generated(model, [prompt], **settings), prompt)}


def penalised():
    """The distribution of the fourth new token's place after a text of three, from beams and from sampling."""
    for seed in SEEDS:
        model = in_transformers(*tiny_gpt2(seed))
        for prompt in PROMPTS:
            settings = {"repetition_penalty": 1.5, "max_new_tokens": 1}
            beams = generated(model, [prompt], num_beams=2, **settings).scores[0][0]
            plain = generated(model, [prompt], do_sample=True, top_k=0, **settings).scores[0][0]
            yield {"seed": seed, "prompt": prompt, "beams": beams.tolist(), "plain": plain.tolist()}


def top_h():
    warper = getattr(transformers, "TopHLogitsWarper", None)
    if warper is None:
        return "has none"
    return [
        {"alpha": alpha, "weights": name, "kept": int((warper(alpha)(None, torch.tensor(logits)[None].float()) > -torch.inf).sum())}
        for alpha, name, logits in ((0.4, "flat 100", [2e-6 * -t for t in range(100)]), (0.6, "zipf 1000", zipf()))
    ]


def zipf():
    return (-torch.arange(1, 1001).double().log()).tolist()


def neighbours():
    for seed in range(8):
        model, texts = in_transformers(*tiny_gpt2(seed)), []
        for batch in ([PROMPTS[0]], [PROMPTS[1], PROMPTS[0]]):
            torch.manual_seed(seed)
            texts.append(new_of(generated(model, batch, do_sample=True, top_k=0, max_new_tokens=12), PROMPTS[0])[-1])
        yield {"seed": seed, "alone": texts[0], "beside": texts[1]}


def top_k():
    return int((transformers.TopKLogitsWarper(2)(None, torch.zeros(1, 4)) > -torch.inf).sum())


def streamed():
    told = []

    class Listener:
        def put(self, value):
            told.append(value.tolist())

        def end(self):
            told.append("end")

    settings = {"num_beams": 2, "do_sample": True, "max_new_tokens": 4, "streamer": Listener()}
    try:
        out = generated(in_transformers(*tiny_gpt2(0)), [PROMPTS[0]], **settings)
    except ValueError:
        return "refused"
    return {"prompt": PROMPTS[0], "told": told, "new": len(new_of(out, PROMPTS[0])[0])}


if __name__ == "__main__":
    makers = {"guided_beams": guided_beams, "guided_drafts": guided_drafts, "early_exit": early_exit, "filled": filled}
    makers |= {"penalised": penalised, "top_h": top_h, "neighbours": neighbours, "top_k": top_k, "streamed": streamed}
    known = json.loads(TARGET.read_text()) if TARGET.exists() else {}
    found = {name: make() for name, make in makers.items()}
    known[transformers.__version__] = {k: list(v) if hasattr(v, "__next__") else v for k, v in found.items()}
    parts = (
        f"{json.dumps(version)}: {{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in some.items()) + "}"
        for version, some in sorted(known.items())
    )
    TARGET.write_text("{" + ",\n".join(parts) + "}\n")
