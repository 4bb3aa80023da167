"""Every broken model folder is refused with an error that names the file and the problem."""

import json
import re
import shutil
import struct

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import unspool as un
from unspool.models.tokenizer_folder import read_tokenizer

WIDTH, LAYERS, CONTEXT = 8, 2, 32


def random_weights(vocabulary):
    """A GPT-2 as transformers saves it."""
    chance, e = np.random.default_rng(0), WIDTH
    shapes = {"wte.weight": (vocabulary, e), "wpe.weight": (CONTEXT, e), "ln_f.weight": (e,), "ln_f.bias": (e,)}
    parts = {"ln_1": (e,), "ln_2": (e,), "attn.c_attn": (e, 3 * e), "attn.c_proj": (e, e), "mlp.c_fc": (e, 4 * e), "mlp.c_proj": (4 * e, e)}
    for layer in range(LAYERS):
        for part, shape in parts.items():
            shapes |= {f"h.{layer}.{part}.weight": shape, f"h.{layer}.{part}.bias": shape[-1:]}
    return {f"transformer.{name}": chance.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, small_tokenizer):
    """A folder in which nothing is wrong."""
    folder = tmp_path_factory.mktemp("whole")
    vocabulary = small_tokenizer.get_vocab_size()
    config = {"model_type": "gpt2", "n_layer": LAYERS, "n_head": 2, "n_embd": WIDTH, "n_positions": CONTEXT, "vocab_size": vocabulary}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(random_weights(vocabulary), folder / "model.safetensors")
    small_tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    """A copy to break."""
    return shutil.copytree(whole, tmp_path / "model")


def refused(folder, *words):
    """Loading raises a ModelError that holds all the words."""
    with pytest.raises(un.ModelError) as error:
        un.load(folder)
    for word in words:
        assert word in str(error.value), str(error.value)


def edit_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v != "absent"}))


def edit_weights(folder, **changes):
    weights = load_file(folder / "model.safetensors")
    weights |= {name.replace("__", "."): array for name, array in changes.items()}
    save_file({k: v for k, v in weights.items() if v is not None}, folder / "model.safetensors")


def edit_header(folder, change):
    """Write the header of the weights anew, their bytes as they are."""
    path = folder / "model.safetensors"
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    text = change(json.loads(raw[8 : 8 + length]))
    text = text if isinstance(text, bytes) else json.dumps(text).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])


def shard(folder):
    """The same weights in two files with an index."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names, place = sorted(weights), {}
    for i, half in enumerate((names[::2], names[1::2]), 1):
        save_file({name: weights[name] for name in half}, folder / f"model-{i}-of-2.safetensors")
        place |= dict.fromkeys(half, f"model-{i}-of-2.safetensors")
    write_index(folder, place)
    return place


def write_index(folder, place):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": place}))


def test_whole_folder_loads(folder):
    assert len(un.load(folder).generate("Once", max_new_tokens=3).tokens) == 3


def test_shards_give_the_same_text(folder):
    single = un.load(folder).generate("Once", max_new_tokens=5).tokens
    shard(folder)
    assert un.load(folder).generate("Once", max_new_tokens=5).tokens == single


class TestFolder:
    def test_unknown_name(self):
        with pytest.raises(un.UnknownName, match=r"unknown model 'bundeld': did you mean bundled\?"):
            un.load("bundeld")

    def test_no_folder(self, tmp_path):
        refused(tmp_path / "nowhere", "there is no model at", "nowhere", "config.json")

    def test_file(self, folder):
        refused(folder / "model.safetensors", "model.safetensors", "is a file; a model is a folder")

    def test_other_folder(self, tmp_path):
        (tmp_path / "notes.txt").write_text("no model")
        refused(tmp_path, str(tmp_path), "is no model: it has no config.json")


class TestConfig:
    @pytest.mark.parametrize(
        ("content", "problem"),
        [(b"", "Expecting value"), (b'{"n_layer": 2', "Expecting"), (b"\xff\xfe\x00", "codec"), (b"[1, 2]", "holds no JSON object")],
    )
    def test_unreadable(self, folder, content, problem):
        (folder / "config.json").write_bytes(content)
        refused(folder, str(folder / "config.json"), problem)

    @pytest.mark.parametrize("kind", ["llama9", None, ["gpt2"], 3, "absent"])
    def test_other_architecture(self, folder, kind):
        edit_config(folder, model_type=kind)
        refused(folder, str(folder), "is a model of type", "supported are", "gpt2")

    @pytest.mark.parametrize(
        ("key", "value", "problem"),
        [
            ("n_layer", "absent", "n_layer"),
            ("n_layer", "two", "two"),
            ("n_layer", None, "n_layer"),
            ("n_head", 3, "3 heads do not divide the width 8"),
            ("n_head", 0, "0 heads"),
            ("n_head", -2, "-2 heads"),
            ("n_layer", 3, "h.2."),
            ("n_layer", 1, "1 layers but the weights have more"),
            ("n_layer", -1, "-1 layers"),
            ("n_embd", 16, "asks for (320, 16)"),
            ("n_positions", 64, "holds 32 positions where config.json says 64"),
            ("vocab_size", 7, "asks for (7, 8)"),
            ("n_inner", 5, "mlp.c_fc.weight"),
            ("activation_function", "swish9", "activation 'swish9'"),
            ("layer_norm_epsilon", "small", "small"),
            ("eos_token_id", "end", "end"),
            ("eos_token_id", ["end"], "end"),
            ("bos_token_id", {}, "dict"),
        ],
    )
    def test_wrong_value(self, folder, key, value, problem):
        edit_config(folder, **{key: value})
        refused(folder, str(folder), problem)

    def test_broken_generation_config(self, folder):
        (folder / "generation_config.json").write_text("{")
        refused(folder, str(folder / "generation_config.json"))


class TestWeights:
    def test_missing(self, folder):
        (folder / "model.safetensors").unlink()
        refused(folder, str(folder), "has no model.safetensors")

    @pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.ckpt"])
    def test_pickled(self, folder, name):
        (folder / "model.safetensors").rename(folder / name)
        refused(folder, "only pickled weights", name, "convert")

    @pytest.mark.parametrize("kept", [0, 5, 8, 100, -4, -1])
    def test_truncated(self, folder, kept):
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:kept])
        refused(folder, str(path), "truncated")

    @pytest.mark.parametrize("content", [b"PK\x03\x04" + b"0" * 200, b"\x00" * 16, b"version https://git-lfs.github.com/spec/v1\n"])
    def test_no_safetensors(self, folder, content):
        (folder / "model.safetensors").write_bytes(content)
        refused(folder, str(folder / "model.safetensors"), "no safetensors file")

    @pytest.mark.parametrize(
        "change",
        [
            lambda header: b"{" + b" " * 20,
            lambda header: b"\xff" * 30,
            lambda header: [1, 2],
            lambda header: {"wte.weight": "F32"},
            lambda header: {"wte.weight": {"dtype": "F32"}},
            lambda header: {"wte.weight": {"dtype": "F32", "shape": ["x"], "data_offsets": [0, 4]}},
            lambda header: {"wte.weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 2, 4]}},
            lambda header: {"wte.weight": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}},
            lambda header: {"wte.weight": {"dtype": "F32", "shape": [-1], "data_offsets": [4, 0]}},
            lambda header: {"wte.weight": {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}},
            lambda header: {"wte.weight": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}},
            lambda header: {"wte.weight": {"dtype": "F32", "shape": [1.5], "data_offsets": [0, 4]}},
        ],
    )
    def test_wrong_header(self, folder, change):
        edit_header(folder, change)
        refused(folder, str(folder / "model.safetensors"), "header")

    def test_unsupported_type(self, folder):
        edit_header(folder, lambda header: header | {"transformer.wte.weight": header["transformer.wte.weight"] | {"dtype": "F8_E4M3"}})
        refused(folder, "model.safetensors", "transformer.wte.weight is stored as F8_E4M3")

    def test_offsets_beyond_the_file(self, folder):
        last = 1 << 40
        entry = {"dtype": "F32", "shape": [last // 4], "data_offsets": [0, last]}
        edit_header(folder, lambda header: header | {"transformer.wte.weight": entry})
        refused(folder, "model.safetensors", "transformer.wte.weight needs bytes 0-1099511627776")

    @pytest.mark.parametrize("shape", [[10**30, 0], [2**62, 2**62, 0], [2**63, 0]])
    def test_sizes_beyond_all_memory_of_a_tensor_that_holds_nothing(self, folder, shape):
        edit_header(folder, lambda header: header | {"transformer.more": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}})
        refused(folder, str(folder / "model.safetensors"))

    @pytest.mark.parametrize(
        ("moved", "problem"),
        [
            (-4, "the tensors transformer.h.0.attn.c_attn.weight and transformer.h.0.attn.c_proj.bias overlap"),
            (4, "between transformer.h.0.attn.c_attn.weight and transformer.h.0.attn.c_proj.bias are no tensor's"),
        ],
    )
    def test_tensors_lie_one_after_the_other(self, folder, moved, problem):
        """As the format wants it, so that no bytes are read twice and none carry what nobody looks at."""

        def move(header):
            at = header["transformer.h.0.attn.c_proj.bias"]["data_offsets"][0]
            after = [entry for name, entry in header.items() if name != "__metadata__" and entry["data_offsets"][0] >= at]
            for entry in after:
                entry["data_offsets"] = [n + moved for n in entry["data_offsets"]]
            return header

        edit_header(folder, move)
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes() + b"\0" * 8)
        refused(folder, str(path), problem)

    def test_bytes_that_are_left_over(self, folder):
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes() + b"\0" * 8)
        refused(folder, str(path), "bytes ", " are no tensor's")

    @pytest.mark.parametrize("name", ["wte.weight", "wpe.weight", "ln_f.bias", "h.1.attn.c_attn.weight", "h.0.mlp.c_proj.bias"])
    def test_tensor_missing(self, folder, name):
        edit_weights(folder, **{f"transformer.{name}": None})
        refused(folder, str(folder), f"the weights lack 'transformer.{name}'")

    @pytest.mark.parametrize(
        ("name", "shape"),
        [
            ("h.0.attn.c_attn.weight", (WIDTH, WIDTH)),
            ("h.1.mlp.c_proj.weight", (WIDTH, 4 * WIDTH)),
            ("ln_f.weight", (WIDTH + 1,)),
            ("wpe.weight", (CONTEXT, WIDTH - 1)),
            ("wpe.weight", (CONTEXT,)),
            ("wte.weight", (WIDTH,)),
        ],
    )
    def test_mismatched_shape(self, folder, name, shape):
        edit_weights(folder, **{f"transformer.{name}": np.zeros(shape, np.float32)})
        refused(folder, str(folder), name, "shape")

    def test_mismatched_head(self, folder):
        edit_config(folder, tie_word_embeddings=False)
        edit_weights(folder, **{"lm_head.weight": np.zeros((9, WIDTH), np.float32)})
        refused(folder, str(folder), "lm_head.weight has shape (9, 8)")

    def test_untied_head_missing(self, folder):
        edit_config(folder, tie_word_embeddings=False)
        refused(folder, str(folder), "the weights lack lm_head.weight")

    @pytest.mark.parametrize("decoder", ["greedy", "beam(3)", "top_p(0.9) | sample(2)", "contrastive_search(3)"])
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_nan(self, folder, decoder, value):
        bias = np.full(WIDTH, value, np.float32)
        edit_weights(folder, **{"transformer.h.1.mlp.c_proj.bias": bias})
        lm = un.load(folder)
        with pytest.raises(un.ModelError, match=r"NaN or infinity, and so do its weights transformer\.h\.1\.mlp\.c_proj\.bias;"):
            lm.generate("Once", decoder, max_new_tokens=3)
        with pytest.raises(un.ModelError, match=r"transformer\.h\.1\.mlp\.c_proj\.bias"):
            lm.score("Once", " upon")

    def test_what_an_infinite_weight_does_not_reach_is_right(self, folder):
        """A token whose row is broken is no matter until it is read, in a model with a head of its own."""
        edit_config(folder, tie_word_embeddings=False)
        weights = load_file(folder / "model.safetensors")
        head = np.random.default_rng(5).normal(size=weights["transformer.wte.weight"].shape).astype(np.float32)
        edit_weights(folder, **{"lm_head.weight": head})
        expected = un.load(folder).generate([3, 4], max_new_tokens=3)
        wide = weights["transformer.wte.weight"].copy()
        unread = next(t for t in range(5, 20) if t not in expected.tokens)
        wide[unread] = np.inf
        edit_weights(folder, **{"transformer.wte.weight": wide, "lm_head.weight": head})
        found = un.load(folder).generate([3, 4], max_new_tokens=3)
        assert (found.tokens, found.logprob) == (expected.tokens, expected.logprob)
        with pytest.raises(un.ModelError, match=r"transformer\.wte\.weight"):
            un.load(folder).generate([3, unread], max_new_tokens=3)

    def test_a_token_that_a_head_s_bias_rules_out(self, folder):
        weights = load_file(folder / "model.safetensors")
        first = un.load(folder).generate([3, 4], max_new_tokens=1).tokens[0]
        bias = np.zeros(len(weights["transformer.wte.weight"]), np.float32)
        bias[first] = -np.inf
        edit_weights(folder, **{"lm_head.bias": bias})
        assert un.load(folder).generate([3, 4], max_new_tokens=1).tokens[0] != first

    def test_arithmetic_that_overflows(self, folder):
        edit_weights(folder, **{"transformer.ln_f.weight": np.full(WIDTH, 3e38, np.float32)})
        with pytest.raises(un.ModelError, match=r"its weights are finite: its arithmetic overflowed"):
            un.load(folder).generate("Once", max_new_tokens=3)


class TestHeads:
    """A head beside tie_word_embeddings: true."""

    @pytest.mark.field("F91")
    def test_one_of_its_own_counts_and_that_is_said(self, folder):
        tied = un.load(folder).generate([3, 4], max_new_tokens=5)
        embedding = load_file(folder / "model.safetensors")["transformer.wte.weight"]
        edit_weights(folder, **{"lm_head.weight": embedding[::-1].copy()})
        with pytest.warns(UserWarning, match=r"tie_word_embeddings.*lm_head\.weight.*transformer\.wte\.weight; it counts"):
            lm = un.load(folder)
        other = lm.generate([3, 4], max_new_tokens=1)
        assert other.tokens == [len(embedding) - 1 - tied.tokens[0]]
        edit_config(folder, tie_word_embeddings=False)
        assert un.load(folder).generate([3, 4], max_new_tokens=5).tokens[:1] == other.tokens

    def test_an_equal_one_is_the_same_model(self, folder):
        before = un.load(folder)
        embedding = load_file(folder / "model.safetensors")["transformer.wte.weight"]
        edit_weights(folder, **{"lm_head.weight": embedding})
        after = un.load(folder)
        assert after.notes == ()
        assert after.model.parameters == before.model.parameters
        assert after.model.output.weight is after.model.embedding

    def test_the_head_alone_is_the_embedding_too(self, folder):
        """As transformers ties either to the one that is there."""
        tied = un.load(folder).generate([3, 4], max_new_tokens=5).tokens
        embedding = load_file(folder / "model.safetensors")["transformer.wte.weight"]
        edit_weights(folder, **{"lm_head.weight": embedding, "transformer.wte.weight": None})
        assert un.load(folder).generate([3, 4], max_new_tokens=5).tokens == tied

    def test_one_of_another_shape_is_refused(self, folder):
        edit_weights(folder, **{"lm_head.weight": np.zeros((9, WIDTH), np.float32)})
        refused(folder, str(folder), "lm_head.weight has shape (9, 8)")


class TestShards:
    @pytest.mark.field("F91")
    def test_shard_missing(self, folder):
        shard(folder)
        (folder / "model-2-of-2.safetensors").unlink()
        refused(folder, str(folder), "lacks the shard model-2-of-2.safetensors that model.safetensors.index.json names")

    def test_shard_truncated(self, folder):
        shard(folder)
        path = folder / "model-2-of-2.safetensors"
        path.write_bytes(path.read_bytes()[:-7])
        refused(folder, str(path), "truncated")

    def test_tensor_in_no_shard(self, folder):
        write_index(folder, shard(folder) | {"transformer.extra": "model-1-of-2.safetensors"})
        refused(folder, str(folder), "model.safetensors.index.json names transformer.extra, which is in no shard")

    def test_tensor_in_two_shards(self, folder):
        shard(folder)
        both = load_file(folder / "model-1-of-2.safetensors") | load_file(folder / "model-2-of-2.safetensors")
        save_file(both, folder / "model-2-of-2.safetensors")
        refused(folder, str(folder), "is in two shards")

    @pytest.mark.parametrize("content", ["", "{", "[]", "{}", *(json.dumps({"weight_map": m}) for m in (3, ["a"], {"a": 1}, {"a": None}))])
    def test_broken_index(self, folder, content):
        shard(folder)
        (folder / "model.safetensors.index.json").write_text(content)
        refused(folder, str(folder / "model.safetensors.index.json"), "is no index of shards", "weight_map")

    def test_broken_encoding_of_the_index(self, folder):
        shard(folder)
        (folder / "model.safetensors.index.json").write_bytes(b"\xff\xfe{}")
        refused(folder, str(folder / "model.safetensors.index.json"), "is no index of shards")

    @pytest.mark.parametrize("name", ["../model-1-of-2.safetensors", "/etc/hostname"])
    def test_shard_outside_the_folder(self, folder, name):
        place = shard(folder)
        shutil.copy(folder / "model-1-of-2.safetensors", folder.parent)
        write_index(folder, {tensor: name if "1-of" in file else file for tensor, file in place.items()})
        refused(folder, str(folder / "model.safetensors.index.json"), name, "outside")


class TestTokenizer:
    def test_missing(self, folder):
        (folder / "tokenizer.json").unlink()
        refused(folder, str(folder), "has no tokenizer")

    def test_broken(self, folder):
        (folder / "tokenizer.json").write_text("{")
        refused(folder, str(folder), "cannot read the tokenizer")

    def test_more_tokens_than_the_model(self, folder):
        edit_config(folder, vocab_size=100)
        edit_weights(folder, **{"transformer.wte.weight": np.zeros((100, WIDTH), np.float32)})
        lm = un.load(folder)
        assert lm.generate([1, 2], max_new_tokens=2).tokens
        bundled = read_tokenizer(folder).encode("king")
        assert max(bundled) >= 100
        with pytest.raises(un.PromptError, match="is outside the model's vocabulary of 100"):
            lm.generate("king")
        with pytest.raises(un.ParameterError, match=r"suppress: there is no token 100; this model's ids are 0 to 99"):
            lm.generate([1], un.Suppress(100))

    def test_fewer_tokens_than_the_model(self, folder):
        """As in checkpoints whose embedding is padded: fine, and the tokens without a name stand for nothing."""
        edit_config(folder, vocab_size=512)
        edit_weights(folder, **{"transformer.wte.weight": np.random.default_rng(1).normal(size=(512, WIDTH)).astype(np.float32)})
        unnamed = un.FromHf(lambda ids, scores: np.where(np.arange(512) // 2 == 250, scores, -np.inf))
        found = un.load(folder).generate("Once", unnamed | un.Greedy(), max_new_tokens=3)
        assert found.text == ""
        assert re.fullmatch(r"\[50[01], 50[01], 50[01]\]", str(found.tokens))
