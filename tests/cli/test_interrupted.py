"""Ctrl-C at any time of a start is one line and the exit code 130."""

import json
import signal
import subprocess
import sys

import pytest
from helpers.listening import until
from helpers.program import PROGRAM, environment, program_out

MAIN = "import sys; sys.argv = ['unspool', 'Once', '--max-new-tokens', '2']; from unspool.__main__ import main; main()"
IN_LOADING = f"""
import os, signal, time
import unspool.models.loading as loading
def opening(*given):
    exec("import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(20)")    # as within an import, which runs texts
loading.read_model = opening
{MAIN}
"""
IN_IMPORTS = f"""
import builtins, os, signal, time
real = builtins.__import__
def importing(name, *given):
    if name == "unspool.cli.program":
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(20)
    return real(name, *given)
builtins.__import__ = importing
{MAIN}
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there Ctrl-C is no signal that a program can send to itself")
@pytest.mark.parametrize("program", [IN_LOADING, IN_IMPORTS], ids=["loading", "importing"])
def test_a_start_that_is_broken_off_says_so_in_a_line(program):
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stdout) == (130, "")
    assert ran.stderr.split() == ["unspool:", "interrupted"]


@pytest.mark.skipif(sys.platform == "win32", reason="there Ctrl-C is no signal that a program can send to another")
@pytest.mark.parametrize("engine", [[], ["--engine", "processes", "--workers", "2"]], ids=["inline", "processes"])
@pytest.mark.parametrize("kind", ["read", "drawn"])
def test_a_sweep_that_is_broken_off_goes_on_to_the_same_end(kind, engine, tmp_path):
    """Ctrl-C once some of its units are there; what is shown by then is said to be part of it."""
    asked, path = ["sweep", "temperature({0.5..1.2 in 8}) | top_p({0.8,0.9,1}) | sample(2)", "-o", "json"], tmp_path / "sweep.jsonl"
    if kind == "drawn":
        prompts = tmp_path / "prompts.txt"
        prompts.write_text("".join(f"Once there were {n} kings and\n" for n in range(32)), encoding="utf-8")
        asked += ["-f", str(prompts), "--metrics", "diversity", "--max-new-tokens", "24"]
    else:
        asked[1] = asked[1].removesuffix(" | sample(2)")
    asked += ["--save", str(path)]
    broken = subprocess.Popen([*PROGRAM, *asked, *engine], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    until(lambda: path.exists() and path.read_bytes().count(b"\n") > 2, 120)
    broken.send_signal(signal.SIGINT)
    said = broken.communicate(timeout=120)[1].decode()
    assert (broken.returncode, said) == (130, "unspool: interrupted; the same command goes on from here\n")
    begun = path.read_bytes()
    found = json.loads(program_out(*asked))
    whole = path.read_bytes()
    assert whole.startswith(begun)
    assert len(whole) > len(begun)
    path.unlink()
    alone = json.loads(program_out(*asked))
    assert path.read_bytes() == whole
    assert found["cost"].pop("units_kept") == begun.count(b"\n") - 1
    for one in (found, alone):
        one["cost"] = {name: value for name, value in one["cost"].items() if name not in ("seconds", "units_kept")}
    assert found == alone
