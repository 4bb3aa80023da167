"""GPT-2 gives the logits of transformers, whatever the shape, the file and the order of computing."""

import json
import subprocess
import sys

import numpy as np
import pytest

import unspool as un
from unspool.arrays import host
from unspool.core.model import ROOT
from unspool.models.reading import read_transformer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TOLERANCE = 1e-4
SMALL = {"vocab_size": 320, "n_positions": 64, "n_embd": 24, "n_layer": 2, "n_head": 3}
SHAPES = {
    "small": {},
    "one layer, one head": {"n_layer": 1, "n_head": 1, "n_embd": 8},
    "deep": {"n_layer": 6, "n_head": 4, "n_embd": 32},
    "narrow inner": {"n_inner": 40},
    "inverse layer": {"scale_attn_by_inverse_layer_idx": True, "n_layer": 4},
    "unscaled attention": {"scale_attn_weights": False},
    "both scalings": {"scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True},
    "upcast attention": {"reorder_and_upcast_attn": True},
    "relu": {"activation_function": "relu"},
    "gelu_pytorch_tanh": {"activation_function": "gelu_pytorch_tanh"},
    "gelu": {"activation_function": "gelu"},
    "silu": {"activation_function": "silu"},
    "gelu_fast": {"activation_function": "gelu_fast"},
    "untied head": {"tie_word_embeddings": False},
    "large epsilon": {"layer_norm_epsilon": 0.1},
}
LIBRARIES = ["numpy", "torch"]


def made(seed=0, **settings):
    """A random checkpoint of transformers."""
    torch.manual_seed(seed)
    config = transformers.GPT2Config(**SMALL | {"initializer_range": 0.25, "bos_token_id": 0, "eos_token_id": 1} | settings)
    model = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for name, array in model.named_parameters():
            if name.endswith("bias") or "ln_" in name:                    # which begin as zeros and ones
                array.add_(torch.randn_like(array) * 0.2)
    return model


def ours_of(model, library):
    weights = {name: array.numpy() if library == "numpy" else array for name, array in model.state_dict().items()}
    return read_transformer("gpt2", model.config.to_dict(), weights)


def theirs(model, tokens):
    """Logits after every token."""
    with torch.no_grad():
        return model(torch.tensor([list(map(int, tokens))])).logits[0].numpy()


def after_all(session, row):
    """Logits after every token of a row."""
    return host(session.logits(session.nodes.path(int(row))))


def text(count, seed=0, vocabulary=320):
    return np.random.default_rng(seed).integers(vocabulary, size=count)


@pytest.fixture
def folder(tmp_path, small_tokenizer):
    small_tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("settings", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("seed", [0, 1])
def test_logits(settings, library, seed):
    model, tokens = made(seed, **settings), text(30, seed)
    session = ours_of(model, library).session()
    row = session.extend([ROOT], [tokens])[0]
    np.testing.assert_allclose(after_all(session, row), theirs(model, tokens), atol=TOLERANCE, rtol=0)


def test_unknown_activation_is_refused():
    with pytest.raises(un.ModelError, match="the activation 'mish' is not supported"):
        ours_of(made(activation_function="mish"), "numpy")


class TestOrders:
    """The same text in any order of computing."""

    @pytest.mark.parametrize("library", LIBRARIES)
    @pytest.mark.parametrize("length", [255, 256, 257, 600])
    def test_long_prompt(self, library, length):
        model, tokens = made(n_positions=700), text(length)
        session = ours_of(model, library).session()
        row = session.extend([ROOT], [tokens])[0]
        np.testing.assert_allclose(after_all(session, row), theirs(model, tokens), atol=TOLERANCE, rtol=0)

    @pytest.mark.parametrize("library", LIBRARIES)
    def test_batch_of_lengths(self, library):
        model = made(n_positions=400)
        session = ours_of(model, library).session()
        texts = [text(n, n) for n in (1, 300, 7, 64, 256)]
        for row, tokens in zip(session.extend([ROOT] * len(texts), texts), texts, strict=True):
            np.testing.assert_allclose(after_all(session, row), theirs(model, tokens), atol=TOLERANCE, rtol=0)

    @pytest.mark.parametrize("library", LIBRARIES)
    def test_cached_is_uncached(self, library):
        model, tokens = made(), text(40)
        session = ours_of(model, library).session()
        row, seen = ROOT, []
        for token in tokens:
            (row,) = session.extend([row], [[token]])
            seen.append(host(session.logits([row]))[0])
        np.testing.assert_allclose(seen, theirs(model, tokens), atol=TOLERANCE, rtol=0)

    @pytest.mark.parametrize("library", LIBRARIES)
    @pytest.mark.parametrize("seed", range(4))
    def test_random_tree(self, library, seed):
        """Rows fork, wait, are forgotten and grow by chains of any length, over several prompts at once."""
        model, chance = made(n_positions=128), np.random.default_rng(seed)
        session = ours_of(model, library).session()
        rows = list(session.extend([ROOT] * 3, [text(n, seed + n) for n in (2, 9, 20)]))
        for _ in range(8):
            parents = [rows[i] for i in chance.integers(len(rows), size=chance.integers(1, 30))]
            chains = [text(n, int(chance.integers(1000))) for n in chance.integers(1, 5, size=len(parents))]
            rows += list(session.extend(parents, chains))
            rows = [rows[i] for i in chance.permutation(len(rows))[:12]]
            session.keep(rows)
        logits = host(session.logits(rows))
        for row, mine in zip(rows, logits, strict=True):
            np.testing.assert_allclose(mine, theirs(model, session.nodes.tokens(int(row)))[-1], atol=TOLERANCE, rtol=0)


class TestFiles:
    @pytest.mark.field("F91")
    @pytest.mark.parametrize("backend", LIBRARIES)
    @pytest.mark.parametrize("shard", ["1GB", "20KB"])
    @pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
    @pytest.mark.parametrize("tied", [True, False])
    def test_saved(self, folder, dtype, shard, backend, tied):
        model, tokens = made(tie_word_embeddings=tied).to(getattr(torch, dtype)), text(30)
        model.save_pretrained(folder, max_shard_size=shard)
        assert (len(list(folder.glob("*.safetensors"))) > 1) == (shard == "20KB")
        session = un.load(folder, backend=backend).model.session()
        row = session.extend([ROOT], [tokens])[0]
        np.testing.assert_allclose(after_all(session, row), theirs(model.float(), tokens), atol=TOLERANCE, rtol=0)

    @pytest.mark.filterwarnings("ignore:torch computes this model")
    @pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.3), ("float16", 0.05)])
    def test_computed_in(self, folder, dtype, tolerance):
        model = made()
        model.save_pretrained(folder)
        lm = un.load(folder, dtype=dtype)
        assert lm.info["dtype"] == dtype
        mine = lm.score("Once upon", " a time there was a king").logprob
        assert mine == pytest.approx(un.load(folder).score("Once upon", " a time there was a king").logprob, abs=30 * tolerance)
        for decoder in ("beam(3)", "top_k(5) | sample(2)", "bias(((5, 2.0),)) | mirostat(3.0) | sample(1)", "contrastive_search(4)"):
            assert len(lm.generate("Once upon", decoder, max_new_tokens=4, end_tokens=()).tokens) == 4

    def test_end_and_start_tokens(self, folder):
        made(eos_token_id=7, bos_token_id=5).save_pretrained(folder)
        assert (un.load(folder).model.end_tokens, un.load(folder).model.start) == ((7,), 5)
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 9]}))
        assert un.load(folder).model.end_tokens == (7, 9)

    def test_tokenizer_in_two_files(self, tmp_path, small_tokenizer):
        made().save_pretrained(tmp_path)
        small_tokenizer.save_model(str(tmp_path))
        both = un.load(tmp_path).generate("Once upon", max_new_tokens=5)
        (tmp_path / "vocab.json").unlink()
        small_tokenizer.save(str(tmp_path / "tokenizer.json"))
        assert un.load(tmp_path).generate("Once upon", max_new_tokens=5).tokens == both.tokens

    def test_torch_is_not_imported(self, folder):
        """Loading and decoding, whatever the stored type, work without torch."""
        made().to(torch.bfloat16).save_pretrained(folder, max_shard_size="20KB")
        code = (
            "import sys, unspool; lm = unspool.load(sys.argv[1]); "
            "print(len(lm.generate('Once', 'top_p(0.9) | sample(2)', max_new_tokens=3, end_tokens=()).tokens)); "
            "print(sorted({'torch', 'transformers', 'pandas'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
        assert done.stdout.split("\n")[:2] == ["3", "[]"]

    def test_greedy_text_of_transformers(self, folder):
        model = made()
        model.save_pretrained(folder)
        lm = un.load(folder)
        prompt = torch.tensor([lm.tokenizer.encode("Once upon a time 👑")])
        with torch.no_grad():
            their = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=20, do_sample=False, pad_token_id=0)
        assert lm.generate("Once upon a time 👑", max_new_tokens=20).tokens == their[0, prompt.shape[1] :].tolist()
