"""What other engines call their settings, what these default to, and the order in which they are applied: facts, no rules."""

from unspool.lab.engines.engine import Engine
from unspool.lab.engines.llama_cpp import LLAMA_CPP
from unspool.lab.engines.mlx_lm import MLX
from unspool.lab.engines.ollama import OLLAMA
from unspool.lab.engines.openai import OPENAI
from unspool.lab.engines.sglang import SGLANG
from unspool.lab.engines.transformers import TRANSFORMERS
from unspool.lab.engines.vllm import VLLM

ENGINES: dict[str, Engine] = {e.name: e for e in (TRANSFORMERS, VLLM, LLAMA_CPP, OPENAI, MLX, OLLAMA, SGLANG)}
