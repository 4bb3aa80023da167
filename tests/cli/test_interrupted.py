"""Ctrl-C at any time of a start is one line and the exit code 130."""

import subprocess
import sys

import pytest

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
