"""Folders read through transformers: what runs, what is refused, and what is said where the library is missing."""

import json
import shutil
import sys

import numpy as np
import pytest
from helpers.program import BUNDLED, called

import unspool as un
from unspool.models.tokenizer_folder import read_tokenizer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.fixture
def folder(theirs, tmp_path):
    """A StableLM, which is no family of ours, with the bundled tokenizer."""
    config = transformers.StableLmConfig(**{**theirs("stablelm").config.to_dict(), "vocab_size": 4096})
    torch.manual_seed(0)
    transformers.StableLmForCausalLM(config).save_pretrained(tmp_path)
    shutil.copy(BUNDLED / "tokenizer.json", tmp_path)
    return tmp_path


def test_a_family_that_is_not_ours_runs(folder):
    lm = un.load(folder, backend="transformers")
    assert lm.model.architecture == "stablelm"
    assert lm.info["backend"] == "transformers"
    assert lm.info["dtype"] == "float32"
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = torch.tensor([lm.tokens_of("Once upon a time")])
    with torch.no_grad():
        their = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=5, do_sample=False)
    assert lm.generate("Once upon a time", max_new_tokens=5).tokens == their[0, ids.shape[1] :].tolist()
    code, text, said = called("Once upon a time", "-m", str(folder), "--backend", "transformers", "--max-new-tokens", "3")
    assert (code, said) == (0, "")
    assert text.startswith("Once upon a time")


def test_dtype_is_as_asked(folder):
    assert un.load(folder, backend="transformers", dtype="bfloat16").model.dtype == torch.bfloat16


def test_the_bundled_model_says_the_same_through_transformers():
    ours, through = un.load(), un.load(backend="transformers")
    one, other = (lm.score("Once upon a time", " there was a king") for lm in (ours, through))
    np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-4)


def test_without_the_backend_the_error_names_it(folder):
    with pytest.raises(un.ModelError, match=r"stablelm.*backend='transformers'.*unspool\[transformers\]"):
        un.load(folder)


def test_missing_libraries_say_how_to_install_them(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(un.MissingExtra, match=r"pip install 'unspool\[transformers\]'"):
        un.load(folder, backend="transformers")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text("{}")
    with pytest.raises(un.MissingExtra, match=r"tokenizer.*unspool\[transformers\]"):
        read_tokenizer(folder)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"model_type": "t5", "is_encoder_decoder": True, "architectures": ["T5ForConditionalGeneration"]}, "encoder-decoder"),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "encoder"),
        ({"model_type": "clip", "architectures": ["CLIPModel"]}, "no causal language model"),
        ({"model_type": "stranger", "architectures": ["StrangerForCausalLM"]}, "stranger"),
        ({"model_type": "stranger", "auto_map": {"AutoConfig": "evil.Evil"}}, "cannot read the configuration"),
    ],
)
def test_other_kinds_are_refused_by_name(config, says, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "evil.py").write_text("raise SystemExit('code of the folder ran')")
    with pytest.raises(un.UnspoolError, match=says):
        un.load(tmp_path, backend="transformers")


def test_weights_that_are_missing_or_pickled_are_refused(folder):
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    weights = load_file(path)
    name = next(n for n in weights if n.endswith("down_proj.weight"))
    save_file({k: v for k, v in weights.items() if k != name}, path, metadata={"format": "pt"})
    with pytest.raises(un.ModelError, match=f"lacks weights: {name}"):
        un.load(folder, backend="transformers")
    torch.save(weights, folder / "pytorch_model.bin")
    path.unlink()
    with pytest.raises(un.ModelError, match="safetensors"):
        un.load(folder, backend="transformers")


def test_a_device_that_is_not_there(folder):
    if torch.cuda.is_available():
        pytest.skip("this machine has it")
    with pytest.raises(un.ParameterError, match="cuda"):
        un.load(folder, backend="transformers", device="cuda", dtype="float32")


def test_a_model_without_a_cache_says_so(theirs, tmp_path):
    """Once where it is loaded, in the library a warning, in the program a line, and in what `models` shows."""
    config = transformers.MambaConfig(**{**theirs("mamba").config.to_dict(), "vocab_size": 4096})
    transformers.MambaForCausalLM(config).save_pretrained(tmp_path)
    shutil.copy(BUNDLED / "tokenizer.json", tmp_path)
    with pytest.warns(UserWarning, match=r"MambaForCausalLM \(mamba\) runs without a cache") as said:
        lm = un.load(tmp_path, backend="transformers")
    assert len(said) == 1
    assert lm.notes == (str(said[0].message),)
    code, text, line = called("models", str(tmp_path), "--backend", "transformers")
    assert code == 0
    assert text.count("runs without a cache") == line.count("runs without a cache") == line.count("\n") == 1
    assert un.load(backend="transformers").notes == un.load().notes == ()

