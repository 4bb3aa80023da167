"""CTranslate2's Generator, of a model that its own converter wrote."""

from __future__ import annotations

import json
from pathlib import Path

import ctranslate2

from benchmarks.contestants.serving import Absent, Run, Texts, main
from benchmarks.workloads import TEMPERATURE, TOP_K, TOP_P, Workload


class CTranslate2:
    """A Generator with one worker."""

    def __init__(self, folder: Path, number: str, threads: int, converted: str = "") -> None:
        self.version = ctranslate2.__version__
        self.model = ctranslate2.Generator(converted, device="cpu", compute_type=number, inter_threads=1, intra_threads=threads)
        self.names: list[str] = json.loads((Path(converted) / "vocabulary.json").read_text())

    def prepare(self, row: Workload) -> Run:
        if row.kind == "score":
            return lambda prompts: sum(len(found.log_probs) for found in self.model.score_batch(self.words(prompts)))
        settings = {
            "greedy": {},
            "sample": {"sampling_topk": TOP_K, "sampling_topp": TOP_P, "sampling_temperature": TEMPERATURE, "num_hypotheses": row.n},
            "beam": {"beam_size": row.n},
        }.get(row.kind)
        if settings is None:
            raise Absent("it has none")
        fixed = {"max_length": row.new, "min_length": row.new, "include_prompt_in_result": False, "end_token": []}

        def run(prompts: Texts) -> Texts:
            found = self.model.generate_batch(self.words(prompts), **fixed, **settings)
            return [list(tokens) for one in found for tokens in one.sequences_ids]

        return run

    def words(self, prompts: Texts) -> list[list[str]]:
        """It takes tokens by their names."""
        return [[self.names[token] for token in tokens] for tokens in prompts]


def convert(folder: Path, number: str, out: Path) -> None:
    from ctranslate2.converters import TransformersConverter

    TransformersConverter(str(folder)).convert(str(out), quantization=number, force=True)


if __name__ == "__main__":
    main(CTranslate2, convert)
