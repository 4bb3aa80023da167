"""What the scripts say while they make an environment: on standard error, and nothing where nothing is to be done."""

import os
import subprocess

import pytest
from helpers.program import ROOT

PYTHON = """#!/bin/sh
case "$*" in
  "-c "*) exit 0 ;;
  --version) echo "Python 3.12.0" ;;
  *venv*) mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
  *--quiet*) [ ! -e "$BROKEN" ] || exit 1 ;;
  *install*)
    for i in 1 2 3 4 5 6 7 8 9 10 11; do echo "Collecting p$i==1 (from -r x)"; echo "  Downloading p$i.whl"; done
    echo "Installing collected packages: p1, p2" ;;
esac
"""
"""Stands for Python, and copies itself into the environment that it makes."""


@pytest.fixture
def make(tmp_path):
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "run.txt").write_text("# pinned\na==1\nb==2\n")
    (tmp_path / "requirements" / "test.txt").write_text("# more\n-r run.txt\nc==3\n")
    (tmp_path / "pyproject.toml").write_text("")
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)

    def make(requirements="test.txt"):
        script = f'set -euo pipefail; root=$PWD; source "{ROOT}/scripts/environment"; make_environment "$root/env" "requirements/$1"'
        env = os.environ | {"PYTHON": str(python), "BROKEN": str(tmp_path / "broken")}
        return subprocess.run(["bash", "-c", script, "-", requirements], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    return make


def test_it_says_what_it_does_and_then_nothing(make, tmp_path):
    first = make()
    assert (first.returncode, first.stdout) == (0, "")
    for words in ("minutes", "creating the environment (Python 3.12.0)", "installing about 3 packages", "10 of about 3: p10", "in place"):
        assert words in first.stderr
    assert first.stderr.endswith("env is ready\n")
    assert "Downloading" not in first.stderr
    again = make()
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    (tmp_path / "requirements" / "run.txt").write_text("a==1\n")
    assert "installing about 2 packages" in make().stderr


def test_what_breaks_off_is_not_ready_and_begins_again(make, tmp_path):
    (tmp_path / "broken").touch()
    broken = make("run.txt")
    assert broken.returncode != 0
    assert "is ready" not in broken.stderr
    (tmp_path / "broken").unlink()
    assert "installing about 2 packages" in make("run.txt").stderr
