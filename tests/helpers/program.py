"""The command line called, the real program in subprocesses, or at a pseudo-terminal."""

import contextlib
import io
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from helpers.checkpoints import tiny_gpt2

ROOT = Path(__file__).parents[2]
BUNDLED = ROOT / "src/unspool/models/bundled"
PROGRAM = [sys.executable, "-m", "unspool"]


def environment(**more):
    """No colour settings of the surroundings; the package of this tree."""
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "TERM", "PYTHONIOENCODING", "LC_ALL")}
    return kept | {"PYTHONPATH": str(ROOT / "src"), "TERM": "xterm-256color"} | more


def unspool(*arguments, stdin=b"", **env):
    """Run the program; everything it says as bytes."""
    return subprocess.run([*PROGRAM, *arguments], input=stdin, capture_output=True, env=environment(**env), timeout=60, check=False)


def called(*arguments):
    """The same within this process, which takes a tenth of the time: exit code, standard output and error."""
    from unspool.cli.program import run

    found, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(found), contextlib.redirect_stderr(said):
        try:
            code = run(list(arguments))
        except SystemExit as end:
            code = end.code
    return code, found.getvalue(), said.getvalue()


def out(*arguments):
    """What a call that goes well writes."""
    code, found, said = called(*arguments)
    assert (code, said) == (0, "")
    return found


def refusal(*arguments):
    """The one line of a call that is refused."""
    code, found, said = called(*arguments)
    assert (code, found) == (2, ""), said
    return one_line(said)


def one_line(said):
    """An error as it should be."""
    assert said.startswith("unspool: ")
    assert said.count("\n") == 1
    assert "Traceback" not in said
    return said


def program_out(*arguments, **options):
    """What the program writes when all goes well."""
    done = unspool(*arguments, **options)
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout.decode()


def program_refusal(*arguments, **options):
    """The one line of the program that refuses."""
    done = unspool(*arguments, **options)
    assert (done.returncode, done.stdout) == (2, b""), done
    return one_line(done.stderr.decode())


class Terminal:
    """The program at a pseudo-terminal of 80 columns, with its standard error there too or apart."""

    def __init__(self, *arguments, columns=80, stderr=None, **env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            if stderr:
                os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT), 2)
            os.execve(sys.executable, [*PROGRAM, *arguments], environment(COLUMNS=str(columns), **env))
        self.shown = b""

    def read(self, until=None, seconds=20):
        """What is shown until some bytes are there, or the program has ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and (until is None or until not in self.shown):
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    data = os.read(self.fd, 65536)
                except OSError:                                           # the other side has closed
                    break
                if not data:
                    break
                self.shown += data
        return self.shown.decode(errors="replace").replace("\r\n", "\n")

    def interrupt(self):
        """Ctrl-C."""
        os.kill(self.pid, signal.SIGINT)

    def code(self):
        """Its exit code."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def tiny_folder(folder, config=(), broken=False, vocabulary=4096, positions=16):
    """A folder with a tiny GPT-2 and the bundled tokenizer; broken: its logits are no numbers."""
    own, weights = tiny_gpt2(0, layers=1, width=8, vocabulary=vocabulary, positions=positions)
    if broken:
        weights["ln_f.bias"][0] = np.nan
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**own, **dict(config)}))
    save_file(weights, folder / "model.safetensors")
    shutil.copy(BUNDLED / "tokenizer.json", folder)
    return folder
