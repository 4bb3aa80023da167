"""Field cases of JSON schemas and regular expressions."""

import json
import re

import numpy as np
import pytest
from helpers.scripted import gpt2, liking

import unspool as un

pytest.importorskip("llguidance")


class Bytes:
    """A tokenizer of bytes, and an end token."""

    size, specials, prefixes_space, hash = 257, frozenset({256}), False, "bytes"

    def encode(self, text):
        return list(text.encode())

    encode_prompt = encode

    def bytes_of(self, token):
        return bytes([token]) if token < 256 else b""

    def name_of(self, token):
        return f"<{token}>"


BYTES = Bytes()


def accepts(part, text):
    """Whether a text may be written, whole."""
    part = part.resolve(BYTES)
    state = part.begin(np.zeros(0))
    for byte in text.encode():
        state = state and state.after(byte)
    return state is not None and state.complete


def refusal(build):
    """What is said of a part that is refused, in one line; "" if it is not."""
    try:
        build()
    except un.ParameterError as error:
        return str(error).replace("\n", " AND MORE LINES ")
    return ""


def json_accepts(schema, *texts):
    part = un.JsonSchema(schema)
    return [accepts(part, text) for text in texts]


# --- JSON schemas -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.field("F48", "F49")
@pytest.mark.parametrize("pattern", ["cat|dog", "^(cat|dog)$", "^cat|dog$", "^cat|dog", "cat$|^dog"])
def test_patterns_of_schemas_search(pattern):
    """As JSON Schema says: anywhere in the string, an anchor belongs to its own branch, and the quotes to none."""
    texts = ["cat", "dog", "catalog", "hotdog", "dogs", "concat", "cow", "", "a cat b"]
    found = json_accepts({"type": "string", "pattern": pattern}, *map(json.dumps, texts))
    assert found == [bool(re.search(pattern, text)) for text in texts]


@pytest.mark.field("F51")
@pytest.mark.parametrize(
    "branches",
    [
        [{"type": "integer", "minimum": 0, "maximum": 10}, {"type": "integer", "minimum": 5, "maximum": 20}],
        [{"type": "string", "pattern": "^a"}, {"type": "string", "pattern": "b$"}],
    ],
)
def test_one_of_branches_that_overlap_is_refused(branches):
    with pytest.raises(un.ParameterError, match="oneOf"):
        un.JsonSchema({"oneOf": branches})


@pytest.mark.field("F51")
def test_one_of_branches_that_exclude_each_other_works():
    assert json_accepts({"oneOf": [{"type": "integer"}, {"type": "string", "maxLength": 2}]}, "12", '"ab"', "true") == [True, True, False]


@pytest.mark.field("F52")
def test_properties_beside_one_of_are_kept_or_refused():
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
    schema |= {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}
    said = refusal(lambda: un.JsonSchema(schema))
    assert "MORE LINES" not in said
    assert said or json_accepts(schema, '{"a": 1}', '{"a": "x"}', "{}") == [True, False, False]


@pytest.mark.field("F53")
@pytest.mark.parametrize("name", ["first name", 'a"b', "키", "a\\b", " "])
def test_names_of_properties_of_any_kind(name):
    schema = {"type": "object", "properties": {name: {"type": "boolean"}}, "required": [name], "additionalProperties": False}
    assert json_accepts(schema, json.dumps({name: True}, ensure_ascii=False), "{}") == [True, False]


LINES = {198: 9.0, 220: 8.0, 628: 7.0, 50256: 0.5} | {gpt2().encode(c)[0]: 1.0 for c in '{}"a:,true false[]0123456789'}
"""A model that loves new lines."""
FLAG = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"], "additionalProperties": False}


@pytest.mark.field("F54")
def test_white_space_has_an_end():
    out = liking(gpt2(), LINES, end_tokens=(50256,)).generate([0], un.JsonSchema(FLAG), max_new_tokens=40)
    assert out.best.reason == "end"
    assert json.loads(out.text).keys() == {"a"}


@pytest.mark.field("F55")
def test_a_schema_of_vllm_says_that_white_space_may_have_no_end():
    found = un.from_engine("vllm", {"structured_outputs": {"json": FLAG}, "temperature": 0})
    assert [n.setting for n in found.notes if "white space" in n.what] == ["structured_outputs"]
    assert not found.lost
    lm = liking(gpt2(), LINES, end_tokens=(50256,))
    text = lm.generate([0], found.decoder, max_new_tokens=20).text
    assert text.startswith("{\n"), "the loop is that engine's too"
    plain = un.from_engine("vllm", {"structured_outputs": {"regex": "a+"}, "temperature": 0}).notes
    assert not [n for n in plain if "white space" in n.what]


@pytest.mark.field("F56")
@pytest.mark.parametrize(
    "bounds",
    [
        {"minimum": 3, "maximum": 17},
        {"exclusiveMinimum": 3, "exclusiveMaximum": 17},
        {"minimum": -12, "maximum": -3},
        {"exclusiveMinimum": -12, "maximum": 5},
        {"multipleOf": 7, "minimum": 1, "maximum": 60},
    ],
)
def test_bounds_of_integers_are_exact(bounds):
    within = [
        bounds.get("minimum", -99) <= n <= bounds.get("maximum", 99)
        and bounds.get("exclusiveMinimum", -99) < n < bounds.get("exclusiveMaximum", 99)
        and n % bounds.get("multipleOf", 1) == 0
        for n in range(-25, 70)
    ]
    assert json_accepts({"type": "integer", **bounds}, *map(str, range(-25, 70))) == within
    assert json_accepts({"type": "integer", "maximum": 10}, "1e5", "11", "10") == [False, False, True]


@pytest.mark.field("F57")
@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "array", "uniqueItems": True, "items": {"type": "integer"}}, "[1, 2]", "[1, 1]"),
        ({"type": "integer", "not": {"const": 3}}, "4", "3"),
        ({"if": {"type": "integer"}, "then": {"minimum": 5}}, "7", "3"),
        ({"type": "array", "contains": {"const": 1}}, "[2, 1]", "[2]"),
        ({"type": "object", "propertyNames": {"pattern": "^a"}}, '{"ab": 1}', '{"b": 1}'),
        ({"type": "object", "dependentRequired": {"a": ["b"]}}, '{"a": 1, "b": 2}', '{"a": 1}'),
    ],
)
def test_keywords_are_kept_or_refused_by_name(schema, good, bad):
    name = next(key for key in schema if key not in ("type", "items"))
    said = refusal(lambda: un.JsonSchema(schema))
    assert name in said if said else json_accepts(schema, good, bad) == [True, False]


@pytest.mark.field("F58")
@pytest.mark.parametrize("text", ["caf\\u00e9", "a\\/b", "\x7f"])
def test_every_value_is_accepted_each_written_in_one_way(text):
    """What docs/grammars.md says of {}: the value may be written, though not in this way."""
    value = json.loads(f'"{text}"')
    ways = [json.dumps(value, ensure_ascii=False), json.dumps(value), '"\\u007f"', '"\\u007F"', f'"{text}"']
    for schema in ({}, {"type": "string"}):
        found = json_accepts(schema, *ways)
        assert any(one for one, way in zip(found, ways, strict=True) if json.loads(way) == value)


# --- regular expressions ----------------------------------------------------------------------------------------------------------------


@pytest.mark.field("F59")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("pattern", ["[[a]b]", "[[:alpha:]]", "[a&&b]", "[+--b]", "[a~~b]", "[^[a]]", "[]a]", "[a||b]"])
def test_sets_are_those_of_re(pattern):
    texts = ["a", "b", "[b]", "a]", ":]", "l]", "[]", "[", "]", "&", "-", "~", "|", ":", "b]", "ab]", "x]"]
    part = un.Regex(pattern)
    assert [accepts(part, text) for text in texts] == [bool(re.fullmatch(pattern, text)) for text in texts]


@pytest.mark.field("F61")
@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        (r"a\b", ["a", "b"]),
        (r"(?m)^a$", ["a", "b"]),
        (r"\Aa\Z", ["a", "aa"]),
        (r"(a)\1", ["aa", "a"]),
        (r"a(?=b)b", ["ab", "a"]),
        (r"a{,2}", ["", "a", "aa", "aaa", "a{,2}"]),
        (r"\101", ["A", "\\101"]),
        (r"\N{LATIN SMALL LETTER A}", ["a", "N"]),
    ],
)
def test_what_is_of_python_alone_is_pythons_or_refused(pattern, texts):
    said = refusal(lambda: un.Regex(pattern))
    assert "MORE LINES" not in said
    assert said or [accepts(un.Regex(pattern), text) for text in texts] == [bool(re.fullmatch(pattern, text)) for text in texts]


@pytest.mark.field("F62")
@pytest.mark.parametrize("pattern", [r"\w", r"\W", r"\s", r"\S", r"\d", "(?i)i", "(?i)[a-z]", "(?i)ſ", "(?i)k", r"(?a)\w", "."])
def test_classes_are_those_of_re(pattern):
    texts = ["a", "²", "\u0301", "\u0903", "\x1c", "\x1f", "\x85", "\u00a0", "\u200b", "İ", "ı", "i", "I", "K", "ſ", "s", "٣", "_", "\n"]
    part = un.Regex(pattern)
    assert [t for t in texts if accepts(part, t)] == [t for t in texts if re.fullmatch(pattern, t)]
