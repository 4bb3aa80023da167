"""Write a run's model as a Hugging Face folder with float16 weights, and check it against the trainer's own model.

python -m training.export RUN_FOLDER MODEL_FOLDER
"""

import argparse
import hashlib
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from training.model import LanguageModel, ModelSize
from training.tokenizer import END_OF_TEXT

HASHED_FILES = ("model.safetensors", "tokenizer.json", "config.json")


def load_run(run: Path) -> LanguageModel:
    """Return the model of a run's last checkpoint, its weights rounded to float16 but held in float32."""
    checkpoint = torch.load(run / "checkpoint.pt", weights_only=True)
    model = LanguageModel(ModelSize(**checkpoint["size"]))
    model.load_state_dict({name: value.half().float() for name, value in checkpoint["model"].items()})
    return model.eval()


def hugging_face_weights(model: LanguageModel) -> dict[str, Tensor]:
    """Return the weights under GPT-2's names; matrices inside blocks are transposed (Conv1D), the head is tied."""
    weights = {
        "transformer.wte.weight": model.token_embedding.weight,
        "transformer.wpe.weight": model.position_embedding.weight,
        "transformer.ln_f.weight": model.final_norm.weight,
        "transformer.ln_f.bias": model.final_norm.bias,
    }
    for number, block in enumerate(model.blocks):
        layers = {
            "ln_1": block.attention_norm,
            "attn.c_attn": block.query_key_value,
            "attn.c_proj": block.attention_output,
            "ln_2": block.feed_forward_norm,
            "mlp.c_fc": block.expand,
            "mlp.c_proj": block.contract,
        }
        for name, layer in layers.items():
            weight = layer.weight.T if layer.weight.ndim == 2 else layer.weight
            weights[f"transformer.h.{number}.{name}.weight"] = weight
            weights[f"transformer.h.{number}.{name}.bias"] = layer.bias
    return {name: value.detach().half().contiguous() for name, value in weights.items()}


def hugging_face_config(size: ModelSize, end: int) -> dict[str, object]:
    """Return the content of config.json."""
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": size.vocabulary,
        "n_positions": size.context,
        "n_ctx": size.context,
        "n_embd": size.width,
        "n_layer": size.layers,
        "n_head": size.heads,
        "n_inner": None,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "initializer_range": 0.02,
        "scale_attn_weights": True,
        "tie_word_embeddings": True,
        "bos_token_id": end,
        "eos_token_id": end,
        "torch_dtype": "float16",
        "use_cache": True,
    }


def write_json(file: Path, content: dict[str, object]) -> None:
    """Write JSON as people like to read it."""
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@torch.no_grad()
def check(model: LanguageModel, folder: Path) -> float:
    """Return the largest difference between the logits of the trainer's model and of the exported one."""
    from transformers import GPT2LMHeadModel

    exported = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokens = torch.randint(
        0, model.size.vocabulary, (2, model.size.context), generator=torch.Generator().manual_seed(0)
    )
    difference = (model(tokens) - exported(tokens).logits).abs().max().item()
    if difference > 1e-3:
        raise SystemExit(f"exported logits differ by {difference}")
    return difference


def export(run: Path, folder: Path) -> None:
    """Write the folder, check it and note the hashes of its main files."""
    folder.mkdir(parents=True, exist_ok=True)
    model = load_run(run)
    end = Tokenizer.from_file(str(run / "tokenizer.json")).token_to_id(END_OF_TEXT)
    save_file(hugging_face_weights(model), folder / "model.safetensors", metadata={"format": "pt"})
    shutil.copyfile(run / "tokenizer.json", folder / "tokenizer.json")
    write_json(folder / "config.json", hugging_face_config(model.size, end))
    write_json(folder / "generation_config.json", {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end})
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "GPT2TokenizerFast",
            "bos_token": END_OF_TEXT,
            "eos_token": END_OF_TEXT,
            "unk_token": END_OF_TEXT,
            "add_prefix_space": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": model.size.context,
        },
    )
    difference = check(model, folder)
    hashes = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in HASHED_FILES]
    (folder / "sha256").write_text("".join(hashes), encoding="utf-8")
    total = sum(file.stat().st_size for file in folder.iterdir())
    print(f"exported to {folder}: {total / 1e6:.1f} MB, largest difference of logits {difference:.1e}")


def main() -> None:
    """Export from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    export(options.run, options.out)


if __name__ == "__main__":
    main()
