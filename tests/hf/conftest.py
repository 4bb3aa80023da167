"""Random tiny checkpoints of several kinds, as transformers' models and as ours."""

from functools import cache

import pytest

LLAMA = {"vocab_size": 24, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA |= {"num_key_value_heads": 2, "max_position_embeddings": 128, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
SHORT = {"vocab_size": 24, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "bos_token_id": 1, "eos_token_id": 2}
KINDS = {
    "gpt2": SHORT,
    "llama": LLAMA,
    "mistral": {**LLAMA, "sliding_window": 4},
    "mamba": {"vocab_size": 24, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "bos_token_id": 1, "eos_token_id": 2},
    "stablelm": LLAMA,
    "cohere": {**LLAMA, "logit_scale": 0.3},
    "bloom": {"vocab_size": 24, "hidden_size": 32, "n_layer": 2, "n_head": 4, "bos_token_id": 1, "eos_token_id": 2},
}
"""A window, a state that cannot be forked, a head that scales, and a forward that is not told positions are among them."""


def pytest_collection_modifyitems(items):
    for item in items:
        if "/tests/hf/" in str(item.path):
            item.add_marker(pytest.mark.filterwarnings("ignore::FutureWarning"))


def pytest_generate_tests(metafunc):
    if "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", KINDS)


@pytest.fixture(scope="session")
def theirs():
    """kind -> a random model of transformers."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")

    @cache
    def make(kind, seed=0):
        torch.manual_seed(seed)
        config = transformers.AutoConfig.for_model(kind, **KINDS[kind])
        model = transformers.AutoModelForCausalLM.from_config(config).eval()
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.data = torch.randn_like(weight) * 0.3
        return model

    return make


@pytest.fixture(scope="session")
def ours(theirs):
    """kind -> the same as a Model."""
    from unspool.models.hf import TransformersModel

    return cache(lambda kind, seed=0: TransformersModel(theirs(kind, seed)))


@pytest.fixture(scope="session")
def uncached(theirs):
    """kind -> the same, every row computed from its tokens."""
    from unspool.models.hf import TransformersModel

    @cache
    def make(kind):
        model = TransformersModel(theirs(kind))
        model.caches = False
        return model

    return make
