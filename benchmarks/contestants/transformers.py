"""Hugging Face transformers: `generate` with its defaults, in torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.contestants.serving import Absent, Run, Texts, main
from benchmarks.models import draft_of
from benchmarks.workloads import CONTRASTIVE_ALPHA, CONTRASTIVE_K, DRAFTED, TEMPERATURE, TOP_K, TOP_P, Workload, early_layers


class Transformers:
    """A model of AutoModelForCausalLM."""

    def __init__(self, folder: Path, number: str, threads: int) -> None:
        transformers.logging.set_verbosity_error()
        torch.set_num_threads(threads)
        self.version, self.folder, self.number = transformers.__version__, folder, number
        self.release = tuple(map(int, self.version.split(".")[:2]))
        self.model = self.open(folder)

    def open(self, folder: Path) -> Any:
        called = "dtype" if self.release >= (4, 56) else "torch_dtype"
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, **{called: getattr(torch, self.number)}).eval()
        model.generation_config.eos_token_id, model.generation_config.pad_token_id = None, 0
        return model

    def prepare(self, row: Workload) -> Run:
        if row.kind == "score":
            return lambda prompts: self.score(torch.tensor(prompts))
        if row.kind in ("contrastive", "dola") and self.release >= (5, 0):
            raise Absent("code of a hub since release 5")
        if row.kind == "exact":
            raise Absent("it has none")
        settings: dict[str, Any] = {
            "greedy": {},
            "sample": {"do_sample": True, "num_return_sequences": row.n, "temperature": TEMPERATURE, "top_k": TOP_K, "top_p": TOP_P},
            "beam": {"num_beams": row.n},
            "dola": {"dola_layers": early_layers(self.model.config.num_hidden_layers)},
            "contrastive": {"penalty_alpha": CONTRASTIVE_ALPHA, "top_k": CONTRASTIVE_K},
            "speculative": {"num_assistant_tokens": DRAFTED, "num_assistant_tokens_schedule": "constant"},
            "lookup": {"prompt_lookup_num_tokens": DRAFTED},
        }[row.kind]
        if row.kind == "speculative":
            draft = self.open(draft_of(self.folder))
            draft.generation_config.num_assistant_tokens = DRAFTED
            draft.generation_config.num_assistant_tokens_schedule = "constant"
            draft.generation_config.assistant_confidence_threshold = 0.0
            settings["assistant_model"] = draft
        if row.kind == "lookup" and self.release < (5, 0):               # it looks for the end tokens even where there are none
            settings["eos_token_id"] = -1
        given = {"do_sample": False} | settings | {"max_new_tokens": row.new}

        def run(prompts: Texts) -> Texts:
            ids = torch.tensor(prompts)
            with torch.inference_mode():
                found = self.model.generate(ids, attention_mask=torch.ones_like(ids), **given)
            texts: Texts = found[:, row.length : row.length + row.new].tolist()
            return texts

        return run

    def score(self, ids: Any) -> int:
        """All texts in one forward, in float32 from the logits on."""
        with torch.inference_mode():
            logprobs = torch.log_softmax(self.model(ids).logits[:, :-1].float(), -1)
            return int(logprobs.gather(-1, ids[:, 1:, None]).numel())


if __name__ == "__main__":
    main(Transformers)
