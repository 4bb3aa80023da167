"""mlx-lm."""

from __future__ import annotations

from unspool.lab.engines.engine import CallSetting, Engine, Place, Setting
from unspool.lab.engines.places import ALL, AT_LEAST, BIAS, NO_SEED, TOKENS, drawn, names_in, place
from unspool.strategies.greedy import Greedy
from unspool.strategies.sample import Sample

MLX = Engine(
    "mlx-lm",
    "mlx-lm",
    "sample_utils.py of 2026",
    places=(
        place("bias", lambda pairs: not pairs, pairs=("logit_bias", None, BIAS)),
        place("repetition_penalty", lambda penalty, window: penalty in (0, 1), ALL, penalty=("repetition_penalty", None),
              window=("repetition_context_size", 20), note="The last 20 tokens, prompt included."),
        place("presence_penalty", lambda penalty, window: penalty == 0, ALL, penalty=("presence_penalty", None),
              window=("presence_context_size", 20), note="The last 20 tokens, prompt included."),
        place("frequency_penalty", lambda penalty, window: penalty == 0, ALL, penalty=("frequency_penalty", None),
              window=("frequency_context_size", 20), note="The last 20 tokens, prompt included."),
        place("top_p", lambda p: not 0 < p < 1, p=("top_p", 0.0), sampling=True, note="0 keeps all."),
        place("min_p", lambda p, min_keep: p == 0, p=("min_p", 0.0), min_keep=("min_tokens_to_keep", 1, AT_LEAST), sampling=True),
        place("xtc", lambda threshold, probability, protect: probability == 0, threshold=("xtc_threshold", 0.1),
              probability=("xtc_probability", 0.0), protect=("xtc_special_tokens", None, TOKENS), sampling=True,
              differs="tokens equal to the least likely above the threshold stay there"),
        place("top_k", lambda k: k == 0, k=("top_k", 0), sampling=True),
        place("temperature", lambda t: t == 1, t=("temp", 0.0), neutral={"temp": 1.0}, sampling=True,
              note="Last of all, so truncation does not feel it; 0, the default, is greedy search."),
    ),
    strategies=(
        Place("sample", (), lambda given: Sample() if Setting("temp", 0.0).of(given) else None, drawn(None, lambda given: False)[0].write),
        Place("greedy", (Setting("temp", 0.0),), lambda given: Greedy(), lambda part: {"temp": 0.0}),
    ),
    calls=(CallSetting("max_new_tokens", Setting("max_tokens", 256)), CallSetting("seed", Setting("seed"), *NO_SEED)),
    ignored=names_in("model prompt messages stream verbose max_kv_size prefill_step_size"),
)  # fmt: skip
