"""Small models of four layers."""

from dataclasses import replace

from helpers.checkpoints import tiny_gpt2, tiny_llama
from helpers.tables import BACKENDS
from unspool.models.reading import read_transformer

END, LAYERS = 23, 4


def transformer(kind, seed=0, backend="numpy"):
    config, weights = (tiny_gpt2 if kind == "gpt2" else tiny_llama)(seed, layers=LAYERS)
    model = read_transformer(kind, config, {name: BACKENDS[backend](array) for name, array in weights.items()})
    return replace(model, end_tokens=(END,))
