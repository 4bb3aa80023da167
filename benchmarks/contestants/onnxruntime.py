"""onnxruntime-genai, of a model that its own builder wrote; the builder knows Llama's form, not GPT-2's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime_genai as genai

from benchmarks.contestants.serving import Absent, Run, Texts, main
from benchmarks.workloads import TEMPERATURE, TOP_K, TOP_P, Workload


class OnnxRuntime:
    """A Model, whose number of threads is a setting in its folder."""

    def __init__(self, folder: Path, number: str, threads: int, converted: str = "") -> None:
        self.version = genai.__version__
        path = Path(converted) / "genai_config.json"
        config = json.loads(path.read_text())
        config["model"]["decoder"].setdefault("session_options", {})["intra_op_num_threads"] = threads
        path.write_text(json.dumps(config, indent=1))
        self.model = genai.Model(converted)

    def prepare(self, row: Workload) -> Run:
        settings: dict[str, Any] | None = {
            "greedy": {},
            "sample": {"do_sample": True, "temperature": TEMPERATURE, "top_k": TOP_K, "top_p": TOP_P},
            "beam": {"num_beams": row.n, "num_return_sequences": 1},
        }.get(row.kind)
        if settings is None:
            raise Absent("it has none")
        total = row.length + row.new
        copies = row.n if row.kind == "sample" else 1                    # it makes one sample of each prompt

        def run(prompts: Texts) -> Texts:
            ids = np.repeat(np.array(prompts, np.int32), copies, axis=0)
            asked = genai.GeneratorParams(self.model)
            asked.set_search_options(max_length=total, min_length=total, batch_size=len(ids), **settings)
            running = genai.Generator(self.model, asked)
            running.append_tokens(ids if len(ids) > 1 else ids[0])
            while not running.is_done():
                running.generate_next_token()
            return [running.get_sequence(i)[row.length :].tolist() for i in range(len(ids))]

        return run


def convert(folder: Path, number: str, out: Path) -> None:
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", str(folder), "-o", str(out), "-p", number]
    subprocess.run([*command, "-e", "cpu", "-c", str(out / "cache")], check=True)


if __name__ == "__main__":
    main(OnnxRuntime, convert)
