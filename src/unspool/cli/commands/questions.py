"""The prompts of a comparison, with what is right after them where a file has a column for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unspool.errors import ParameterError, PromptError, check

ANSWER_COLUMN = "answer"


def read_questions(
    prompt: str | None, files: Sequence[str], prompt_column: str | None, answer_column: str | None
) -> tuple[list[str], list[tuple[str, ...]] | None]:
    """The prompts, and their answers if a file has any. A text file has a prompt on each line, others have them in columns."""
    from unspool.cli.console import read_prompts
    from unspool.many.reading import FORM_BY_ENDING

    tables = [name for name in files if Path(name).suffix.lower() in FORM_BY_ENDING]
    if prompt is not None or not tables:
        given = [name for name, value in (("--prompt-column", prompt_column), ("--answer-column", answer_column)) if value]
        check(not given, f"{', '.join(given)} names a column of a .jsonl, .csv, .tsv or .parquet file: -f FILE")
        return read_prompts(prompt, list(files)), None
    check(len(tables) == len(files), f"give files of text or files with columns, not both; got {', '.join(files)}")
    return _of_columns(files, prompt_column, answer_column)


def _of_columns(
    files: Sequence[str], prompt_column: str | None, answer_column: str | None
) -> tuple[list[str], list[tuple[str, ...]] | None]:
    from unspool.many.reading import Columns, read_asked
    from unspool.many.unit import UnusablePrompt

    prompts, answers, without = list[str](), list[tuple[str, ...]](), list[str]()
    for one in read_asked(files, Columns(prompt_column, answer=answer_column or ANSWER_COLUMN)):
        if isinstance(one, UnusablePrompt):
            raise PromptError(f"{one.where}: {one.why}")
        if not isinstance(one.prompt, str) or one.messages is not None:
            raise PromptError(f"{one.where}: compare takes prompts as texts, and with --chat as what a user says")
        prompts.append(one.prompt)
        answers.append(one.answers)
        without += [] if one.answers else [one.where]
    check(bool(prompts), f"there is no prompt in {', '.join(files)}")
    if len(without) == len(prompts):
        check(answer_column is None, f"no prompt of {', '.join(files)} has anything in the column {answer_column!r}")
        return prompts, None
    if without:
        more = f" and {len(without) - 1} more" if len(without) > 1 else ""
        raise ParameterError(f"{without[0]}{more} has no answer, and others do; give every prompt one")
    return prompts, answers
