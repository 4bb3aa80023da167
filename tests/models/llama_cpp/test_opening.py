"""GGUF files are opened by llama.cpp when it is asked for, or when unspool's own engine cannot read them."""

import gc
import re
import sys

import pytest

pytest.importorskip("llama_cpp")
pytest.importorskip("gguf")

from helpers.llama_cpp import strange_file, tiny_file
from helpers.program import out, refusal

import unspool as un
from unspool.errors import MissingExtra, ModelError, ParameterError
from unspool.models.llama_cpp import library as lib

WIDE = 80


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gguf")
    return {"float": tiny_file(folder / "a.gguf"), "q8": tiny_file(folder / "b.gguf", "Q8_0"), "foreign": strange_file(folder / "c.gguf")}


def test_the_own_engine_is_the_default_where_it_can(files):
    assert un.load(files["float"]).info["backend"] in ("compiled", "numpy")
    assert un.load(files["foreign"]).info["backend"] == "llama.cpp"
    assert un.load(files["q8"], backend="llama.cpp").info["dtype"] == "Q8_0"


def test_without_the_package_it_is_said_how_it_is_installed(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    lib.library.cache_clear()
    with pytest.raises(MissingExtra, match=re.escape("pip install 'unspool[llama-cpp]'")):
        un.load(files["float"], backend="llama.cpp")
    monkeypatch.setattr(lib, "is_installed", lambda: False)
    with pytest.raises(ModelError, match=r"olmo.*pip install 'unspool\[llama-cpp\]'"):
        un.load(files["foreign"])


def test_what_it_cannot_do_is_refused_in_one_line(files, tmp_path):
    with pytest.raises(ParameterError, match="own number formats"):
        un.load(files["float"], backend="llama.cpp", dtype="int8")
    with pytest.raises(ParameterError, match="on the CPU"):
        un.load(files["float"], backend="llama.cpp", device="cuda")
    with pytest.raises(ParameterError, match="reads GGUF files"):
        un.load("bundled", backend="llama.cpp")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(files["float"].read_bytes()[:-5000])
    assert "broken.gguf" in refusal("models", str(broken), "--backend", "llama.cpp")
    odd = tmp_path / "odd.gguf"
    odd.write_bytes(files["float"].read_bytes().replace(b"blk.1.ffn_up.weight", b"blk.1.ffn_xx.weight"))
    assert "blk.1.ffn_up.weight" in refusal("models", str(odd), "--backend", "llama.cpp")


def test_nothing_is_written_to_the_terminal(files, capfd):
    un.load(files["float"], backend="llama.cpp").generate([[1, 2]], "greedy()", max_new_tokens=3)
    assert capfd.readouterr() == ("", "")


def test_memory_is_freed_with_the_model(files, monkeypatch):
    gc.collect()
    gone = []
    real = lib.library()
    for name in ("llama_free", "llama_model_free"):
        free = getattr(real, name)
        monkeypatch.setattr(real, name, lambda pointer, free=free, name=name: (gone.append(name), free(pointer)))
    lm = un.load(files["float"], backend="llama.cpp")
    lm.generate([[1, 2]], "greedy()", max_new_tokens=3)
    del lm
    gc.collect()
    assert gone == ["llama_free", "llama_model_free"]  # whatever the order in which a collection of garbage finds them


def test_a_file_is_described(files):
    cases = {
        "q8": ("llama", "Q8_0", "compiled|numpy", r"(compiled, )?numpy(, torch)?, llama\.cpp"),
        "foreign": ("olmo", "F32", r"llama\.cpp", r"llama\.cpp"),
    }
    for name, (architecture, form, chosen, engines) in cases.items():
        text = out("models", str(files[name]))
        wanted = (rf"architecture +{architecture}", rf"weights +{form}", rf"backend +({chosen})", rf"run by +{engines}")
        for line in (*wanted, "context +64", r"files +0\.\d MB"):
            assert re.search(rf"^{line}$", text, re.M), text
        assert all(len(line) <= WIDE for line in text.splitlines()[1:] if "sha256" not in line), text


def test_files_of_a_folder_are_listed(files):
    text = out("models", str(files["q8"].parent))
    assert [name[0] for name in re.findall(r"[abc]\.gguf", text)] == ["a", "b", "c"]
    assert re.search(r"b\.gguf\s+llama Q8_0", text)
    assert re.search(r"c\.gguf\s+olmo F32", text)
