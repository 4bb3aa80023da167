"""What commands read of files: prompts, texts, pairs of both; a line each, or in the columns of a file that has such."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from unspool.errors import ParameterError, PromptError, check
from unspool.files import source_name

if TYPE_CHECKING:
    from unspool.language_model import LanguageModel
    from unspool.many.reading import Columns, GivenText
    from unspool.many.unit import GivenPrompt, UnusablePrompt

ANSWER_COLUMN = "answer"


# --- prompts ----------------------------------------------------------------------------------------------------------


def read_prompts(
    prompt: str | None,
    files: Sequence[str],
    columns: Columns | None = None,
    form: str | None = None,
    told: Callable[[Any], None] | None = None,
) -> list[GivenPrompt]:
    """The prompts of a command: one given, or those of files. told: is given each that cannot be used; without it that is an error."""
    from unspool.cli.console import read_text
    from unspool.many.reading import Columns, read_asked
    from unspool.many.unit import GivenPrompt, UnusablePrompt, check_ids

    columns = columns or Columns()
    if prompt is not None and files:
        raise ParameterError("give a prompt or files of prompts (-f), not both")
    if prompt is not None:
        columns.check_none("a prompt of the command line")
        check(form is None, "--file-form says what -f is; a prompt of the command line is a text")
        return [GivenPrompt(0, read_text(prompt), where="the prompt")]
    check(bool(files), "give a prompt, - for standard input, or -f FILE")
    found: list[GivenPrompt] = []
    for one in read_asked(files, columns, form):
        if isinstance(one, UnusablePrompt):
            refuse(one, told)
        else:
            found.append(one)
    check_any(found, files)
    check_ids(found)
    return found


def refuse(one: UnusablePrompt, told: Callable[[Any], None] | None = None) -> None:
    """Tell of a prompt that cannot be used, or end there."""
    if told is None:
        raise PromptError(f"{one.where}: {one.why}")
    told(one)


def check_any(found: Sequence[Any], files: Sequence[str], what: str = "prompt") -> None:
    """Refuse files without anything in them."""
    if not found:
        raise PromptError(f"there is no {what} in {', '.join(map(source_name, files))}")


def usable(
    lm: LanguageModel, asked: Sequence[GivenPrompt], recipe: dict[str, Any], told: Callable[[Any], None] | None = None
) -> list[GivenPrompt]:
    """Those prompts from which the model can go on; one from which it cannot is told with its place. recipe: see `unspool.many.unit`."""
    from unspool.many.unit import UnusablePrompt, tokens_of_asked

    found: list[GivenPrompt] = []
    for one in asked:
        tokens = tokens_of_asked(lm, one, recipe)
        if isinstance(tokens, UnusablePrompt):
            refuse(tokens, told)
        else:
            found.append(one)
    check(bool(found), "no prompt is left that can be used")
    return found


def to_stream(lm: LanguageModel, asked: Sequence[GivenPrompt], recipe: dict[str, Any]) -> dict[str, Any]:
    """Prompts as `LanguageModel.stream` takes them: texts and token ids as they are, among conversations the tokens of all."""
    from unspool.many.unit import tokens_of_asked

    names = [one.id for one in asked if one.id is not None] or None
    if any(one.messages is not None for one in asked):
        return {"prompt": [tokens_of_asked(lm, one, recipe) for one in asked], "ids": names}
    prompts = [one.prompt for one in asked]
    return {"prompt": prompts, "ids": names, "chat": recipe["chat"], "template": recipe["template"]}


def texts_of(asked: Sequence[GivenPrompt], who: str) -> list[str]:
    """Prompts as texts, each once, for a command that takes no others: equal prompts have equal draws, and would count twice."""
    found: dict[str, str] = {}
    for one in asked:
        if not isinstance(one.prompt, str) or one.messages is not None:
            raise PromptError(f"{one.where}: {who} takes prompts as texts, and with --chat as what a user says")
        if one.prompt in found:
            raise PromptError(f"{one.where} is {found[one.prompt]} again, and would count twice; give it once: {one.prompt[:60]!r}")
        found[one.prompt] = one.where
    return list(found)


def answers_of_files(asked: Sequence[GivenPrompt], files: Sequence[str], column: str | None) -> list[tuple[str, ...]] | None:
    """What is right after each prompt, if anything is; all prompts have something then."""
    without = [one.where for one in asked if not one.answers]
    if len(without) == len(asked):
        there = ", ".join(files) or "the command line"
        check(column is None, f"--answer-column names a column, and no prompt of {there} has anything in {column!r}")
        return None
    if without:
        more = f" and {len(without) - 1} more" if len(without) > 1 else ""
        raise ParameterError(f"{without[0]}{more} has no answer, and others do; give every prompt one")
    return [one.answers for one in asked]


# --- given texts ------------------------------------------------------------------------------------------------------


def read_texts(files: Sequence[str]) -> list[GivenText]:
    """The texts of files: a line each, or the column "text", with what stands before it in the column "prompt"."""
    from unspool.many.reading import read_given

    found = list(read_given(files))
    check_any(found, files, "text")
    return found


def split_pair(given: GivenText) -> tuple[str | None, str]:
    """What stands before a text, by its column or before a tab, and the text; None where it has neither."""
    before, tab, text = given.text.partition("\t")
    if given.prompt is not None or not tab:
        return given.prompt, given.text
    return before, text


def read_pairs(prompt: str | None, text: str | None, files: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of prompt and continuation to score: one given, or those of files, with a tab between where a file has no columns."""
    from unspool.cli.console import read_text

    if not files:
        if prompt is None or text is None:
            raise ParameterError('give a prompt and its continuation, as in: unspool score "Once upon a time" " there was a king"')
        if prompt == text == "-":
            raise ParameterError("only one of prompt and continuation can come from standard input")
        return [(read_text(prompt), read_text(text, "continuation"))]
    if prompt is not None:
        raise ParameterError("give a prompt and its continuation or files of pairs (-f), not both")
    pairs = []
    for one in read_texts(files):
        first, second = split_pair(one)
        if first is None:
            raise PromptError(f"{one.where} holds no tab between prompt and continuation: {one.text[:40]!r}")
        if not second:
            raise PromptError(f"{one.where}: there is nothing to score: the continuation is empty")
        pairs.append((first, second))
    return pairs


def read_reference(path: str | None) -> list[tuple[str, str]]:
    """Human texts: a line each, with a prompt and a tab before it or without; or those of columns."""
    found = []
    for one in read_texts([path]) if path is not None else ():
        before, text = split_pair(one)
        if not text.strip():
            raise PromptError(f"{one.where}: the text is empty; leave it out")
        found.append((before or "", text))
    return found


def read_whole(name: str, who: str) -> str:
    """The text of a whole file, without the line break at its end; a file that has columns is no text. who: the option that takes it."""
    from unspool.cli.console import decoded, read_bytes
    from unspool.many.reading import form_of

    kind = form_of(name)
    check(kind == "text", f"{who} takes one text, and {name} holds several in columns, by its ending ({kind}); give a file of text")
    return decoded(read_bytes(name), name).removeprefix("\ufeff").replace("\r\n", "\n").removesuffix("\n")
