"""How the places of engines are made, and how their values are read and written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from numbers import Integral
from typing import Any, NamedTuple

import unspool.processors
import unspool.stops  # noqa: F401
from unspool.core.decoder import REGISTRY, Part
from unspool.errors import ParameterError, Unsupported, as_json, in_digits
from unspool.lab.engines.engine import CallSetting, Given, Place, Setting
from unspool.strategies.drafting import Drafting
from unspool.strategies.greedy import Greedy
from unspool.strategies.lookup import PromptLookup
from unspool.strategies.sample import Sample


class Codec(NamedTuple):
    """How a value there is read here and written back."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


def as_tuple(value: Any) -> tuple[Any, ...]:
    """The values of a list, or one value alone."""
    return tuple(value) if isinstance(value, list | tuple | set | frozenset) else (value,)


def pairs_of(value: Any) -> tuple[Any, ...]:
    """Pairs (token or phrase, amount) of a dict or a list; tokens may be spelled as strings of digits, as JSON does."""
    pairs = value.items() if isinstance(value, Mapping) else value
    return tuple((phrase_of(token), float(amount)) for token, amount in pairs)


def biases_of(value: Any) -> tuple[Any, ...]:
    """Pairs (token, amount) of a dict or a list, where an engine takes token ids alone."""
    pairs = pairs_of(value)
    for token, _ in pairs:
        if not isinstance(token, int):
            raise ParameterError(f"a bias is of token ids there; got {token!r}")
    return pairs


def clamped(value: Any) -> tuple[Any, ...]:
    """Biases, cut to the range that an engine cuts them to."""
    return tuple((token, min(100.0, max(-100.0, amount))) for token, amount in biases_of(value))


def some(value: Any) -> tuple[Any, ...]:
    """Token ids, of which there is at least one."""
    found: tuple[Any, ...] = TOKENS.read(value)
    if not found:
        raise ParameterError("the list is empty, so no token could come: leave it out to allow all")
    return found


def phrase_of(token: Any) -> Any:
    """A token, several, or a text, from the forms that JSON leaves them in."""
    if isinstance(token, str):
        return token if (found := in_digits(token)) is None else found
    if isinstance(token, list | tuple):
        return token[0] if len(token) == 1 else tuple(token)
    return int(token)


def phrases_of(value: Any) -> tuple[Any, ...]:
    """Phrases of token ids, from lists of them."""
    if isinstance(value, Mapping | str):
        raise ParameterError(f"lists of token ids belong here; got {value!r:.80}")
    return tuple(_of_ids(phrase_of(phrase)) for phrase in value)


def sequences_of(value: Any) -> tuple[Any, ...]:
    """Pairs (phrase of token ids, amount) of a dict or a list; of two for one phrase the last counts."""
    return tuple({_of_ids(phrase): amount for phrase, amount in pairs_of(value)}.items())


def _of_ids(phrase: Any) -> Any:
    as_ids(phrase)
    return phrase


def _text_alone(value: Any) -> str:
    if not isinstance(value, str):
        raise ParameterError(f"it takes texts; got {value!r:.80}")
    return value


def counted(n: Any) -> int:
    """A whole number, which may be below 0."""
    if isinstance(n, bool) or not isinstance(n, Integral):
        raise ParameterError(f"a whole number belongs here; got {n!r:.80}")
    return int(n)


def known_keys(name: str, value: Any, known: str, lost: str = "", instead: str = "") -> Any:
    """A mapping without keys that it does not have there, and without those that have no equal here, unless they say nothing."""
    if not isinstance(value, Mapping):
        raise ParameterError(f"{name} is an object with {', '.join(sorted(names_in(known)))}; got {as_json(value)}")
    strange = sorted(str(key) for key in value.keys() - names_in(known) - names_in(lost))
    if strange:
        raise ParameterError(f"{name} has no {', '.join(strange)}; known: {', '.join(sorted(names_in(known) | names_in(lost)))}")
    if found := sorted(key for key in names_in(lost) & value.keys() if value[key]):
        raise Unsupported(f"{', '.join(found)} of {name} has no equal" + (f": {instead}" if instead else ""))
    return value


def as_ids(phrase: Any) -> list[int]:
    """The tokens of a phrase."""
    if isinstance(phrase, str):
        raise ParameterError(f"it takes token ids, and {phrase!r} is a text: resolve the decoder with the model's tokenizer")
    return [phrase] if isinstance(phrase, int) else list(phrase)


def all_ids(values: Any) -> list[Any]:
    """The tokens of all phrases in a row."""
    return [t for v in values for t in as_ids(v)]


def _some(window: int | None) -> int:
    if window is None:
        raise ParameterError("it looks back a number of tokens: give a window, as window=64")
    return window


SAME = Codec(lambda value: value, lambda value: value)
LIST = Codec(as_tuple, list)
TEXTS = Codec(lambda value: tuple(map(_text_alone, as_tuple(value))), lambda texts: list(map(_text_alone, texts)))
TOKENS = Codec(lambda value: tuple(map(counted, as_tuple(value))), all_ids)
NOT_NONE = Codec(some, all_ids)
"""Token ids, at least one."""
PHRASES = Codec(phrases_of, lambda value: [as_ids(v) for v in value])
BIAS = Codec(biases_of, lambda value: {one_id(token): amount for token, amount in value})
CLAMPED = Codec(clamped, BIAS.write)
SEQUENCES = Codec(sequences_of, lambda value: [[as_ids(phrase), amount] for phrase, amount in value])
AT_LEAST = Codec(lambda n: max(n, 1), lambda n: n if n > 1 else None)
"""How many tokens a cut keeps at least; the one that it always keeps is not written."""
WINDOW = Codec(lambda n: None if counted(n) < 0 else n, _some)


def one_id(phrase: Any) -> int:
    """The token of a phrase that has one."""
    ids = as_ids(phrase)
    if len(ids) > 1:
        raise ParameterError(f"a bias there is of single tokens; {phrase!r} is a phrase")
    return ids[0]


Field = tuple[str, Any] | tuple[str, Any, Codec]


def place(
    method: str,
    off: Callable[..., bool] = lambda **_: False,
    fixed: dict[str, Any] | None = None,
    **more: Any,
) -> Place:
    """A place whose fields are settings: field=(setting, default), or (setting, default, codec).

    off: whether a processor with these fields is none; fixed: fields that the engine has no setting for. Without a value for the
    first field there is no part.
    """
    cls, fixed = REGISTRY[method], fixed or {}
    known = {f.name: f.default for f in fields(cls) if f.init}  # type: ignore[arg-type]
    own = {name: (*value, SAME)[:3] for name, value in more.items() if name in known}
    rest = {name: value for name, value in more.items() if name not in known}
    numbers = {f.name for f in fields(cls) if f.type in ("int", "float", "int | None", "float | None")}  # type: ignore[arg-type]
    settings = {name: Setting(there, default, number=name in numbers) for name, (there, default, _) in own.items()}

    def read(given: Given) -> Part | None:
        found = {name: settings[name].of(given) for name in own}
        if found[next(iter(own))] is None:
            return None
        found = {name: own[name][2].read(value) for name, value in found.items() if value is not None}
        found = {name: found.get(name, known[name]) for name in own}
        if off(**found) or (cls.variadic and not found[next(iter(own))]):
            return None
        values = found.pop(next(iter(own))) if cls.variadic else ()
        return cls(*values, **found, **fixed)

    def write(part: Any) -> dict[str, Any]:
        for name, default in known.items():
            value, wanted = getattr(part, name), fixed.get(name, default)
            if name not in own and value != wanted:
                raise ParameterError(f"it has no setting for the {name} of {part}, which is {wanted!r} there")
        written = {settings[name].name: own[name][2].write(getattr(part, name)) for name in own}
        return {name: value for name, value in written.items() if value is not None}

    return Place(method, tuple(settings.values()), read, write, **rest)


def drawn(count: Setting | None, zero: Callable[[Given], bool], refused: str = "") -> tuple[Place, Place]:
    """Sampling, of `count` texts, and greedy search where the temperature is zero, for engines that have no other sign of it.

    Several texts at temperature zero are all the same; refused: why the engine does not make them, if it does not.
    """

    def write(part: Any) -> dict[str, Any]:
        if count is None and part.n > 1:
            raise ParameterError(f"it draws one text a call: write sample(1) in place of {part}, and another seed for another text")
        return {count.name: part.n} if count and part.n > 1 else {}

    def sample(given: Given) -> Part | None:
        n = int(count.of(given)) if count else 1
        if zero(given) and n > 1 and refused:
            raise Unsupported(f"{count.name if count else 'n'}={n}: {refused}")
        return None if zero(given) and n == 1 else Sample(n)

    greedy = Setting("temperature", shown="temperature=0")
    return (
        Place("sample", (count,) if count else (), sample, write),
        Place("greedy", (greedy,), lambda given: Greedy(), lambda part: {"temperature": 0}),
    )


def looked_up(
    plain: tuple[Place, ...],
    settings: tuple[Setting, ...],
    read: Callable[[Given], dict[str, Any] | None],
    write: Callable[[Any], dict[str, Any]],
    note: str = "",
) -> Place:
    """Prompt lookup, of the text that the first of the plain strategies writes which the other settings mean.

    read: the arguments of prompt_lookup but for `then`, None where it is not asked for.
    """

    def read_it(given: Given) -> Part | None:
        found = read(given)
        if found is None:
            return None
        then: Any = next(part for p in plain if (part := p.read(given)) is not None)
        return PromptLookup(**found, then=then)

    def write_it(part: PromptLookup) -> dict[str, Any]:
        place = next((p for p in plain if p.method == part.then.name), None)
        if place is None:
            raise ParameterError(f"it has no {part.then}")
        return place.write(part.then) | write(part)

    return Place("prompt_lookup", (*settings, *(s for p in plain for s in p.settings)), read_it, write_it, note=note)


def writer(strategy: Part) -> Part:
    """The strategy whose tokens come: where drafts are looked along, the one inside."""
    return strategy.then if isinstance(strategy, Drafting) else strategy


def end_tokens(name: str) -> CallSetting:
    """A switch under which the model's own end tokens do not end the text."""

    def write(ends: Any) -> bool:
        if len(ends):
            raise ParameterError(f"it has {name} alone; write end(...) for other end tokens than the model's, here {tuple(ends)}")
        return True

    return CallSetting("end_tokens", Setting(name), lambda on: () if on else None, write)


def names_in(text: str) -> frozenset[str]:
    """Names in a row."""
    return frozenset(text.split())


BEAM_GROUPS, DIVERSITY = Setting("num_beam_groups", 1), Setting("diversity_penalty", 0.0)


def written_groups(beams: Callable[[Any], dict[str, Any]], part: Any) -> dict[str, Any]:
    """The settings of group beams, beside those that all beams have."""
    if part.discount or part.siblings or part.penalise != "score":
        raise ParameterError(f"its groups have the Hamming penalty in the score, and no other: {part}")
    return beams(part) | {BEAM_GROUPS.name: part.groups, DIVERSITY.name: part.diversity}


NO_SEED = Codec(lambda seed: None if seed is None or counted(seed) < 0 else seed, lambda seed: seed)
NO_LIMIT = Codec(lambda n: None if n is None or counted(n) < 0 else n, lambda n: n)
ALL, GENERATED = {"scope": "all"}, {"scope": "generated"}
LARK = 'write the grammar in Lark, as in grammar(\'start: "yes" | "no"\')'
RESAMPLED = "there only a drawn token that breaks it is drawn again, which is not quite the same distribution"


def structured(
    name: str,
    schema: Callable[[Any], Any],
    written: Callable[[Any], Any],
    regex: Callable[[Any], Any] | None = None,
    differs: str = "",
    unasked: Any = None,
) -> tuple[Place, ...]:
    """The places of constraints that share a setting; schema and regex find theirs in its value, `written` is what a schema becomes.

    unasked: the value, if there is one, that says there is no constraint.
    """

    def read(method: str, find: Callable[[Any], Any], given: Given) -> Part | None:
        value = given.get(name)
        found = None if value is None else find(value)
        free = {"separators": None} if method == "json_schema" else {}   # these engines allow any white space
        return None if found is None else REGISTRY[method](found, **free)  # type: ignore[call-arg]

    def write(part: Any) -> dict[str, Any]:
        if part.separators is not None:
            raise ParameterError(f"it allows any white space: write json_schema(..., separators=None) in place of {part}")
        return {name: written(json.loads(part.schema))}

    free = "Any white space may come between the parts, so a text may go on with it for ever."
    own = (Setting(name, unasked, shown=name),)
    places = [Place("json_schema", own, partial(read, "json_schema", schema), write, note=free, tells=True, differs=differs)]
    if regex:
        places.append(Place("regex", own, partial(read, "regex", regex), lambda part: {name: {"regex": part.pattern}}))
    return tuple(places)
