"""The kernels' library: what is built, also under sanitizers, which variant a processor is given, and what a broken library comes to."""

import ctypes as c
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.kernels import has_compiler, run_in_process

from unspool.kernels import build, library

pytestmark = pytest.mark.skipif(not has_compiler(), reason="no C compiler")
intel = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the variants of other processors are one")
BUILT = build.FOLDER / build.NAME

# --- sanitizers ---------------------------------------------------------------------------------------------------------

SANITIZERS = {
    "address": ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"),
    "thread": ("-fsanitize=thread",),
}


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
@pytest.mark.parametrize("name", SANITIZERS)
def test_sanitizers_find_nothing_in_what_the_laws_run(name, tmp_path):
    """Two Python threads compute at once with four threads of the kernels, all work handed out in pieces however small."""
    extra = (*SANITIZERS[name], "-O2", "-g1", "-DWORK_OF_A_PIECE=1.0")
    made = build.build(tmp_path / build.NAME, ["gcc"], extra)
    assert {"address": b"__asan_", "thread": b"__tsan_"}[name] in made.read_bytes()
    runtimes = {"address": ("asan", "ubsan"), "thread": ("tsan",)}[name]
    paths = [subprocess.run(["gcc", f"-print-file-name=lib{r}.so"], capture_output=True, text=True).stdout.strip() for r in runtimes]
    options = {"ASAN_OPTIONS": "detect_leaks=0", "TSAN_OPTIONS": "ignore_noninstrumented_modules=1"}  # Python is not instrumented
    given = {"LD_PRELOAD": ":".join(paths), "UNSPOOL_THREADS": "4", **options}
    count = {"address": 16, "thread": 8}[name]
    found = run_in_process(f"import sys; sys.argv[1:] = [{str(tmp_path)!r}, '5', '{count}', '2']; " + FUZZ, **given)
    if "unexpected memory mapping" in found.stderr:                      # this runtime knows no addresses so random
        found = run_in_process(f"import sys; sys.argv[1:] = [{str(tmp_path)!r}, '5', '{count}', '2']; " + FUZZ, fixed=True, **given)
    assert found.returncode == 0, found.stderr
    assert "Sanitizer" not in found.stderr
    assert "checks over" in found.stdout


FUZZ = "import runpy; runpy.run_module('helpers.kernels', run_name='__main__')"

# --- the build ----------------------------------------------------------------------------------------------------------


def test_a_compiler_that_fails_is_named_and_leaves_what_was_there(tmp_path):
    target = tmp_path / build.NAME
    target.write_bytes(b"what was there")
    with pytest.raises(build.NoCompiler, match=r"^false: it ended with 1$"):
        build.build(target, ["false"])
    with pytest.raises(build.NoCompiler, match="no-such-compiler"):
        build.build(target, ["no-such-compiler"])
    assert [path.name for path in tmp_path.iterdir()] == [build.NAME]
    assert target.read_bytes() == b"what was there"


def test_without_any_compiler_it_is_said_which_would_do(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "compilers", lambda: iter(()))
    with pytest.raises(build.NoCompiler, match="there is no C compiler"):
        build.build(tmp_path / build.NAME)


def test_a_compiler_that_is_named_is_used_or_nothing_is_built(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", "my-cc --flag")
    assert list(build.compilers()) == [["my-cc", "--flag"]]
    monkeypatch.setenv("CC", "false")
    with pytest.raises(build.NoCompiler, match=r"^false \(which CC names; unset it, and others are tried\): it ended with 1$"):
        build.build(tmp_path / build.NAME)


# --- what Python and C must agree on ------------------------------------------------------------------------------------


def test_numbers_that_are_written_twice_are_the_same():
    text = "".join((build.FOLDER / name).read_text() for name in ("unspool.h", "attention.h", "pool.c", "vector.h"))
    held = {}
    for names in re.findall(r"enum \w*\s*\{([^}]*)\}", text):
        value = -1
        for part in names.split(","):
            name, _, given = part.partition("=")
            value = int(given) if given.strip().isdecimal() else value + 1 if not given else None
            if value is None:
                break
            held[name.strip()] = value
    assert [held[name] for name in ("BLOCK", "GROUP", "SEGMENT", "MOST")] == [16, 32, 128, 256]
    assert (held["BLOCK"], held["GROUP"], held["SEGMENT"]) == (library.BLOCK_OUTPUTS, library.GROUP_INPUTS, library.SEGMENT)
    assert held["MOST"] == library.MOST_THREADS
    assert held["HEAD"] == library.LARGEST_HEAD
    assert {name: held[name.upper()] for name in library.FORMAT_CODES} == library.FORMAT_CODES
    assert {name: held[name.upper()] for name in library.ACTIVATION_CODES} == library.ACTIVATION_CODES


STRUCTURES = {"matrix": "Matrix", "norm": "NormFields", "block": "BlockFields", "model": "ModelFields", "step": "StepFields"}
STRUCTURES |= {"kernels": "Kernels"}


def test_structures_lie_the_same_way_in_both_languages(tmp_path):
    lines = []
    for name, fields in {name: [field for field, _ in getattr(library, its)._fields_] for name, its in STRUCTURES.items()}.items():
        lines += [f'printf("%zu\\n", sizeof({name}));', *(f'printf("%zu\\n", offsetof({name}, {field}));' for field in fields)]
    code = "#include <stddef.h>\n#include <stdio.h>\n#include \"unspool.h\"\nint main(void) {\n" + "\n".join(lines) + "\nreturn 0; }\n"
    (tmp_path / "sizes.c").write_text(code)
    subprocess.run([*next(build.compilers()), f"-I{build.FOLDER}", str(tmp_path / "sizes.c"), "-o", str(tmp_path / "sizes")], check=True)
    found = list(map(int, subprocess.run([str(tmp_path / "sizes")], capture_output=True, text=True, check=True).stdout.split()))
    expected = []
    for its in (getattr(library, name) for name in STRUCTURES.values()):
        expected += [c.sizeof(its), *(getattr(its, field).offset for field, _ in its._fields_)]
    assert found == expected


# --- processors ---------------------------------------------------------------------------------------------------------

MOCK = """
static inline int mocked(unsigned leaf, unsigned sub, unsigned *a, unsigned *b, unsigned *c, unsigned *d)
{
    *a = *b = *c = *d = 0 * sub;
    if (leaf == 1) *c = FIRST;
    if (leaf == 7) *b = SEVENTH_B, *c = SEVENTH_C;
    return leaf <= LEAVES;
}
"""
STUB = """
#include "unspool.h"
const kernels kernels_avx512 = {.name = "avx512"}, kernels_avx2 = {.name = "avx2"}, kernels_baseline = {.name = "baseline"};
"""
ALL = {"FIRST": 1 << 12 | 1 << 27 | 1 << 28 | 1 << 29, "SEVENTH_B": 1 << 5 | 1 << 16 | 1 << 17 | 1 << 30 | 1 << 31, "SEVENTH_C": 1 << 11}
ALL |= {"LEAVES": 7, "KEPT_REGISTERS": 0xE7}
WITHOUT = {
    "nothing": ({}, 3),
    **{f"AVX-512 of bit {bit}": ({"SEVENTH_B": ALL["SEVENTH_B"] & ~(1 << bit)}, 2) for bit in (16, 17, 30, 31)},
    "VNNI": ({"SEVENTH_C": 0}, 2),
    "a system that keeps wide registers": ({"KEPT_REGISTERS": 0x7}, 2),
    "a system that keeps AVX's": ({"KEPT_REGISTERS": 0x3}, 1),
    "AVX2": ({"SEVENTH_B": ALL["SEVENTH_B"] & ~(1 << 5)}, 1),
    **{f"bit {bit} of FMA, OSXSAVE, AVX, F16C": ({"FIRST": ALL["FIRST"] & ~(1 << bit)}, 1) for bit in (12, 27, 28, 29)},
    "leaf 7": ({"LEAVES": 1}, 1),
}


@intel
@pytest.mark.parametrize("lacking", WITHOUT)
def test_a_processor_is_given_only_what_it_can_run(lacking, tmp_path):
    change, count = WITHOUT[lacking]
    for name, text in {"mock.h": MOCK, "stub.c": STUB}.items():
        (tmp_path / name).write_text(text)
    given = [f"-D{name}={value}u" for name, value in (ALL | change).items()] + ["-DCPUID=mocked", "-include", str(tmp_path / "mock.h")]
    made, sources = tmp_path / "mocked.so", [str(build.FOLDER / "dispatch.c"), str(tmp_path / "stub.c")]
    subprocess.run([*next(build.compilers()), "-shared", "-fPIC", f"-I{build.FOLDER}", *given, *sources, "-o", str(made)], check=True)
    un_variant = c.CDLL(str(made)).un_variant
    un_variant.restype, un_variant.argtypes = c.POINTER(library.Kernels), [c.c_int]
    found = [un_variant(i).contents.name.decode() for i in range(5) if un_variant(i)]
    assert found == ["avx512", "avx2", "baseline"][-count:]
    assert not un_variant(-1)


@intel
def test_of_all_variants_this_processor_runs_those_that_the_system_names():
    place = Path("/proc/cpuinfo")
    flags = next((line.split() for line in place.read_text().splitlines() if line.startswith("flags")), []) if place.exists() else []
    if flags:
        names = {"avx2": "avx2 fma f16c", "avx512": "avx2 fma f16c avx512f avx512bw avx512vl avx512dq avx512_vnni"}
        assert set(library.variants()) == {"baseline", *(name for name, needs in names.items() if set(needs.split()) <= set(flags))}


# --- libraries that are none --------------------------------------------------------------------------------------------

LOAD = """
from pathlib import Path
from unspool.kernels import library
library.FOLDER = Path({folder!r})
import unspool as un
lm = un.load()
print(lm.info["backend"], len(lm.generate("Once upon a time", max_new_tokens=3).tokens))
print(*lm.notes)
print(*un.load(backend="numpy").notes)
from unspool.models.details import kernels_of
print(kernels_of("numpy")["kernels"])
for settings in ({{"backend": "compiled"}}, {{"dtype": "int8"}}):
    try:
        un.load(**settings)
    except un.ParameterError as error:
        print(error)
"""


def changed(data, kind):
    """A library with something wrong, and what is said of it."""
    if kind == "none":
        return None, "the kernels are not built"
    if kind == "of other sources":
        return data.replace(build.stamp().encode(), b"0" * 16), "the kernels were built of other sources"
    if kind == "of another processor":
        return data[:18] + b"\xf3\0" + data[20:], "the kernels cannot be loaded ("
    if kind in ("empty", "a text"):
        return {"empty": b"", "a text": b"version https://git-lfs.github.com/spec/v1\n" * 3}[kind], "is no library"
    sizes = {"cut to half": len(data) // 2, "cut to its head": 64, "cut in its head": 20}
    return data[: sizes[kind]], "is cut off"


KINDS = ["none", "of other sources", "of another processor", "cut to half", "cut to its head", "cut in its head", "empty", "a text"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_library_that_is_none_leaves_numpy_and_a_line_that_says_why(kind, tmp_path):
    data, said = changed(BUILT.read_bytes(), kind)
    if data is not None:
        (tmp_path / build.NAME).write_bytes(data)
    found = run_in_process(LOAD.format(folder=str(tmp_path)), UNSPOOL_KERNELS=None)
    assert found.returncode == 0, found.stderr
    first, note, quiet, line, compiled, int8 = found.stdout.splitlines()
    assert first == "numpy 3"
    assert quiet == ""
    assert (said in note, note.startswith("numpy computes this model, slower than the kernels would: ")) == (data is not None,) * 2
    assert found.stderr.count("slower than the kernels would") == (data is not None)
    assert said in line
    assert line.startswith("none: ")
    assert "python -m unspool.kernels.build" in line
    assert compiled.startswith("backend 'compiled' cannot be used: ")
    assert int8.startswith("dtype int8 is computed by the kernels, on a CPU: ")
    assert said in compiled
    assert said in int8


def test_a_library_cut_off_anywhere_is_not_loaded_or_whole_enough(tmp_path):
    """What is missing may only be what the system does not load."""
    data, code = BUILT.read_bytes(), ["import ctypes; from pathlib import Path; from unspool.kernels.library import _is_whole"]
    for i, size in enumerate([*range(0, len(data), len(data) // 40), *range(len(data) - 4000, len(data), 400), len(data)]):
        path = tmp_path / f"{i}.so"
        path.write_bytes(data[:size])
        code.append(f"_is_whole(Path({str(path)!r})) and print({size}, ctypes.CDLL({str(path)!r}).un_threads)")
    found = run_in_process("\n".join(code))
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-1].startswith(f"{len(data)} ")


def test_a_variant_that_is_not_here_is_refused_by_name():
    found = run_in_process("import unspool as un; un.load()", UNSPOOL_KERNELS="avx1024")
    assert found.returncode == 1
    assert "UNSPOOL_KERNELS='avx1024': this machine runs " in found.stderr.splitlines()[-1]
    found = run_in_process("import unspool as un; print(un.load().info['backend'])", UNSPOOL_KERNELS="none")
    assert found.stdout == "numpy\n"


def test_the_build_runs_as_a_program(tmp_path):
    """With a compiler that fails it says so, and ends with 1."""
    given = {**os.environ, "PATH": str(tmp_path), "CC": "no-such-compiler"}
    found = subprocess.run([sys.executable, build.__file__], capture_output=True, text=True, env=given)
    assert found.returncode == 1
    assert found.stderr.startswith("the kernels were not built: no-such-compiler (which CC names; ")
