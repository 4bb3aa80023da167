"""Every line of every record has the published form, and what is not in that form is found."""

import copy
import json
from functools import cache

import jsonschema
import pytest
from helpers.tables import Letters, table
from laws.covering import build, over

import unspool as un
from unspool.record.schema import trace_schema
from unspool.record.step import LEVELS
from unspool.record.trace import FORMAT


@cache
def checker():
    jsonschema.Draft202012Validator.check_schema(trace_schema())
    return jsonschema.Draft202012Validator(trace_schema())


def lines_of(name, level):
    (output,) = un.LanguageModel(table(seed=1), Letters()).generate(["bcd"], build(name), max_new_tokens=4, level=level)
    return [json.loads(line) for line in output.trace.lines()]


@over("kinds")
@pytest.mark.parametrize("level", ["tokens", "stages"])
def test_every_line_has_the_published_form(name, level):
    for line in lines_of(name, level):
        checker().validate(line)


def test_the_schema_is_of_the_format_that_is_written():
    assert trace_schema()["$defs"]["head"]["properties"]["unspool_trace"]["const"] == FORMAT
    assert trace_schema()["$defs"]["head"]["properties"]["level"]["enum"] == list(LEVELS)


def objects(value, path=()):
    """Every object in a line whose fields are named by the schema."""
    if isinstance(value, dict):
        yield path
        for key, inner in value.items():
            if key not in ("recipe", "model", "columns", "tokens", "names", "work"):
                yield from objects(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value[:1]):
            yield from objects(inner, (*path, i))


def at(value, path):
    for key in path:
        value = value[key]
    return value


def test_it_is_closed_and_nothing_may_be_left_out():
    optional = {"uniform", "rank", "drafted", "considered", "dropped", "sparing", "certificates", "work"}
    output = un.LanguageModel(table(seed=1), Letters()).generate("bcd", un.TopK(3) | un.Exact(2), max_new_tokens=3, level="stages")
    lines = [json.loads(line) for line in output.trace.lines()]
    seen = set()
    for line in lines:
        for path in objects(line):
            more = copy.deepcopy(line)
            at(more, path)["unheard_of"] = 1
            assert not checker().is_valid(more), path
            for key in set(at(line, path)) - optional:
                less = copy.deepcopy(line)
                del at(less, path)[key]
                if key not in ("entropy", "stages") or path[-1] == "stages":
                    assert not checker().is_valid(less), (path, key)
            seen.add(path[-1] if path else "line")
    assert {"line", "step", "considered", "stages"} <= seen
