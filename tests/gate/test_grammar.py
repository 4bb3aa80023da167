"""Constraints against definitions of their own: Python's re, jsonschema, brute force over all tokens, and what a person is told."""

import json
import re
from itertools import product

import numpy as np
import pytest
from helpers.tables import BACKENDS, Letters, enumerate_texts, run, table, texts
from hypothesis import assume, given, settings, strategies as st

import unspool as un

pytest.importorskip("llguidance")
jsonschema = pytest.importorskip("jsonschema")

STRATEGIES = ["greedy", "beam(3, n=3)", "sample(4)", "exact(2)", "contrastive_search(3)", "stochastic_beam(3)"]


class Pieces(Letters):
    """Tokens that stand for these pieces of text, some of them bytes alone, and an end token."""

    def __init__(self, *pieces):
        super().__init__(len(pieces) + 1, (len(pieces),))
        self.pieces = [p if isinstance(p, bytes) else p.encode() for p in pieces]

    def bytes_of(self, token):
        return b"" if token in self.specials else self.pieces[token]

    def name_of(self, token):
        return "<end>" if token in self.specials else self.pieces[token].decode("latin-1")

    def encode(self, text):
        return [self.pieces.index(bytes([b])) for b in text.encode()]


def lm_of(tokenizer, seed=0, end=True, sharpness=1.0):
    """A random model over a tokenizer's tokens."""
    return un.LanguageModel(table(seed, tokenizer.size, sharpness, end_tokens=(tokenizer.size - 1,) if end else ()), tokenizer)


ABC = Pieces("a", "b", "c", "ab", "ca", "abc", "é", b"\xc3", b"\xa9", "b")
TIMES = {"?": 1, "{2}": 2, "{1,2}": 2, "*": np.inf, "+": np.inf}
SIZED = st.recursive(
    st.sampled_from([("a", 1), ("b", 1), ("c", 1), ("é", 1), ("ab", 2), ("[ab]", 1), ("[^a]", 1), (".", 1), ("(?:ca|b)", 2)]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: (pair[0][0] + pair[1][0], pair[0][1] + pair[1][1])),
        st.tuples(inner, inner).map(lambda pair: (f"(?:{pair[0][0]}|{pair[1][0]})", max(pair[0][1], pair[1][1]))),
        st.tuples(inner, st.sampled_from(list(TIMES))).map(lambda pair: (f"(?:{pair[0][0]}){pair[1]}", pair[0][1] * TIMES[pair[1]])),
    ),
    max_leaves=5,
)
"""Regular expressions with the length of their longest match."""
REGEXES = SIZED.map(lambda pair: pair[0])


def continuations(pattern, tokenizer, most):
    """Every text of at most `most` tokens that matches, by its tokens; from all texts there are."""
    found, rows = set(), [()]
    for _ in range(most + 1):
        for row in rows:
            try:
                text = b"".join(map(tokenizer.bytes_of, row)).decode()
            except UnicodeDecodeError:
                continue
            if re.fullmatch(pattern, text):
                found.add(row)
        rows = [(*row, t) for row in rows for t in range(tokenizer.size - 1)]
    return found


@settings(max_examples=40, deadline=None)
@given(REGEXES)
def test_ended_texts_are_the_matches_and_no_others(pattern):
    """Under a limit of 3 tokens and the end, the ended texts that are possible are those that re.fullmatch accepts."""
    tokenizer = Pieces("a", "b", "c", "ab", "é", b"\xc3", b"\xa9")
    lm = lm_of(tokenizer)
    end = lm.model.end_tokens[0]
    part = un.Regex(pattern).resolve(tokenizer)
    states, found = {(): part.begin(np.zeros(0))}, set()
    for _ in range(4):
        after = {}
        for row, state in states.items():
            scores = part.process(un.Rows(None, None, None, (end,)), np.zeros((1, tokenizer.size), np.float32), [state])
            allowed = np.flatnonzero(scores[0] > -np.inf).tolist()
            found |= {row} if end in allowed else set()
            for token in set(allowed) - {end} if len(row) < 3 else ():
                (after[(*row, token)],) = part.advance([state], [token], [])
        states = after
    assert found == continuations(pattern, tokenizer, 3)


@settings(max_examples=25, deadline=None)
@given(REGEXES, st.integers(0, 10**6), st.sampled_from(STRATEGIES))
def test_whatever_ended_matches(pattern, seed, strategy):
    lm = lm_of(ABC, seed)
    for text in lm.generate([[0], [3, 1]], un.Regex(pattern) | un.parse(strategy), max_new_tokens=7, seed=seed)[0].sequences:
        assert text.reason in ("end", "length", "unfinished")
        assert text.reason == "unfinished" or re.fullmatch(pattern, text.text)


@settings(max_examples=40, deadline=None)
@given(SIZED.filter(lambda pair: pair[1] <= 5), st.integers(0, 10**6))
def test_greedy_is_the_best_token_that_leaves_a_match_possible(sized, seed):
    """By brute force over all texts that are no longer than the longest match."""
    tokenizer = Pieces("a", "b", "c", "ab", "é")
    lm = lm_of(tokenizer, seed)
    matches = {text for n in range(sized[1] + 1) for text in map("".join, product("abcé", repeat=n)) if re.fullmatch(sized[0], text)}
    assume(matches)
    tokens, text, end = [], "", lm.model.end_tokens[0]
    while end not in tokens:
        p = lm.model.probabilities((0, *tokens))
        reach = [text in matches if t == end else any(m.startswith(text + tokenizer.pieces[t].decode()) for m in matches) for t in range(6)]
        tokens.append(int(np.where(reach, p, 0).argmax()))
        text += tokenizer.bytes_of(tokens[-1]).decode()
    assert lm.generate([[0]], un.Regex(sized[0]), max_new_tokens=9)[0].tokens == tokens


@pytest.mark.parametrize("backend", BACKENDS)
def test_wide_beams_and_exact_search_find_all_texts_in_order(backend):
    pattern, tokenizer = "a?(b|ca){1,2}", Pieces("a", "b", "c", "ab", "ca")
    model = table(5, tokenizer.size, end_tokens=(5,), backend=BACKENDS[backend])
    part = un.Regex(pattern).resolve(tokenizer)
    whole = {(*text, 5) for text in continuations(pattern, tokenizer, 5)}

    def masked(p, prompt, new):
        return np.asarray([x if any(text[: len(new) + 1] == (*new, t) for text in whole) else 0 for t, x in enumerate(p)])

    exact = sorted(enumerate_texts(model, [2], 8, masked), key=lambda pair: -pair[1])
    assert {text for text, _ in exact} == whole
    for strategy in (un.Beam(len(whole), 0.0, "never", n=len(whole)), un.Exact(len(whole))):
        (found,) = run(model, part | strategy, [[2]], 8)
        assert texts(found) == [text for text, _ in exact]
        np.testing.assert_allclose([h.score for h in found], np.log([mass for _, mass in exact]), atol=1e-5)


def test_speculation_changes_nothing():
    lm, draft = lm_of(ABC, 1, sharpness=2.0), lm_of(ABC, 2)
    pattern = "(?:a|bc|é){2,6}"
    for seed in range(8):
        decoder = un.Regex(pattern) | un.Temperature(0)
        plain, fast = (lm.generate([[0]], decoder | s, max_new_tokens=20, seed=seed)[0] for s in (un.Greedy(), un.Speculative(draft, 3)))
        assert plain.tokens == fast.tokens
        drawn = lm.generate([[0]], un.Regex(pattern) | un.Speculative(draft, 3), max_new_tokens=20, seed=seed)[0]
        assert re.fullmatch(pattern, drawn.text)


@pytest.mark.parametrize("strategy", [*STRATEGIES, "sequential_monte_carlo(6, n=2)"])
def test_without_end_tokens_a_text_ends_where_nothing_can_follow(strategy):
    lm = lm_of(ABC, 3, end=False)
    for output in lm.generate([[0], [1, 2]], un.Regex("(?:ab|ca?){2,3}") | un.parse(strategy), max_new_tokens=12):
        assert all(s.reason == "complete" and re.fullmatch("(?:ab|ca?){3}", s.text) for s in output.sequences)
    draft = lm_of(ABC, 4, end=False)
    found = lm.generate([[0]], un.Regex("ab|ca") | un.Speculative(draft, 4), max_new_tokens=9)[0]
    assert (found.best.reason, found.text in ("ab", "ca")) == ("complete", True)


@pytest.mark.parametrize(("pattern", "wanted"), [("a+", "a{1,3}c"), ("a+c", "a{1,3}c"), ("b", "bc")])
def test_other_end_tokens_come_where_the_text_is_complete_before_them_or_with_them(pattern, wanted):
    decoder = un.Regex(pattern) | un.Suppress(3, 4, 5, 6, 7, 8) | un.Sample(20)
    found = lm_of(ABC, 5).generate([[0]], decoder, end_tokens=(2,), max_new_tokens=4)[0].sequences
    ended = [s.text for s in found if s.reason == "end"]
    assert ended
    assert all(re.fullmatch(wanted, text) for text in ended)


JSON = Pieces(*map(chr, range(32, 127)), '{"', '": ', '", "', "true", "null", "12", '"}', "é", "\n")
LEAVES = st.sampled_from(
    [
        {"type": "boolean"},
        {"type": "null"},
        {"type": "integer", "minimum": -3, "maximum": 120},
        {"type": "number", "minimum": 0, "maximum": 1},
        {"enum": ["x", 2, None]},
        {"const": {"a": [1]}},
        {"type": "string", "maxLength": 3},
        {"type": "string", "pattern": "^[a-c]{1,3}$"},
    ]
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda items, n: {"type": "array", "items": items, "minItems": 1, "maxItems": n}, inner, st.integers(1, 2)),
        st.builds(
            lambda a, b, required: {
                "type": "object",
                "properties": {"a": a, "b": b},
                "required": required,
                "additionalProperties": False,
            },
            inner,
            inner,
            st.sampled_from([[], ["a"], ["a", "b"]]),
        ),
        st.builds(lambda a, b: {"anyOf": [a, b]}, inner, inner),
    ),
    max_leaves=4,
)


@settings(max_examples=30, deadline=None)
@given(SCHEMAS, st.integers(0, 10**6), st.sampled_from(["sample(3)", "beam(2, n=2)", "greedy"]), st.sampled_from([None, (", ", ": ")]))
def test_json_fits_its_schema(schema, seed, strategy, separators):
    lm = lm_of(JSON, seed)
    decoder = un.JsonSchema(schema, separators) | un.parse(strategy)
    for text in lm.generate([[0]], decoder, max_new_tokens=80, seed=seed)[0].sequences:
        if text.reason == "end":
            jsonschema.validate(json.loads(text.text), schema)


@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":"), (",", ": ")])
def test_json_has_its_separators(separators):
    schema = {"type": "array", "minItems": 2, "maxItems": 3, "items": {"properties": {"a": {"type": "boolean"}}, "required": ["a"]}}
    schema["items"] |= {"type": "object", "additionalProperties": False}
    for text in lm_of(JSON).generate([[0]], un.JsonSchema(schema, separators) | un.Sample(9), max_new_tokens=90)[0].sequences:
        assert text.text == json.dumps(json.loads(text.text), separators=separators)


def test_a_grammar_nests():
    lm = lm_of(Pieces("(", ")", "x", "((", "))", "x)"), 1)
    part = un.Grammar('start: "(" start ")" | "x"')
    for text in lm.generate([[0]], part | un.Sample(60), max_new_tokens=30)[0].sequences:
        deep = text.text.count("(")
        assert text.reason == "length" or text.text == "(" * deep + "x" + ")" * deep


def test_forked_states_are_those_of_the_tokens_alone():
    """In any order of growing, forking and forgetting, a state allows what a fresh one allows after the same tokens."""
    part, rng = un.Regex("(?:a|bc|é){2,9}").resolve(ABC), np.random.default_rng(0)
    states = {(): part.begin(np.zeros(0))}
    for _ in range(300):
        row = list(states)[rng.integers(len(states))]
        token = int(rng.integers(ABC.size))
        (states[(*row, token)],) = part.advance([states[row]], [token], [])
        fresh = [part.begin(np.zeros(0))]
        for t in (*row, token):
            fresh = part.advance(fresh, [t], [])
        one, other = states[(*row, token)], fresh[0]
        assert (one is None) == (other is None)
        assert one is None or (one.complete == other.complete and np.array_equal(one.allowed(), other.allowed()))


WRONG = [
    ('regex("")', "needs a pattern"),
    ('regex("(ab")', "regex('(ab'): missing ), unterminated subpattern"),
    ('regex("(?=a)b")', "look-around"),
    ("regex(7)", "needs a pattern"),
    ('json_schema("")', "needs a dict, or JSON"),
    ('json_schema("{")', "needs a dict, or JSON"),
    ('json_schema("[1]")', "is an object"),
    ('json_schema({"type": "strong"})', "Invalid type: strong"),
    ('json_schema({"type": "integer", "minimum": 5, "maximum": 3})', "Unsatisfiable"),
    ("json_schema(False)", "Unsatisfiable"),
    ('json_schema({"not": {}})', "not"),
    ('json_schema({}, separators=(";", ":"))', "a comma and a colon"),
    ('grammar("")', "needs rules"),
    ('grammar("hello world")', "Expected token"),
    ('grammar("start: foo")', "unknown name"),
    ('grammar("start: a\\na: \\"x\\" b")', "line 2"),
    ('grammar("begin: \\"x\\"")', "no start rule"),
]


@pytest.mark.parametrize(("text", "told"), WRONG, ids=[text for text, _ in WRONG])
def test_what_is_wrong_is_told_when_it_is_built(text, told):
    with pytest.raises(un.ParameterError, match=re.escape(told)) as caught:
        un.parse(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("text", ['regex("[^\\\\s\\\\S]")', 'regex("[0-9]+")', 'grammar("start: start \\"a\\"")', "json_schema({})"])
def test_what_no_token_can_begin_is_told_before_decoding(text):
    with pytest.raises(un.ParameterError, match="cannot be met"):
        lm_of(Pieces("a", "b")).stream([[0]], un.parse(text))


def test_a_text_that_no_token_can_go_on_is_a_dead_end():
    with pytest.raises(un.DeadEnd):
        lm_of(Pieces("a", "b")).generate([0], un.Regex("a1"))


def test_a_constraint_needs_a_tokenizer():
    with pytest.raises(un.ParameterError, match="needs a tokenizer"):
        run(table(), un.Regex("a") | un.Greedy(), [[1]])


def test_without_llguidance(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "llguidance", None)
    with pytest.raises(un.ParameterError, match="unterminated"):         # Python's own parser tells
        un.Regex("(")
    part = un.Regex("[(]")
    with pytest.raises(un.MissingExtra, match=re.escape("pip install 'unspool[grammar]'")):
        lm_of(Pieces("a", "(")).generate([[0]], part)


def test_a_schema_is_the_same_as_its_text():
    schema = {"type": "object", "properties": {"é": {"type": "null"}}}
    assert un.JsonSchema(schema) == un.JsonSchema(json.dumps(schema, indent=3)) == un.parse(str(un.JsonSchema(schema))).parts[0]
