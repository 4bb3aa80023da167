"""What the program imports before it answers: each library that is not needed would be waited for."""

import subprocess

import pytest
from helpers.program import PROGRAM, environment

ALWAYS = {"torch", "transformers", "pandas", "huggingface_hub", "pydantic", "rich", "array_api_compat", "logging"}
"""What no run in numpy needs whose output is no terminal."""


def imported(*arguments):
    """The packages that a call has imported when it ends."""
    code = f"import sys; from unspool.cli.program import run; run({list(arguments)!r}); print(chr(10) + ' '.join(sys.modules))"
    done = subprocess.run([PROGRAM[0], "-c", code], capture_output=True, env=environment(), check=True, text=True)
    return {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}


@pytest.mark.parametrize("arguments", [["--help"], ["generate", "--help"], ["--version"], ["--show-completion", "bash"], ["--no-such"]])
def test_what_needs_no_model_imports_nothing_heavy(arguments):
    assert not imported(*arguments) & (ALWAYS | {"numpy", "tokenizers", "threadpoolctl"})


@pytest.mark.parametrize("options", [[], ["-d", "top_p(0.9) | sample(2)"], ["-o", "json"]], ids=" ".join)
def test_a_generate_run_imports_what_it_needs(options):
    found = imported("Once upon a time", "--max-new-tokens", "2", *options)
    assert found >= {"numpy", "tokenizers"}
    assert not found & ALWAYS
