"""The engines that are measured, each in a process of its own: what they are called, what they need, and their number formats.

A module of an engine has a class that opens a model and makes calls for workloads (`serving.Engine`), and, if the engine reads files of a
kind of its own, a function that writes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

FORMATS = {"float32": 32, "bfloat16": 16, "int8": 8, "int4": 4}
"""Bits of a weight."""


@dataclass(frozen=True)
class Entry:
    """An engine: the package that shows whether it is installed, and what it calls the formats it has."""

    package: str
    formats: dict[str, str]
    converts: bool = False
    families: tuple[str, ...] = ()
    """model_types that it can open, if not all."""
    needs: tuple[str, ...] = field(default=())
    """Packages without which it cannot convert."""


SAME = {name: name for name in FORMATS}
ENGINES = {
    "unspool": Entry("unspool", SAME),
    "transformers": Entry("transformers", {"float32": "float32", "bfloat16": "bfloat16"}, needs=("torch",)),
    "ctranslate2": Entry(
        "ctranslate2", {"float32": "float32", "bfloat16": "bfloat16", "int8": "int8_float32"}, True, needs=("transformers", "torch")
    ),
    "llama_cpp": Entry(
        "llama_cpp", {"float32": "f32", "bfloat16": "bf16", "int8": "q8_0", "int4": "q4_0"}, True, needs=("gguf", "safetensors")
    ),
    "openvino": Entry(
        "openvino_genai", {"float32": "fp32", "bfloat16": "fp16", "int8": "int8", "int4": "int4"}, True, needs=("optimum", "nncf")
    ),
    "onnxruntime": Entry(
        "onnxruntime_genai", {"float32": "fp32", "int4": "int4"}, True, families=("llama",), needs=("onnx_ir", "transformers")
    ),
}
