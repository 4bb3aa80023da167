"""A unit of work: some prompts under one decoder and seed. Where it is run, and beside what, changes nothing of what it comes to."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from unspool.core.decoder import Decoder, as_decoder, parse
from unspool.errors import PromptError, UnspoolError, Unsupported, check
from unspool.lab.generations import BatchCost, Generation
from unspool.language_model import DecoderLike, LanguageModel
from unspool.models.chat import check_messages, words_of
from unspool.prompt import is_prompt
from unspool.record.step import Step
from unspool.strategies.greedy import Greedy
from unspool.text import text_of
from unspool.version import __version__

LIBRARIES = {"torch": "torch", "transformers": "transformers", "llama.cpp": "llama-cpp-python"}
"""By backend, the package whose version a text may depend on, beside numpy."""


@dataclass(frozen=True)
class GivenPrompt:
    """One prompt of many."""

    index: int
    """Its place in the input, from 0."""
    prompt: str | tuple[int, ...] = ""
    messages: list[dict[str, Any]] | None = None
    """A conversation, in place of a prompt."""
    id: str | None = None
    """A name of its own, which its draws then follow, so that equal prompts can have different ones."""
    where: str = ""
    """Where it stands, for people: "prompts.jsonl, line 7"."""
    answers: tuple[str, ...] = ()
    """What is right after it, any of them, where that was asked for."""

    def values(self) -> dict[str, Any]:
        """What a saved line says of it beside its text."""
        more: dict[str, Any] = {"index": self.index} | ({} if self.id is None else {"id": self.id})
        more |= {} if isinstance(self.prompt, str) else {"prompt_tokens": list(self.prompt)}
        return more | ({} if self.messages is None else {"messages": self.messages})


@dataclass(frozen=True)
class UnusablePrompt:
    """A prompt that cannot be used: where it stands, and why."""

    where: str
    why: str


@dataclass(frozen=True)
class Unit:
    """Some prompts under one decoder. Everything in it is plain data where the decoder is its text form."""

    number: int
    """Its place among all units, from 0."""
    name: str
    """What the decoder is called."""
    decoder: Decoder | str
    recipe: dict[str, Any]
    """What makes its texts beside their prompts: decoder, seed, a limit, chat, template."""
    asked: tuple[GivenPrompt, ...]
    together: int | None = None

    @property
    def span(self) -> str:
        """What it is, for people."""
        return f"{self.name} from {self.asked[0].where} to {self.asked[-1].where}"

    def make(self, lm: LanguageModel, told: Callable[[Step], None] = lambda step: None) -> UnitTexts:
        """Run it; told: is given every step."""
        work = making(lm, self)
        while True:
            try:
                told(next(work))
            except StopIteration as over:
                made: UnitTexts = over.value
                return made


@dataclass(frozen=True)
class UnitTexts:
    """What came of a unit: for each prompt its texts, or why it cannot be used."""

    texts: list[list[Generation] | UnusablePrompt]
    seconds: float = field(compare=False)

    @property
    def generations(self) -> list[Generation]:
        """All texts, in the order of the prompts."""
        return [g for one in self.texts if not isinstance(one, UnusablePrompt) for g in one]


def recipe_of(
    decoder: Decoder, seed: int, new: int | None, total: int | None = None, chat: bool = False, template: Any = None
) -> dict[str, Any]:
    """What makes texts again, given their prompts and the model."""
    limit = {"max_new_tokens": new} if total is None else {"max_length": total}
    found = {"decoder": str(decoder if decoder.strategy else decoder | Greedy()), "seed": seed} | limit
    return found | ({"chat": True} if chat else {}) | ({"template": template} if template else {})


def model_of(lm: LanguageModel) -> dict[str, Any]:
    """What a saved line says of the model: its name, the hashes of its weights and its tokenizer, and what computes."""
    found = {"name": lm.name, "fingerprint": lm.info.get("fingerprint"), "tokenizer": lm.tokenizer.hash}
    return found | {name: lm.info[name] for name in ("revision", "backend", "dtype") if name in lm.info}


def versions_of(model: dict[str, Any]) -> dict[str, str]:
    """The versions on which texts may depend."""
    found = {"unspool": __version__}
    for package in ("numpy", LIBRARIES.get(str(model.get("backend")), "")):
        try:
            found |= {package: version(package)} if package else {}
        except PackageNotFoundError:
            continue
    return found


def written_out(decoder: Decoder) -> bool:
    """Whether a decoder's text form says all of it; not where a part holds a live object, as a draft model."""
    try:
        return parse(str(decoder)) == decoder
    except UnspoolError:
        return False


def sendable(decoder: DecoderLike, where: str) -> str:
    """The text form of a decoder that is to be run elsewhere; refused where it does not say all."""
    found = as_decoder(Decoder() if decoder is None else decoder)
    if not written_out(found):
        raise Unsupported(f"{found} holds an object of this process, which {where} cannot have; run it with the engine inline")
    return str(found)


def making(lm: LanguageModel, unit: Unit) -> Generator[Step, None, UnitTexts]:
    """Run a unit step by step."""
    began = time.perf_counter()
    read = [tokens_of_asked(lm, one, unit.recipe) for one in unit.asked]
    good = [(one, tokens) for one, tokens in zip(unit.asked, read, strict=True) if not isinstance(tokens, UnusablePrompt)]
    if not good:
        return UnitTexts([one for one in read if isinstance(one, UnusablePrompt)], time.perf_counter() - began)
    check_ids([one for one, _ in good])
    named = [one.id for one, _ in good if one.id is not None]
    limits = {name: unit.recipe[name] for name in ("max_new_tokens", "max_length") if name in unit.recipe}
    run = lm.stream(
        [tokens for _, tokens in good],
        unit.decoder,
        seed=unit.recipe["seed"],
        ids=named or None,
        level="off",
        together=unit.together,
        **limits,
    )
    yield from run
    outputs = run.outputs
    seconds = time.perf_counter() - began
    cost = BatchCost(sum(len(o.sequences) or 1 for o in outputs), **run.cost(), seconds=seconds, drew=run.drew)
    made, model = iter(zip(good, outputs, strict=True)), model_of(lm)
    recipe = unit.recipe | {"model": lm.name}
    texts: list[list[Generation] | UnusablePrompt] = []
    for tokens in read:
        if isinstance(tokens, UnusablePrompt):
            texts.append(tokens)
            continue
        (one, _), output = next(made)
        prompt, seed, rest = shown(lm, one), unit.recipe["seed"], (recipe, model, cost)
        found = [
            Generation(unit.name, prompt, seed, i, s.text, s.tokens, s.logprobs, s.reason, *rest) for i, s in enumerate(output.sequences, 1)
        ]
        texts.append(found or [Generation(unit.name, prompt, seed, 0, "", [], [], "failed", *rest, output.failure)])
    return UnitTexts(texts, seconds)


def check_ids(asked: Sequence[GivenPrompt]) -> None:
    """Refuse prompts of which some have an id and others none, and two that share one: their draws would be the same."""
    named = [one for one in asked if one.id is not None]
    check(len(named) in (0, len(asked)), "some prompts have an id and others have none; name all of them, or none")
    first: dict[str | None, GivenPrompt] = {}
    for one in named:
        other = first.setdefault(one.id, one)
        if (other.prompt, other.messages) != (one.prompt, one.messages):
            raise PromptError(
                f"{one.where}: it has the id {one.id!r} of {other.where}, another prompt; ids tell prompts apart"
            )


def shown(lm: LanguageModel, one: GivenPrompt) -> str:
    """A prompt as text; of a conversation what it ends with."""
    if one.messages is not None:
        return words_of(one.messages)
    return one.prompt if isinstance(one.prompt, str) else text_of(lm.tokenizer, one.prompt)


def tokens_of_asked(lm: LanguageModel, one: GivenPrompt, recipe: dict[str, Any]) -> Sequence[int] | UnusablePrompt:
    """The tokens of a prompt, or why the model cannot go on from it."""
    try:
        if not recipe.get("chat") and one.messages is None:
            tokens = lm.tokens_of(one.prompt)
        else:
            if one.messages is None and not isinstance(one.prompt, str):
                raise PromptError("what a user says is a text; token ids are given without chat")
            talk = one.messages if one.messages is not None else [{"role": "user", "content": one.prompt}]
            tokens = lm.tokens_of(lm.rendered(lm.render(talk, recipe.get("template"))))
        total = recipe.get("max_length")
        check(total is None or total > len(tokens), f"max_length {total} leaves no room: the prompt alone has {len(tokens)} tokens")
        return tokens
    except Unsupported:                                                   # the fault of the model, not of the prompt
        raise
    except UnspoolError as error:
        return UnusablePrompt(one.where, str(error))


def asked_of(value: Any, index: int, where: str) -> GivenPrompt:
    """A prompt as people give it: a text, token ids, messages, or a mapping with "prompt" or "messages" and perhaps "id"."""
    name = None
    if isinstance(value, dict):
        name = None if value.get("id") is None else str(value["id"])
        value = value["messages"] if value.get("messages") is not None else value.get("prompt")
    if isinstance(value, list | tuple) and value and isinstance(value[0], dict):
        return GivenPrompt(index, messages=check_messages(list(value)), id=name, where=where)
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise PromptError("the prompt is no UTF-8 text") from None
        return GivenPrompt(index, value, id=name, where=where)
    if is_prompt(value):
        return GivenPrompt(index, tuple(int(t) for t in value), id=name, where=where)
    raise PromptError(f"a prompt is a text, a list of token ids or messages; got {value!r:.60}")
