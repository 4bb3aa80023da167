"""A decoder as a value: processors, one strategy, stops, joined by `|`; and its text form.

    temperature(0.8) | top_p(0.95) | sample(4) | stop("\\n\\n")

`repr` is Python, `str` is the text form. The text form is a subset of Python expressions, read with `ast`: known names,
calls with literal arguments (or with decoders, for strategies around strategies), and `|`. Nothing else is evaluated.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import wraps
from importlib import import_module
from inspect import signature
from typing import Any, ClassVar, Literal

from unspool.core.elsewhere import DEFINED, load_announced, run_module
from unspool.errors import DecoderError, ParameterError, UnknownName, UnspoolError, near, plain, unknown

Role = Literal["processor", "strategy", "stop"]

REGISTRY: dict[str, type[Part]] = {}
"""Every concrete part by its name in the text form; a subclass enters it by being defined."""
OWN = ("unspool.processors", "unspool.strategies", "unspool.stops")
"""The modules of the package's own parts, imported before the first text form is read."""
CONSTANTS = {"true": "True", "yes": "True", "false": "False", "no": "False", "none": "None", "null": "None"}
"""How others write what Python calls by these names."""
READING = ContextVar("reading", default=False)
"""Whether a text form is being read: what is wrong with it is said in its own spelling, `greedy` for Greedy()."""
FROM_ELSEWHERE: set[type[Part]] = set()
"""The parts that a user imported from a file or module, or that installed packages announce."""


class Part:
    """A processor, a strategy or a stop: a frozen dataclass, checked when built."""

    role: ClassVar[Role]
    name: ClassVar[str] = ""
    aliases: ClassVar[tuple[str, ...]] = ()
    variadic: ClassVar[bool] = False
    """Its first field is a tuple written as separate arguments; others are written by name."""
    takes_back: ClassVar[bool] = False
    """Whether it has to do with tokens of the prompt that are taken back: its `begin` is given the whole prompt."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "__repr__" not in cls.__dict__:                               # before dataclass writes a longer one
            cls.__repr__ = Part.__repr__  # type: ignore[method-assign]
        if "__post_init__" in cls.__dict__:
            cls.__post_init__ = _after_plain_fields(cls.__post_init__)  # type: ignore[method-assign, assignment]
        if "resolve" in cls.__dict__:
            cls.resolve = _called_as_given(cls.resolve)  # type: ignore[method-assign]
        if not cls.__name__.startswith("_") and hasattr(cls, "role") and "role" not in cls.__dict__:
            cls.name = cls.__dict__.get("name") or snake(cls.__name__)
            for name in (cls.name, *cls.__dict__.get("aliases", ())):
                taken = REGISTRY.get(name)
                if taken is not None and taken.__module__ != cls.__module__:
                    raise DecoderError(f"{cls.__qualname__}: the name {name!r} is {taken.__module__}.{taken.__qualname__}'s; rename it")
                REGISTRY[name] = cls

    def __or__(self, other: Part | Decoder) -> Decoder:
        return Decoder((self,)) | other

    def __post_init__(self) -> None:
        """What a subclass checks when it is built; its fields hold Python's numbers by then."""
        _plain_fields(self)

    def token_ids(self) -> Iterable[int]:
        """The token ids that it names; they are checked against the model's."""
        return ()

    def resolve(self, tokenizer: Any) -> Part:
        """This part with its texts turned into tokens; its text form stays the one that was given."""
        return self

    def __str__(self) -> str:
        return str(self.__dict__.get("_given") or _text(self, self.name, _literal))

    def __repr__(self) -> str:
        return str(self) if READING.get() else _text(self, type(self).__name__, repr, "()")


def _plain_fields(part: Part) -> None:
    """Put Python's numbers into the fields of a new part where numpy's were given: they are written and counted otherwise."""
    for field in fields(part) if is_dataclass(part) else list[Field[Any]]():
        value = getattr(part, field.name, None)
        known = plain(value)
        if known is not value:
            object.__setattr__(part, field.name, known)


def _after_plain_fields(check: Callable[[Any], None]) -> Callable[[Any], None]:
    """What a subclass checks when it is built, once its fields hold Python's numbers."""

    @wraps(check)
    def checked(self: Any) -> None:
        _plain_fields(self)
        check(self)

    return checked


def _called_as_given(resolve: Callable[..., Any]) -> Callable[..., Any]:
    """A part that was resolved is called in records and errors what its user called it: by texts, not by their tokens."""

    @wraps(resolve)
    def resolved(self: Any, tokenizer: Any) -> Any:
        found = resolve(self, tokenizer)
        if found is not self and isinstance(found, Part):
            object.__setattr__(found, "_given", str(self))
        return found

    return resolved


def snake(name: str) -> str:
    """top_p for TopP."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


@dataclass(frozen=True)
class Decoder:
    """Processors in the order written, at most one strategy (greedy if none), and stops."""

    parts: tuple[Part, ...] = ()

    def __post_init__(self) -> None:
        for part in self.parts:
            if not isinstance(part, Part):
                raise DecoderError(f"{part!r} is no part of a decoder; use processors, a strategy and stops joined by |")
        strategies = [str(p) for p in self.parts if p.role == "strategy"]
        if len(strategies) > 1:
            raise DecoderError(f"a decoder has one strategy; this one has {len(strategies)}: {', '.join(strategies)}")
        roles = [p.role for p in self.parts]
        if strategies and "processor" in roles[roles.index("strategy") :]:
            order = " | ".join(map(str, sorted(self.parts, key=lambda p: ("processor", "strategy", "stop").index(p.role))))
            raise DecoderError(f"processors stand before the strategy, in the order in which they act: {order}")

    def __or__(self, other: Part | Decoder) -> Decoder:
        return Decoder(self.parts + (other.parts if isinstance(other, Decoder) else (other,)))

    @property
    def processors(self) -> tuple[Any, ...]:
        """The processors, in order."""
        return tuple(p for p in self.parts if p.role == "processor")

    @property
    def strategy(self) -> Any:
        """The strategy, or None."""
        return next((p for p in self.parts if p.role == "strategy"), None)

    @property
    def stops(self) -> tuple[Any, ...]:
        """The stops."""
        return tuple(p for p in self.parts if p.role == "stop")

    def resolve(self, tokenizer: Any) -> Decoder:
        """This decoder with its texts turned into tokens."""
        return Decoder(tuple(p.resolve(tokenizer) for p in self.parts))

    def __str__(self) -> str:
        return " | ".join(map(str, self.parts))

    def __repr__(self) -> str:
        if READING.get():
            return str(self)
        return " | ".join(map(repr, self.parts)) if len(self.parts) > 1 else f"Decoder({self.parts!r})"


def as_decoder(value: Decoder | Part | str) -> Decoder:
    """A decoder from a decoder, one part, or the text form."""
    if isinstance(value, str):
        return parse(value)
    if isinstance(value, Part):
        return Decoder((value,))
    if isinstance(value, Decoder):
        return value
    raise DecoderError(f"{value!r} is no decoder; give a Decoder, a strategy or processor, or text such as 'top_p(0.9) | sample(1)'")


def parse(text: str) -> Decoder:
    """A decoder from its text form."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        detail = "it is empty" if not text.strip() else error.msg if isinstance(error, SyntaxError) else str(error)
        example = "temperature(0.8) | top_p(0.95) | sample(1) | stop('END')"
        raise DecoderError(f"cannot read the decoder {text[:80]!r}: {detail}; an example, texts in quotes: {example}") from None
    except (RecursionError, MemoryError):
        raise DecoderError(f"the decoder is nested too deeply: {text[:40]!r}...") from None
    token = READING.set(True)
    try:
        return as_decoder(_build(tree.body))
    finally:
        READING.reset(token)


def _build(node: ast.expr) -> Decoder | Part:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _build(node.left) | _build(node.right)
    if isinstance(node, ast.Name):
        return _make(node.id, [], {})
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        names = [k.arg for k in node.keywords]
        if None in names or any(isinstance(a, ast.Starred) for a in node.args):
            raise DecoderError(f"* and ** are not part of the text form: {ast.unparse(node)!r}")
        twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
        if twice is not None:
            raise ParameterError(f"{ast.unparse(node)} gives {twice} twice")
        part_named(node.func.id)                                          # before anything is said of its arguments
        keywords = {str(k.arg): _value(k.value, node) for k in node.keywords}
        return _make(node.func.id, [_value(a, node) for a in node.args], keywords)
    raise DecoderError(f"{ast.unparse(node)!r} is no decoder; use names, calls and |, as in 'top_p(0.9) | sample(1)'")


def _value(node: ast.expr, call: ast.Call) -> Any:
    """An argument of a call."""
    if isinstance(node, ast.Call) or (isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)):
        return _build(node)
    if isinstance(node, ast.Name) and is_part(node.id):
        return _build(node)
    if any(isinstance(inner, ast.Constant) and isinstance(inner.value, str) and lone_surrogate(inner.value) for inner in ast.walk(node)):
        raise DecoderError(f"a text never has the surrogates in {ast.unparse(node)}: they are halves of a character")
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        raise _no_value(node, call) from None


def is_part(name: str) -> bool:
    """Whether a part has this name."""
    if name not in own_parts():
        announced_parts()
    return name in REGISTRY


def _no_value(node: ast.expr, call: ast.Call) -> UnspoolError:
    """The error for an argument that is no value; a word in it is more often a text that lacks its quotes."""
    words = [inner for inner in ast.walk(node) if isinstance(inner, ast.Name | ast.Attribute)]
    if not words:
        return DecoderError(f"{ast.unparse(node)!r} is no literal; arguments are numbers, strings, lists, True, False or None")
    word = ast.unparse(words[0])
    quoted = f"a text stands in quotes, as {word!r}"
    meant = [CONSTANTS[word.lower()]] if word.lower() in CONSTANTS else near(word, REGISTRY)
    said = f"did you mean {' or '.join(meant)}? If not, {quoted}" if meant else f"{quoted}; numbers stand without"
    return (UnknownName if meant else DecoderError)(f"{ast.unparse(call)}: {word} is no value; {said}")


def lone_surrogate(text: str) -> bool:
    """Whether a string holds half of a character, which no text can."""
    return any("\ud800" <= c <= "\udfff" for c in text)


def own_parts() -> dict[str, type[Part]]:
    """The registry, once the package's own parts are in it."""
    for module in OWN:
        import_module(module)
    return REGISTRY


def import_parts(name: str) -> None:
    """Make the parts of a file, or of a module by its dotted name, known to the text form."""
    _add(name, lambda: run_module(name))


def announced_parts() -> list[str]:
    """Make the parts known that installed packages announce as entry points; what is wrong with broken ones, a line each."""
    return load_announced(_add)


def _add(name: str, load: Callable[[], Any]) -> None:
    """Load a module, or something in one, and take its parts down; one that defines none is an error."""
    before = set(own_parts().values())                                   # these first: whoever takes one of their names is refused
    others = dict(DEFINED)
    found = load()
    inside = [found, *getattr(found, "__dict__", {}).values()]
    below = f"{getattr(found, '__name__', '')}."
    new = {cls for cls in REGISTRY.values() if cls not in before}
    new |= {cls for cls in before if cls.__module__.startswith(below) or any(cls is one for one in inside)}
    new = {cls for cls in new if not cls.__module__.startswith(OWN)}
    own_name = getattr(found, "__name__", "")
    other = any(others.get(key) != one or f"{one[1]}.".startswith(f"{own_name}.") for key, one in DEFINED.items())
    if not new and not other:
        raise UnspoolError(
            f"{name} defines no strategy, processor, stop or metric: a part is a frozen dataclass under unspool.Strategy, Processor or "
            "Stop whose name does not begin with _, a metric a function under @unspool.metric"
        )
    FROM_ELSEWHERE.update(new)


def listed_parts() -> list[type[Part]]:
    """The package's own parts, those that the user imported, and those of installed packages."""
    announced_parts()
    return [cls for cls in own_parts().values() if is_dataclass(cls) and (cls.__module__.startswith(OWN) or cls in FROM_ELSEWHERE)]


def part_named(name: str, kind: str = "strategy, processor or stop") -> type[Part]:
    """The part of a name. What installed packages announce is loaded for a name that is not known without them."""
    known = own_parts()
    broken = [] if name in known else announced_parts()
    if name not in known:
        error = unknown(kind, name, known, "nothing is called like it; unspool explain lists all")
        raise UnknownName("; ".join([str(error), *broken]))
    return known[name]


def _make(name: str, values: list[Any], keywords: dict[str, Any]) -> Part:
    cls = part_named(name)
    known = [f.name for f in written(cls)]
    for keyword in keywords:
        if keyword not in known:
            raise _unknown_parameter(name, keyword, known)
    twice = [name for name in known[: len(values)] if name in keywords]
    given = ", ".join([*map(repr, values), *(f"{k}={v!r}" for k, v in keywords.items())])
    if twice and not cls.variadic:
        raise ParameterError(f"{name}({given}) gives {twice[0]} twice: by its place and by its name")
    try:
        signature(cls).bind(*values, **keywords)
    except TypeError:
        wanted = ", ".join(f.name if _required(f) else f"{f.name}={f.default!r}" for f in written(cls))
        raise ParameterError(f"{name}({given}) does not fit {name}({wanted})") from None
    try:
        return cls(*values, **keywords)
    except TypeError as error:
        raise ParameterError(f"{name}({given}) was given a value of the wrong kind: {error}") from None


def _unknown_parameter(name: str, keyword: str, known: list[str]) -> UnknownName:
    return unknown(f"parameter of {name}", keyword, known) if known else UnknownName(f"{name} takes no parameters; got {keyword!r}")


def written(part: Part | type[Part]) -> list[Field[Any]]:
    """The fields that are written in the text form; a part that is no dataclass has none and is refused."""
    if not is_dataclass(part):
        cls = part if isinstance(part, type) else type(part)
        raise DecoderError(f"{cls.__name__} must be a frozen dataclass: put @dataclass(frozen=True) above its class")
    return [f for f in fields(part) if f.init]


def _required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _text(part: Part, name: str, show: Callable[[Any], str], bare: str = "") -> str:
    """name(first, other=...), without what has its default value."""
    own = written(part)
    arguments = [show(v) for v in getattr(part, own[0].name)] if part.variadic else []
    for place, field in enumerate(own):
        value = getattr(part, field.name)
        if part.variadic and place == 0:
            continue
        if _required(field) or value != field.default or type(value) is not type(field.default):
            arguments.append(show(value) if place == 0 else f"{field.name}={show(value)}")
    return f"{name}({', '.join(arguments)})" if arguments else name + bare


def _literal(value: Any) -> str:
    if isinstance(value, Part | Decoder):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return f"<{type(value).__name__}>"                                    # a live object: readable, but cannot be parsed back
