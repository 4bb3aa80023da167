"""OpenVINO GenAI's LLMPipeline, of a model that optimum-intel exported.

Its number formats are of the weights. In the float32 rows it is asked to compute in float32 and to keep keys and values so; in
others it does as it finds best.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino_genai as genai

from benchmarks.contestants.serving import Absent, Run, Texts, main
from benchmarks.models import draft_of
from benchmarks.workloads import DRAFTED, TEMPERATURE, TOP_K, TOP_P, Workload


class OpenVINO:
    """A pipeline; speculative search and prompt lookup each need one of their own, which is opened when it is asked for."""

    def __init__(self, folder: Path, number: str, threads: int, converted: str = "") -> None:
        self.version = genai.__version__.split("-")[0]
        self.folder = Path(converted)
        self.settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        self.settings |= {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"} if number == "fp32" else {}
        self.pipeline = genai.LLMPipeline(converted, "CPU", **self.settings)

    def prepare(self, row: Workload) -> Run:
        if row.kind not in ("greedy", "sample", "beam", "speculative", "lookup"):
            raise Absent("it has none")
        config, pipeline = genai.GenerationConfig(), self.pipeline
        config.max_new_tokens, config.ignore_eos = row.new, True
        if row.kind == "sample":
            config.do_sample, config.num_return_sequences, config.rng_seed = True, row.n, 1
            config.temperature, config.top_k, config.top_p = TEMPERATURE, TOP_K, TOP_P
        elif row.kind == "beam":
            config.num_beams, config.num_return_sequences, config.num_beam_groups = row.n, 1, 1
            config.stop_criteria = genai.StopCriteria.NEVER
        elif row.kind == "speculative":
            draft = genai.draft_model(str(draft_of(self.folder)), "CPU", **self.settings)
            pipeline = genai.LLMPipeline(str(self.folder), "CPU", draft_model=draft, **self.settings)
            config.num_assistant_tokens = DRAFTED
        elif row.kind == "lookup":
            pipeline = genai.LLMPipeline(str(self.folder), "CPU", prompt_lookup=True, **self.settings)
            config.num_assistant_tokens, config.max_ngram_size = DRAFTED, 2

        def run(prompts: Texts) -> Texts:
            ids = np.array(prompts, np.int64)
            given = genai.TokenizedInputs(ov.Tensor(ids), ov.Tensor(np.ones_like(ids)))
            return [list(tokens) for tokens in pipeline.generate(given, config).tokens]

        return run


def convert(folder: Path, number: str, out: Path) -> None:
    """The model, and its draft where that lies in a folder of the model."""
    task = ["--task", "text-generation-with-past", "--weight-format", number]
    task += ["--group-size", "64"] if number == "int4" else []           # the default of 128 does not divide a width of 576
    for source, target in ((folder, out), (draft_of(folder), draft_of(out))):
        command = [sys.executable, "-m", "optimum.commands.optimum_cli", "export", "openvino", "--model", str(source), *task, str(target)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main(OpenVINO, convert)
