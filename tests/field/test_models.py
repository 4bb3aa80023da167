"""Field cases of models: ragged batches, folders, contexts, chat, the settings of a folder, and what the program is given."""

import json
import shutil

import pytest
from helpers.program import BUNDLED, program_out, program_refusal, tiny_folder
from helpers.tables import run

import unspool as un

SMALL = {"vocab_size": 24, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 8}
SMALL |= {"num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
RAGGED = [[5, 6, 3], [4], [7, 7, 7, 8, 9, 10, 11, 12, 3], [12, 3, 20, 21]]


def made(kind, **changes):
    """A random checkpoint of a kind."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, **{**SMALL, **changes})
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    for weight in model.parameters():
        if weight.ndim > 1:
            weight.data = torch.randn_like(weight) * 0.3
    return model


def theirs(model, prompt, ends, **settings):
    import torch

    ids = torch.tensor([prompt])
    with torch.no_grad():
        rows = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=10, do_sample=False, pad_token_id=0,
                              eos_token_id=list(ends), **settings)  # fmt: skip
    new = rows[0].tolist()[len(prompt) :]
    return new[: next((i + 1 for i, t in enumerate(new) if t in ends), len(new))]


@pytest.mark.field("F66")
@pytest.mark.parametrize(("kind", "changes"), [("llama", {}), ("mistral", {"sliding_window": 4}), ("gemma2", {"sliding_window": 4})])
@pytest.mark.parametrize("ends", [(2,), (2, 9), (2, 9, 14)])
def test_a_ragged_batch_changes_nothing(kind, changes, ends):
    from unspool.models.hf import TransformersModel
    from unspool.models.reading import read_transformer

    model = made(kind, **changes)
    own = read_transformer(kind, model.config.to_dict(), {k: v.numpy() for k, v in model.state_dict().items()})
    for mine in (own, TransformersModel(model)):
        for decoder, settings in (("greedy", {}), ("beam(3)", {"num_beams": 3, "early_stopping": False})):
            together = run(mine, decoder, RAGGED, 10, end_tokens=ends)
            for prompt, found in zip(RAGGED, together, strict=True):
                assert found[0].tokens == run(mine, decoder, [prompt], 10, end_tokens=ends)[0][0].tokens
                assert list(found[0].tokens) == theirs(model, prompt, ends, **settings)


@pytest.mark.field("F89")
@pytest.mark.parametrize(("decoder", "settings"), [("greedy", {}), ("beam(3)", {"num_beams": 3})])
def test_the_state_of_a_recurrent_model_follows_its_row(decoder, settings):
    pytest.importorskip("transformers")
    from unspool.models.hf import TransformersModel

    model = made("mamba", state_size=4)
    for prompt, found in zip(RAGGED, run(TransformersModel(model), decoder, RAGGED, 10, end_tokens=(2,)), strict=True):
        assert list(found[0].tokens) == theirs(model, prompt, (2,), **settings)


@pytest.mark.field("F22")
@pytest.mark.parametrize(
    ("own", "given", "ends"), [(7, {"eos_token_id": [2, 432]}, (2, 432)), (7, {"eos_token_id": None}, ()), (7, {}, (7,)), (7, None, (7,))]
)
def test_end_tokens_of_two_files(own, given, ends, tmp_path):
    folder = tiny_folder(tmp_path / "model", {"eos_token_id": own})
    if given is not None:
        (folder / "generation_config.json").write_text(json.dumps(given))
    transformers = pytest.importorskip("transformers")
    lm = un.load(folder)
    assert lm.model.end_tokens == ends
    if given:
        asked = transformers.GenerationConfig.from_pretrained(folder).eos_token_id
        assert (tuple(asked) if isinstance(asked, list) else () if asked is None else (asked,)) == ends


@pytest.mark.field("F93")
def test_a_prompt_is_never_cut(tmp_path):
    lm = un.load(tiny_folder(tmp_path / "model"))
    assert lm.model.context == 16
    for n in (16, 17, 40):
        with pytest.raises(un.PromptError, match="16"):
            lm.generate([5] * n)
    out = lm.generate([5] * 13, max_new_tokens=99, end_tokens=())
    assert (len(out.tokens), out.best.reason) == (3, "context")


@pytest.mark.field("F92")
def test_what_a_folder_asks_for_is_said_and_not_done(tmp_path):
    for path in BUNDLED.iterdir():
        shutil.copy(path, tmp_path) if path.is_file() else None
    asks = tmp_path / "generation_config.json"
    plain = json.loads(asks.read_text())
    before = un.load(tmp_path).generate("Once", max_new_tokens=4).text
    asks.write_text(json.dumps(plain | {"repetition_penalty": 1.8, "suppress_tokens": [5]}))
    with pytest.warns(UserWarning, match=r"repetition_penalty\(1\.8\) \| suppress\(5\)"):
        lm = un.load(tmp_path)
    assert lm.generate("Once", max_new_tokens=4).text == before


@pytest.mark.field("F104")
def test_the_program_reads_any_prompt_as_it_is(tmp_path):
    few = ("--max-new-tokens", "3", "-o", "json")

    def prompt_of(data):
        return json.loads(program_out("-", *few, stdin=data))[0]["prompt"]

    text = "A crown 👑"
    assert prompt_of(text.encode()) == prompt_of(f"{text}\n".encode()) == prompt_of(f"{text}\r\n".encode()) == text
    said = program_refusal("-", *few, stdin=text.encode()[:-1])
    assert "no UTF-8" in said
    assert "byte" in said


def test_the_random_checkpoints_say_different_things():
    """Otherwise equal texts would show nothing."""
    model = made("llama")
    assert len({tuple(theirs(model, prompt, (2,))) for prompt in RAGGED}) >= 3
