"""lm_eval's command line with unspool among its models."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from unspool.errors import MissingExtra, UnspoolError

MODEL_NAME = "unspool"
HOME = "unspool.harness.model:UnspoolLM"


def registry() -> Any:
    """lm_eval's registry of models, with unspool in it; releases that read entry points find it there by themselves."""
    try:
        from lm_eval import models  # noqa: F401  (it fills the registry)
        from lm_eval.api.registry import model_registry
    except ImportError:
        raise MissingExtra("lm-eval needs lm-evaluation-harness: pip install 'unspool[lm-eval]'") from None
    if MODEL_NAME not in model_registry:
        model_registry.register(MODEL_NAME, target=HOME)
    return model_registry


def run_harness(arguments: Sequence[str]) -> int:
    """Run lm_eval's command line on these arguments; its exit code. What it refuses is an error of one line."""
    registry()
    from lm_eval.__main__ import cli_evaluate

    before, sys.argv = sys.argv, ["lm-eval", *arguments]                 # it reads and changes them there
    try:
        cli_evaluate()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except UnspoolError:
        raise
    except (ValueError, KeyError) as error:
        if not _raised_in(error, "lm_eval"):
            raise
        raise UnspoolError(f"lm_eval: {error.args[0] if error.args else error}") from error
    finally:
        sys.argv = before
    return 0


def _raised_in(error: BaseException, package: str) -> bool:
    """Whether it was a package's own code that raised an error."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return at is not None and str(at.tb_frame.f_globals.get("__name__", "")).partition(".")[0] == package
