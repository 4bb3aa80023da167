"""Models of other kinds, in other formats or of absurd sizes are refused by what they are, before anything is computed."""

import json
import shutil
import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from helpers.program import tiny_folder
from safetensors.numpy import load_file, save_file

import unspool as un
from unspool.models.stored import in_memory

STORIES = Path(__file__).parents[1] / "data" / "stories260K"
HUGE = 10**12


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return tiny_folder(tmp_path_factory.mktemp("whole") / "model")


@pytest.fixture
def folder(whole, tmp_path):
    """A tiny GPT-2 to break."""
    return shutil.copytree(whole, tmp_path / "model")


@pytest.fixture
def llama(tmp_path):
    """A Llama to break."""
    return shutil.copytree(STORIES, tmp_path / "llama")


def edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def refused(folder, *words, kind=un.ModelError):
    with pytest.raises(kind) as error:
        un.load(folder)
    said = str(error.value)
    assert "\n" not in said
    for word in words:
        assert word in said, said


class TestKinds:
    @pytest.mark.parametrize(
        ("config", "words"),
        [
            ({"model_type": "bert", "architectures": ["BertModel"]}, ("is an encoder of type 'bert' (BertModel)", "decoder-only")),
            ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, ("is an encoder", "BertForMaskedLM")),
            ({"model_type": "modernbert"}, ("is an encoder of type 'modernbert',",)),
            ({"model_type": "bert", "is_decoder": True}, ("type 'bert'", "transformers")),
            ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}, ("encoder-decoder of type 't5' (T5",)),
            ({"model_type": "new", "is_encoder_decoder": True}, ("is an encoder-decoder of type 'new';", "decoder-only")),
            ({"architectures": ["GPT2ForSequenceClassification"]}, ("GPT2ForSequenceClassification", "classifies texts")),
            ({"model_type": "mamba"}, ("type 'mamba'", "backend='transformers'", "unspool[transformers]", "supported are", "llama")),
            ({"quantization_config": {"quant_method": "eetq"}}, ("quantised weights (eetq)", "float16 or bfloat16")),
            ({"quantization_config": True}, ("quantised weights",)),
        ],
        ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
    )
    def test_of_other_kinds(self, folder, config, words):
        refused(edit(folder, **config), str(folder), *words)

    def test_quantised_tensors(self, folder):
        weights = load_file(folder / "model.safetensors")
        save_file(weights | {"wte.weight": weights["wte.weight"].astype(np.int8)}, folder / "model.safetensors")
        refused(folder, "wte.weight is stored as I8", "supported are F64")

    def test_masks_of_older_checkpoints_are_no_weights(self, folder):
        before = un.load(folder).generate("Once", max_new_tokens=3).tokens
        weights = load_file(folder / "model.safetensors")
        save_file(weights | {"h.0.attn.bias": np.tri(16, dtype=bool)[None, None]}, folder / "model.safetensors")
        assert un.load(folder).generate("Once", max_new_tokens=3).tokens == before

    def test_an_adapter(self, tmp_path):
        (tmp_path / "adapter_config.json").write_text("{}")
        refused(tmp_path, "has no config.json", "is an adapter", "merged")

    def test_another_format(self, tmp_path):
        (tmp_path / "model.Q4_K_M.gguf").write_bytes(b"GGUF")
        refused(tmp_path, "model.Q4_K_M.gguf", "truncated")
        (tmp_path / "model.Q8_0.gguf").write_bytes(b"GGUF")
        refused(tmp_path, "2 files in the format GGUF", "model.Q4_K_M.gguf")


class TestNamedTwice:
    def test_in_the_index(self, folder):
        (folder / "model.safetensors").rename(folder / "model-1-of-1.safetensors")
        place = '{"wte.weight": "model-1-of-1.safetensors", "wte.weight": "model-1-of-1.safetensors"}'
        (folder / "model.safetensors.index.json").write_text(f'{{"weight_map": {place}}}')
        refused(folder, "model.safetensors.index.json names 'wte.weight' twice")

    def test_in_a_header(self, folder):
        entry = '{"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}'
        text = f'{{"wte.weight": {entry}, "wte.weight": {entry}}}'.encode()
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
        refused(folder, "model.safetensors", "names 'wte.weight' twice")


class TestAbsurdSizes:
    """Refused at once: nothing of that size is allocated."""

    @pytest.fixture(autouse=True)
    def _frugal(self):
        tracemalloc.start()
        began = time.monotonic()
        yield
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 100e6
        assert time.monotonic() - began < 10

    @pytest.mark.parametrize("value", [HUGE, 10**30, float("inf"), float("nan")])
    @pytest.mark.parametrize("key", ["n_layer", "n_head", "n_embd", "n_positions", "vocab_size", "n_inner"])
    def test_of_gpt2(self, folder, key, value):
        refused(edit(folder, **{key: value}), str(folder))

    @pytest.mark.parametrize("value", [HUGE, 10**30, float("inf")])
    @pytest.mark.parametrize(
        "key",
        ["num_hidden_layers", "num_attention_heads", "hidden_size", "vocab_size", "intermediate_size", "num_key_value_heads", "head_dim"],
    )
    def test_of_llama(self, llama, key, value):
        refused(edit(llama, **{key: value}), str(llama))

    @pytest.mark.parametrize(
        "changes",
        [
            {"partial_rotary_factor": 1e12},
            {"rotary_dim": HUGE},
            {"rotary_dim": -4},
            {"rope_theta": 0},
            {"rope_theta": "large"},
            {"rope_scaling": {"rope_type": "yarn", "factor": 0}},
            {"rope_scaling": {"rope_type": "linear", "factor": 0}},
            {"rope_scaling": [1]},
            {"rope_parameters": 3},
        ],
        ids=str,
    )
    def test_of_rotation(self, llama, changes):
        refused(edit(llama, **changes), str(llama))

    def test_a_long_context_costs_nothing(self, llama):
        lm = un.load(edit(llama, max_position_embeddings=HUGE))
        assert lm.model.context == HUGE
        assert len(lm.generate("Once", max_new_tokens=3).tokens) == 3

    def test_of_a_tensor(self, folder):
        entry = {"dtype": "F32", "shape": [2**32, 2**32], "data_offsets": [0, 0]}
        text = json.dumps({"wte.weight": entry}).encode()
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
        refused(folder, "wte.weight has bytes")

    def test_of_end_tokens(self, folder):
        lm = un.load(edit(folder, eos_token_id=[10**30, -1]))
        assert len(lm.generate("Once", max_new_tokens=3).tokens) == 3

    def test_deep_nesting(self, folder):
        (folder / "config.json").write_text('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}")
        refused(folder, "config.json", "nested too deeply")


def test_a_tokenizer_that_does_not_fit(folder):
    shutil.copy(STORIES / "tokenizer.json", folder)
    assert un.load(folder).tokenizer.size == 512                          # fewer tokens than the model has: padding
    big = json.loads((folder / "tokenizer.json").read_text())
    big["model"]["vocab"] |= {f"extra {i}": 512 + i for i in range(5000)}
    (folder / "tokenizer.json").write_text(json.dumps(big))
    lm = un.load(folder)                                                  # more: the model cannot say them
    assert (lm.tokenizer.size, lm.model.vocabulary) == (5512, 4096)
    assert lm.generate("a", max_new_tokens=2).tokens


class TestTwoModels:
    """Two models in one process share nothing."""

    def test_of_one_folder(self, folder):
        one, two = un.load(folder), un.load(folder)
        assert one.model is not two.model
        expected = two.generate("Once", max_new_tokens=5).logprob
        for array in map(in_memory, one.model.arrays()):
            if array.flags.writeable:
                array[...] = 0
        one.info["fingerprint"], one.model.end_tokens = "changed", (3,)
        assert two.generate("Once", max_new_tokens=5).logprob == expected
        assert two.info["fingerprint"] != "changed"
        assert two.model.end_tokens != (3,)
        assert un.load(folder).generate("Once", max_new_tokens=5).logprob == expected

    def test_side_by_side(self, folder):
        """Their runs interleave, and each goes on as if it were alone."""
        models = [un.load(folder), un.load(STORIES), un.load()]
        alone = [lm.generate("Once upon", "temperature(0.9) | sample(2)", seed=3, max_new_tokens=6).tokens for lm in models]
        runs = [lm.stream("Once upon", "temperature(0.9) | sample(2)", seed=3, max_new_tokens=6) for lm in models]
        for _ in zip(*runs, strict=False):
            pass
        assert [run.output.tokens for run in runs] == alone

    def test_in_torch_weights_of_one_are_not_those_of_the_other(self, folder):
        pytest.importorskip("torch")
        one, two = (un.load(folder, backend="torch", device="cpu") for _ in range(2))
        before, data = two.generate("Once", max_new_tokens=5).logprob, (folder / "model.safetensors").read_bytes()
        for tensor in one.model.arrays():
            tensor.zero_()
        assert two.generate("Once", max_new_tokens=5).logprob == before
        assert (folder / "model.safetensors").read_bytes() == data


class TestEngines:
    @pytest.mark.parametrize("kernels", ["compiled", "numpy"])
    def test_the_kernels_are_the_default_on_a_cpu_and_numpy_without_them(self, folder, kernels, monkeypatch):
        if kernels == "numpy":
            monkeypatch.setenv("UNSPOOL_KERNELS", "none")
        named = ({"backend": kernels}, {"backend": kernels, "device": "auto", "dtype": "float32"})
        for settings in ({}, {"device": "cpu"}, *named):
            lm = un.load(folder, **settings)
            assert isinstance(in_memory(lm.model.embedding), np.ndarray)
            assert (lm.info["backend"], lm.info["device"], lm.info["dtype"]) == (kernels, "cpu", "float32")

    def test_torch_takes_the_first_device_there_is(self, folder):
        torch = pytest.importorskip("torch")
        first = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        for settings in ({"backend": "torch"}, {"device": "auto"}):
            lm = un.load(folder, **settings)
            assert lm.model.embedding.device.type == lm.info["device"] == first
            assert lm.info["backend"] == "torch"

    @pytest.mark.parametrize("stored", ["float16", "float32"])
    def test_the_dtype_is_the_checkpoint_s_but_float32_on_a_cpu(self, folder, stored):
        from unspool.models.engine import choose
        from unspool.models.weights import stored_dtype

        weights = {name: array.astype(stored) for name, array in load_file(folder / "model.safetensors").items()}
        save_file(weights, folder / "model.safetensors")
        own = lambda: stored_dtype(folder)  # noqa: E731
        assert choose(None, "cuda", None, own).dtype == choose("torch", "mps", None, own).dtype == stored
        assert choose("torch", "cpu", None, own).dtype == "float32"
        assert choose(None, "cuda", "bfloat16", own).dtype == "bfloat16"

    def test_float32_weights_are_views_of_the_file(self, folder):
        torch = pytest.importorskip("torch")
        memory = in_memory(un.load(folder).model.embedding)
        while isinstance(memory, np.ndarray) and not isinstance(memory, np.memmap):
            memory = memory.base.obj if isinstance(memory.base, memoryview) else memory.base
        assert isinstance(memory, np.memmap)
        tensor = un.load(folder, backend="torch", device="cpu").model.embedding
        assert tensor.dtype == torch.float32

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"device": "gpu9"}, "unknown device 'gpu9'"),
            ({"dtype": "float8"}, "unknown dtype 'float8'"),
            ({"backend": "numpy", "dtype": "int8"}, "dtype int8 is computed by the kernels: use backend='compiled'"),
            ({"backend": "numpy", "dtype": "float16"}, "use backend='torch' for another device or dtype"),
            ({"backend": "nunpy"}, "did you mean numpy"),
            ({"backend": "numpy", "device": "cuda"}, "numpy backend"),
        ],
    )
    def test_other_settings_are_refused(self, folder, settings, words):
        with pytest.raises(un.UnspoolError, match=words):
            un.load(folder, **settings)


def test_a_format_that_only_torch_has_is_said_to_change_what_computes():
    from unspool.models.engine import choose, notes_of

    (note,) = notes_of(choose(None, None, "float16", lambda: "float32"), None)
    assert "torch computes this model" in note
    assert "float16" in note
    assert "without a dtype the kernels compute in float32, and weights that a file holds in 16 bits stay in these" in note
    assert notes_of(choose("torch", None, "float16", lambda: "float32"), "torch") == []
