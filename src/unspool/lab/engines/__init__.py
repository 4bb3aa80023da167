"""What other engines call their settings, what these default to, and the order in which they are applied: facts, no rules."""

from unspool.lab.engines.ctranslate2 import CTRANSLATE2
from unspool.lab.engines.engine import Engine
from unspool.lab.engines.exllamav3 import EXLLAMAV3
from unspool.lab.engines.llama_cpp import LLAMA_CPP
from unspool.lab.engines.mlx_lm import MLX
from unspool.lab.engines.ollama import OLLAMA
from unspool.lab.engines.openai import OPENAI
from unspool.lab.engines.openvino import OPENVINO
from unspool.lab.engines.sglang import SGLANG
from unspool.lab.engines.tensorrt_llm import TENSORRT_LLM
from unspool.lab.engines.text_generation_webui import TEXT_GENERATION_WEBUI
from unspool.lab.engines.transformers import TRANSFORMERS
from unspool.lab.engines.vllm import VLLM

_ALL = (
    *(TRANSFORMERS, VLLM, LLAMA_CPP, OPENAI, MLX, OLLAMA, SGLANG),
    *(TENSORRT_LLM, OPENVINO, CTRANSLATE2, EXLLAMAV3, TEXT_GENERATION_WEBUI),
)
ENGINES: dict[str, Engine] = {engine.name: engine for engine in _ALL}
