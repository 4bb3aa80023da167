"""Ollama, with its own engine."""

from __future__ import annotations

from unspool.lab.engines.engine import REMARK, CallSetting, Engine, Setting, Unsaid
from unspool.lab.engines.llama_cpp import LAST, PENALTIES
from unspool.lab.engines.places import ALL, LIST, NO_LIMIT, NO_SEED, RESAMPLED, drawn, names_in, place, structured

OLLAMA = Engine(
    "ollama",
    "Ollama",
    "api/types.go and sample/ of 2026",
    places=(
        *structured("format", lambda value: {} if value == "json" else value, lambda schema: schema or "json", differs=RESAMPLED),
        place("repetition_penalty", lambda penalty, window: penalty == 1 or window == 0, ALL, penalty=("repeat_penalty", 1.1),
              window=LAST, neutral={"repeat_penalty": 1.0},
              note="On by default.", differs="its own engine looks back 64 tokens, whatever repeat_last_n says"),
        *PENALTIES[1:],
        place("top_k", lambda k: k <= 0, k=("top_k", 40), neutral={"top_k": 0}, sampling=True, note="On by default."),
        place("temperature", lambda t: t == 1, t=("temperature", 0.8), neutral={"temperature": 1.0}, sampling=True,
              note="0 is greedy search."),
        place("top_p", lambda p: p >= 1, p=("top_p", 0.9), neutral={"top_p": 1.0}, sampling=True, note="On by default."),
        place("min_p", lambda p: p == 0, p=("min_p", 0.0), sampling=True),
    ),
    strategies=drawn(None, lambda given: Setting("temperature", 0.8).of(given) <= 0),
    stops=(place("stop", strings=("stop", None, LIST)),),
    calls=(CallSetting("max_new_tokens", Setting("num_predict", -1), *NO_LIMIT), CallSetting("seed", Setting("seed", -1), *NO_SEED)),
    unsaid={
        "typical_p": Unsaid("Ollama's own engine does not read it", (1,), REMARK),
        "num_keep": Unsaid("the context is not shifted here, and ends the text", (0, 4)),
        "num_ctx": Unsaid("a context is the model's own here, and the prompt is not cut", (), REMARK),
        "mirostat": Unsaid("it was taken out of Ollama", (0,), REMARK),
        "mirostat_tau": Unsaid("mirostat was taken out of Ollama", (), REMARK),
        "mirostat_eta": Unsaid("mirostat was taken out of Ollama", (), REMARK),
        "tfs_z": Unsaid("it was taken out of Ollama", (1,), REMARK),
        "penalize_newline": Unsaid("it was taken out of Ollama", (), REMARK),
        "system": Unsaid("write it into the messages, or the prompt"),
        "template": Unsaid("the model's own template is used here"),
        "suffix": Unsaid("a text is only continued here"),
        "think": Unsaid("there is no thinking here"),
    },
    ignored=names_in("model prompt messages stream num_batch num_gpu num_thread main_gpu use_mmap keep_alive raw options"),
    note="The order of its own engine. Models that it runs by llama.cpp have llama.cpp's order.",
)  # fmt: skip
