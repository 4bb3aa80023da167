"""A tiny random checkpoint, as lm_eval's own model for transformers and as unspool's, and tasks that are written here."""

from pathlib import Path

import pytest

TASKS = Path(__file__).parent / "tasks"
CHAT = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
CHAT += "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


def pytest_collection_modifyitems(items):
    for item in items:
        if "/tests/harness/" in str(item.path):
            item.add_marker(pytest.mark.filterwarnings("default"))        # lm_eval and what it brings along warn of each other


def save(folder, kind, tokenizer, **more):
    """A random model of transformers with a trained tokenizer, saved as a folder."""
    import torch
    import transformers

    torch.manual_seed(1)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **more)
    names = {"bos_token_id": fast.bos_token_id, "eos_token_id": fast.eos_token_id, "vocab_size": len(fast)}
    if kind == "gpt2":
        config = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=96, **names)
    else:
        sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
        config = transformers.LlamaConfig(max_position_embeddings=96, **sizes, **names)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    for weight in model.parameters():
        if weight.ndim > 1:
            weight.data = torch.randn_like(weight) * 0.3
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Checkpoints by name: byte-level tokens without a start token, and SentencePiece's with one."""
    pytest.importorskip("lm_eval")
    pytest.importorskip("torch")
    from hf.kinds import byte_level_with_words, sentencepiece_bpe

    root = tmp_path_factory.mktemp("checkpoints")
    bytes_level = {"eos_token": "<|endoftext|>", "chat_template": CHAT}
    pieces = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return {
        "gpt2": save(root / "gpt2", "gpt2", byte_level_with_words(), **bytes_level),
        "llama": save(root / "llama", "llama", sentencepiece_bpe(), **pieces),
    }


@pytest.fixture(scope="session")
def manager(tmp_path_factory):
    """The tasks of this folder alone; what `datasets` keeps of their data lies in a folder of the run."""
    pytest.importorskip("lm_eval")
    from lm_eval.tasks import TaskManager

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(TASKS)                                                # where the tasks' data is found
        patch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("datasets"))
        yield TaskManager(include_path=str(TASKS), include_defaults=False)


@pytest.fixture(scope="session")
def theirs(folders):
    """name -> lm_eval's own model of a checkpoint."""
    from lm_eval.models.huggingface import HFLM

    return {name: HFLM(str(folder), device="cpu", dtype="float32", batch_size=4) for name, folder in folders.items()}


@pytest.fixture(scope="session")
def ours(folders):
    """name -> unspool's model of the same."""
    from unspool.harness.model import UnspoolLM

    return {name: UnspoolLM(str(folder)) for name, folder in folders.items()}


@pytest.fixture
def evaluated(manager):
    """The results of a model on tasks."""
    from lm_eval import simple_evaluate

    def run(model, *tasks, **more):
        return simple_evaluate(model, tasks=list(tasks), task_manager=manager, bootstrap_iters=0, **more)

    return run
