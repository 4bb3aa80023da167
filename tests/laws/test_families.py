"""A family of transformers is one entry of a table: no other code knows its name."""

import ast
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.checkpoints import tiny_gpt2

import unspool
from unspool.models.architecture import check_architecture
from unspool.models.families import FAMILIES
from unspool.models.reading import read_transformer

ROOT = Path(unspool.__file__).parent
TABLE = ROOT / "models" / "families.py"
OTHER_NAMES = (ROOT / "models" / "gguf", ROOT / "models" / "known.py")
"""Where the same words are other names: of GGUF's architectures, tokenizers and ways to cut texts, and of single models."""


def literals(path):
    """Strings of a module that are no docstrings."""
    nodes = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            nodes += ast.iter_child_nodes(node)


def test_the_table_names_the_families():
    assert set(FAMILIES) <= set(literals(TABLE))


def test_no_other_code_asks_for_a_family():
    others = [path for path in ROOT.rglob("*.py") if path != TABLE and not set(OTHER_NAMES) & {path, *path.parents}]
    asking = {str(path): asked for path in others if (asked := set(FAMILIES) & set(literals(path)))}
    assert not asking, "what differs is a field of Family"


@pytest.mark.parametrize("name", ["reading.py", "transformer.py", "rope.py", "slots.py"])
def test_what_computes_speaks_of_no_family(name):
    words = {word for text in literals(ROOT / "models" / name) for word in re.findall(r"\w+", text)}
    assert not set(FAMILIES) & words


def test_a_new_family_is_one_entry(monkeypatch):
    config, weights = tiny_gpt2(4)
    names = {"h.": "trunk.", "wte.": "words.", "mlp.c_fc.": "mlp.wide.", "ln_2.": "second."}
    renamed = {}
    for name, array in weights.items():
        for old, new in names.items():
            name = name.replace(old, new)
        renamed["new." + name] = array
    entry = replace(
        FAMILIES["gpt2"],
        layer="new.trunk.{}.",
        embedding="new.words",
        positions="new.wpe",
        final_norm="new.ln_f",
        up="mlp.wide",
        before_mlp="second",
    )
    monkeypatch.setitem(FAMILIES, "new", entry)
    assert check_architecture({**config, "model_type": "new"}) == "new"
    old, new = read_transformer("gpt2", config, weights), read_transformer("new", config, renamed)
    assert new.architecture == "new"
    assert all(np.array_equal(a, b) for a, b in zip(old.arrays(), new.arrays(), strict=True))
    assert np.array_equal(logits(old), logits(new))


def logits(model):
    session = model.session()
    return session.logits(session.extend([-1], [[1, 2, 3]]))
