"""Constraints written as a regular expression, a JSON schema or a grammar. llguidance finds what may come next."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np

from unspool.arrays import Array, Flags, Ints, block, like
from unspool.core.decoder import Part
from unspool.core.processor import Processor, Rows
from unspool.errors import NO_PATTERN, MissingExtra, ParameterError, Unsupported, check
from unspool.patterns.rust import Unwritable, written
from unspool.text import Tokenizer, begins_text


class _Constraint(Processor):
    """All new text, up to its end token, must match. A token may come if its bytes leave a match possible.

    The text is what is shown: where it begins, the tokenizer's own space is not in it.

    An end token may come where the text is complete. If there are no end tokens, a text ends where it is complete and nothing
    can follow. A text that reaches the length limit before is cut there and need not match; the reason is then "unfinished".
    """

    stateful = True
    reads_text = True
    completes = True
    _begin: Beginning | None

    def rules(self) -> str:
        """The constraint in llguidance's variant of Lark."""
        raise NotImplementedError

    def resolve(self, tokenizer: Any) -> Part:
        part = copy(self)
        object.__setattr__(part, "_begin", Beginning.of(part, tokenizer))
        return part

    def begin(self, prompt: Ints) -> Matched:
        """Nothing of the text is there; of the prompt is read whether the text begins after it."""
        if self._begin is None:
            raise ParameterError(f"{self} needs a tokenizer; decode with a LanguageModel")
        return self._begin.after(prompt.tolist())

    def advance(self, memories: Sequence[Matched | None], tokens: Sequence[int], scores: Sequence[Array]) -> list[Matched | None]:
        """The states after one more token each; None for a text that cannot match."""
        return [state and state.after(token) for state, token in zip(memories, tokens, strict=True)]

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        keep = np.zeros(tuple(scores.shape), bool)
        for row, state in zip(keep, memory, strict=True):
            if state is not None:
                may = state.allowed()
                row[: len(may)] = may
                row[list(rows.end_tokens)] = [state.ends_with(token) for token in rows.end_tokens]
        return block(scores, like(keep, scores))

    def complete(self, memories: Sequence[Matched | None]) -> Flags:
        """Whether the text matches and no token can follow."""
        return np.asarray([state is not None and state.complete and not state.allowed().any() for state in memories], bool)

    def whole(self, memories: Sequence[Matched | None]) -> Flags:
        """Whether the text matches."""
        return np.asarray([state is not None and state.complete for state in memories], bool)


class MatcherState:
    """How far a text has come in a grammar: a matcher that is copied, never moved."""

    def __init__(self, matcher: Any, size: int, name: str) -> None:
        self._matcher, self._size, self._name = matcher, size, name
        self._bits: bytes | None = None

    @classmethod
    def first(cls, part: _Constraint, tokenizer: Tokenizer, rules: str) -> MatcherState:
        """The state before the first token."""
        library = _llguidance()
        matcher = library.LLMatcher(_tokens(tokenizer), rules, log_level=0, limits=library.LLParserLimits(verbose_errors=False))
        if matcher.is_error():
            raise _refused(part, _reason(matcher.get_error()))
        return cls(matcher, tokenizer.size, _short(part))

    @property
    def complete(self) -> bool:
        """Whether the text may end here."""
        return bool(self._matcher.is_accepting())

    def after(self, token: int) -> MatcherState | None:
        """The state after one more token, None if it cannot come."""
        matcher = self._matcher.deep_copy()
        return MatcherState(matcher, self._size, self._name) if matcher.try_consume_tokens([int(token)]) else None

    def allowed(self) -> Flags:
        """(tokens of the tokenizer,), whether each may come next as text."""
        if self._bits is None:
            self._bits = self._matcher.compute_bitmask()
            if self._matcher.is_error():
                self._bits = self._fail()
        return np.unpackbits(np.frombuffer(self._bits, np.uint8), count=self._size, bitorder="little").view(bool)

    def ends_with(self, token: int) -> bool:
        """Whether this end token may come: the text is complete before it, or with it if the grammar has it as text."""
        if self.complete:
            return True
        after = self.after(token)
        return after is not None and after.complete

    def _fail(self) -> bytes:
        """The bits of no token at all if nothing can follow; an error if the grammar is too much for llguidance."""
        error = _reason(self._matcher.get_error())
        if not error.startswith("NoExtension"):
            raise Unsupported(f"{self._name}: llguidance gave up on this grammar: {error}")
        return bytes(self._size // 8 + 1)


class Opening:
    """Nothing of a text that begins with a space of the tokenizer's own: a token that brings the space counts without it."""

    def __init__(self, plain: MatcherState, spaced: MatcherState, spaces: Flags) -> None:
        self._plain, self._spaced, self._spaces = plain, spaced, spaces

    @property
    def complete(self) -> bool:
        """Whether the text may end here."""
        return self._plain.complete

    def allowed(self) -> Flags:
        """(tokens,), whether each may come first."""
        return np.where(self._spaces, self._spaced.allowed(), self._plain.allowed())

    def after(self, token: int) -> MatcherState | None:
        """The state after the first token, None if it cannot come."""
        return (self._spaced if token < len(self._spaces) and self._spaces[token] else self._plain).after(token)

    def ends_with(self, token: int) -> bool:
        """Whether this end token may come: the text is complete before it, or with it if the grammar has it as text."""
        after = None if self.complete else self.after(token)
        return self.complete or (after is not None and after.complete)


Matched = MatcherState | Opening


@dataclass(frozen=True)
class Beginning:
    """The states before the first token: of a text that goes on after a prompt, and of one that begins with the tokenizer's space."""

    tokenizer: Tokenizer
    inside: MatcherState
    opening: Opening | None

    @classmethod
    def of(cls, part: _Constraint, tokenizer: Tokenizer) -> Beginning:
        """Both states; an error if no token can follow."""
        inside, opening = MatcherState.first(part, tokenizer, _exactly(part.rules())), None
        if tokenizer.prefixes_space:
            spaces = np.fromiter((tokenizer.bytes_of(t).startswith(b" ") for t in range(tokenizer.size)), bool, tokenizer.size)
            opening = Opening(inside, MatcherState.first(part, tokenizer, _after_space(part.rules())), spaces)
        first = inside if opening is None else opening
        may = inside.complete or bool(inside.allowed().any()) or bool(first.allowed().any())
        check(may, f"{_short(part)} cannot be met: no token of the model can begin such a text")
        return cls(tokenizer, inside, opening)

    def after(self, prompt: Sequence[int]) -> Matched:
        """The state after a prompt."""
        return self.opening if self.opening is not None and begins_text(self.tokenizer, prompt) else self.inside


@dataclass(frozen=True)
class Regex(_Constraint):
    """Only texts that match this regular expression from beginning to end, as Python's `re.fullmatch`.

    It is read as Python reads it, flags and classes too, and written for llguidance. What needs backtracking is refused by name:
    look-around, references to groups, atomic groups, possessive quantifiers; so are word boundaries and the flag m.
    """

    pattern: str
    _begin: Beginning | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check(isinstance(self.pattern, str) and self.pattern != "", f'regex(pattern) needs a pattern, as "[a-z]+"; got {self.pattern!r}')
        try:
            written(self.pattern)
        except Unwritable as error:
            raise _refused(self, f"{error} cannot be followed token by token") from None
        except NO_PATTERN as error:
            raise _refused(self, str(error)) from None
        _validate(self)

    def rules(self) -> str:
        return f"start: /{written(self.pattern)}/"


@dataclass(frozen=True)
class JsonSchema(_Constraint):
    """Only JSON that a schema accepts, with keys in the schema's order; {} accepts every value.

    schema: a dict, or its text. separators: those between items and after keys, as json.dumps has them; None allows any white
    space between words, of which small models may find no end. Keywords that llguidance cannot enforce are refused; its own
    settings can stand in the schema under "x-guidance".
    """

    schema: Any
    separators: tuple[str, str] | None = (", ", ": ")
    _begin: Beginning | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        known = isinstance(self.schema, dict | bool | str)
        check(known, f"json_schema(schema) is an object, as {{'type': 'object'}}, or its text; got {str(self.schema)[:60]}")
        try:
            schema = json.loads(self.schema) if isinstance(self.schema, str) else self.schema
            text = json.dumps(schema, ensure_ascii=False)
        except (TypeError, ValueError) as error:
            raise ParameterError(f"json_schema(schema) needs a dict, or JSON: {error}; got {str(self.schema)[:60]!r}") from None
        check(isinstance(schema, dict | bool), f"json_schema(schema) is an object, as {{'type': 'object'}}; got {text[:60]}")
        object.__setattr__(self, "schema", text)
        if self.separators is not None:
            fit = isinstance(self.separators, Sequence) and [str(s).strip(" ") for s in self.separators] == [",", ":"]
            check(fit, f'json_schema(separators=...) is a comma and a colon, as (", ", ": "); got {self.separators!r}')
            object.__setattr__(self, "separators", tuple(self.separators))
        _validate(self)

    def rules(self) -> str:
        schema = json.loads(self.schema)
        if self.separators is not None and schema is not False:
            item, key = self.separators
            schema = {} if schema is True else schema
            style = {"whitespace_flexible": False, "item_separator": item, "key_separator": key}
            schema = schema | {"x-guidance": style | schema.get("x-guidance", {})}
        return f"start: %json {json.dumps(schema)}"


@dataclass(frozen=True)
class Grammar(_Constraint):
    """Only texts of a context-free grammar in llguidance's variant of Lark, whose first rule is `start`.

    grammar('start: "(" start ")" | WORD\\nWORD: /[a-z]+/'). Names in capitals are words of the lexer, which takes the longest.
    What stands between slashes is llguidance's own dialect (that of Rust), not Python's.
    """

    lark: str
    _begin: Beginning | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given = isinstance(self.lark, str) and self.lark.strip() != ""
        check(given, f"grammar(lark) needs rules, as 'start: \"yes\" | \"no\"'; got {self.lark!r}")
        _validate(self)

    def rules(self) -> str:
        return self.lark


def _llguidance() -> ModuleType:
    try:
        import llguidance
    except ImportError:
        raise MissingExtra("regex, json_schema and grammar need llguidance: pip install 'unspool[grammar]'") from None
    return llguidance


def _exactly(rules: str) -> str:
    """The rules, with every spelling of a text in tokens allowed, not only the tokenizer's own."""
    return rules + '\n%llguidance {"no_forcing": true}\n'


def _after_space(rules: str) -> str:
    """The same rules after one space."""
    grammars = [{"lark_grammar": _exactly('start: " " @text')}, {"name": "text", "lark_grammar": _exactly(rules)}]
    return json.dumps({"grammars": grammars})


def _validate(part: _Constraint) -> None:
    """Refuse rules that are wrong, if llguidance is there to tell."""
    try:
        library = _llguidance()
    except MissingExtra:
        return
    wrong, messages = library.LLMatcher.validate_grammar_with_warnings(_exactly(part.rules()))
    if wrong:
        raise _refused(part, _reason(messages[0]))


def _refused(part: Part, why: str) -> ParameterError:
    """The error for a constraint that cannot be followed."""
    error = ParameterError(f"{_short(part)}: {why}")
    error.reason = why
    return error


def _short(part: Part) -> str:
    text = str(part)
    return text if len(text) <= 80 else text[:76] + "...)"


def _reason(message: str) -> str:
    """llguidance's message in one line: without where it stands in rules that nobody wrote, or the rules again."""
    detail = re.search(r"^error: (.*)", message, re.M)
    first = message.strip().split("\n")[0]
    place, first = re.fullmatch(r"(?:(?:at )?(\d+)\(\d+\): )?(.*)", first).groups()  # type: ignore[union-attr]
    what = detail[1] if detail else re.sub(r"failed to compile JSON schema: |invalid regex .* \(in regex\): ", "", first)
    return what if place in (None, "1") else f"line {place}: {what}"


class _Vocabulary:
    """What llguidance asks of a tokenizer, with one token more: it stands for the end, whatever the model ends with."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer) -> None:
        spell = {t: tokenizer.name_of(t).encode() for t in tokenizer.specials}
        self.tokens = [*(spell.get(t) or tokenizer.bytes_of(t) for t in range(tokenizer.size)), b"<end>"]
        self.eos_token_id = tokenizer.size
        self.special_token_ids = [*sorted(tokenizer.specials), tokenizer.size]
        self._tokenizer = _weakly(tokenizer)

    def __call__(self, text: str) -> list[int]:
        tokenizer = self._tokenizer()
        return [] if tokenizer is None else tokenizer.encode(text)


def _weakly(tokenizer: Tokenizer) -> Callable[[], Tokenizer | None]:
    """A reference by which a cache does not keep the tokenizer."""
    try:
        return ref(tokenizer)
    except TypeError:                                                     # it takes none
        return lambda: tokenizer


_VOCABULARIES: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


def _tokens(tokenizer: Tokenizer) -> Any:
    """llguidance's trie of a tokenizer, made once if the tokenizer can be told from others."""
    try:
        if tokenizer not in _VOCABULARIES:
            _VOCABULARIES[tokenizer] = _llguidance().LLTokenizer(_Vocabulary(tokenizer))
        return _VOCABULARIES[tokenizer]
    except TypeError:                                                     # it has no hash or takes no weak reference
        return _llguidance().LLTokenizer(_Vocabulary(tokenizer))
