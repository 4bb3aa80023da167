"""A stop regex answers as `re.search` over all new text after every token, and reads every character once."""

import codecs
import re
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import unspool as un
from unspool.patterns import follow
from unspool.patterns.follow import FOUND, LazyAutomaton, Window, follower
from unspool.patterns.program import Irregular
from unspool.patterns.tree import Anchor, Character, Sequence, tree, walk

NEW = sys.version_info >= (3, 11)
"""Atomic groups and possessive quantifiers are read; and `re` does not loop for ever where something lazy repeats nothing."""


def text_of(data):
    """The characters that are whole."""
    return codecs.getincrementaldecoder("utf-8")("replace").decode(data)


class Bytes:
    """Tokens are pieces of bytes."""

    prefixes_space = False
    specials = frozenset()

    def __init__(self, pieces):
        self.pieces = pieces

    def bytes_of(self, token):
        return self.pieces[token]


def answers(stop, pieces):
    """What a stop says after every piece."""
    stop = stop.resolve(Bytes(pieces))
    memory, found = stop.begin(np.zeros(0, np.int64)), []
    for token in range(len(pieces)):
        (memory,) = stop.advance([memory], [token], [])
        found += stop.ends(None, np.asarray([token]), [memory]).tolist()
    return found


def searched(pattern, pieces):
    """What `re.search` says after every piece."""
    return [re.search(pattern, text_of(b"".join(pieces[: i + 1]))) is not None for i in range(len(pieces))]


def compiles(pattern):
    try:
        return re.compile(pattern) is not None
    except re.error:
        return False


CHARACTERS = ["a", "b", "k", "é", "가", "1", ".", "[ab]", "[^a]", "[^é\n]", "[a-k]", r"[\d_]", r"\w", r"\W", r"\d", r"\s", r"\S", r"\n"]
ANCHORS = ["^", "$", r"\A", r"\Z", r"\b", r"\B"]
COUNTS = ["*", "+", "?", "{2}", "{1,2}", "{,2}", "{2,}"]
QUANTIFIERS = COUNTS + [c + "?" for c in COUNTS if NEW] + [c + "+" for c in COUNTS if NEW]
AROUND = ["(?:{0}|{1})", "(?:{0}|)", "(?:|{0})", "({0})", "(?={0})", "(?!{0})", "(?<={0})", "(?<!{0})"]
AROUND += ["(?i:{0})", "(?s:{0})", "(?m:{0})", "(?-i:{0})"] + ["(?>{0})", "(?>{0}|{1})"] * NEW
RECALLS = [r"({0}){1}\1", r"({0}|)\1", "({0})?(?(1){1}|b)", r"(?P<x>{0})(?:{1}|(?P=x))"]


def patterns(*recalls):
    """Patterns over few characters; with `recalls` also such as ask for earlier groups."""

    def larger(inner):
        shapes = st.sampled_from(["{0}{1}", "{0}{1}", *AROUND, *recalls])
        repeated = st.builds("(?:{}){}".format, inner, st.sampled_from(QUANTIFIERS))
        return repeated | st.builds(lambda shape, a, b: shape.format(a, b), shapes, inner, inner)

    one = st.sampled_from(CHARACTERS)
    lazy = st.builds("{}{}?".format, one, st.sampled_from(COUNTS))
    some = st.recursive(one | lazy | st.sampled_from(ANCHORS), larger, max_leaves=7)
    flags = st.sampled_from(["", "", "", "(?i)", "(?s)", "(?m)", "(?x)", "(?a)", "(?ims)"])
    return st.builds("{}{}".format, flags, some).filter(compiles)


@st.composite
def tokens(draw):
    """Bytes of a text, some of them broken, cut anywhere."""
    text = st.text(st.sampled_from("aaabbk1A_ \né가\u212a"), max_size=9).map(str.encode)
    data = b"".join(draw(st.lists(text | st.sampled_from([b"\xff", b"\xea", b"\xb0\x80"]), min_size=1, max_size=3)))
    edges = [0, *sorted(draw(st.lists(st.integers(0, len(data)), max_size=9))), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@settings(max_examples=1500, deadline=None)
@given(patterns(), tokens())
def test_an_automaton_answers_as_re_search(pattern, pieces):
    assert answers(un.StopRegex(pattern), pieces) == searched(pattern, pieces)


@settings(max_examples=500, deadline=None)
@given(patterns(*RECALLS), tokens())
def test_a_window_answers_as_re_search(pattern, pieces):
    window, data = Window(pattern), b""
    state = window.start
    for piece, expected in zip(pieces, searched(pattern, pieces), strict=True):
        text, data = text_of(data + piece)[len(text_of(data)) :], data + piece
        state = window.advance(state, text)
        assert window.matches(state) == expected
    assert answers(un.StopRegex(pattern), pieces) == searched(pattern, pieces)


TEXT = "One, two: x y xy\n12. ab aab abab 가각 Éé_K\n\na.b\nend"
TABLE = [
    r"\n\d+\. ", r"a.*b\d", r"(?<=x)y", r"(?<!x)y", "end$", "(?m)y$", "(?m)^a", "^a", r"\Aa", r"d\Z", r"\n$", r"K$", r"\bab\b",
    r"b\Bab", r"\Bb", "(?i)ONE", "(?i)k", "(?i:é)É", "(?s)y.1", "y.1", "(?x) 1 2 \\. # a number", "(?i-s:O)ne", r"(?a)\w_",
    r"(?a)é\b", "[^\\W\\d_]가", "[가-각]{2}", "a(?=b)", "a(?!b)", "a(?=.*d)", "x(?!.*z)", "(?<=a(?=a))a", "(?=.*d)O",
    r"(?<=\b)y(?=\n)", r"(?<![^\n])a", "(?!)", "(?=)", "(?<!)", "()", "x*", "(a|aa)b", "(?:a|b)*?ab{2}", "(a)(b)?a", "a{2,}b",
    "(?:ab){2}", "(?:ab){3}", "(?:a|ab)(?:c|bcd)*$", "(?:a?){3}b", "(?:a*)*b", "(?:$|y)+", ".{20}$", ".{30}\n", r"(.)\1",
    r"(a+)b\1b", r"(?P<q>o)n|e(?P=q)?", "(x)?(?(1) |y)", r"(\w)\s\1", r"(?i)(o)ne.*\1", "(?:|a)*b",
    "(?:x(?=.*Q)|x) y", "(?s)(?=.*d)(?:x(?=.*Q)|x) y",
]  # fmt: skip
TABLE += [
    "(?>a|ab)b", "(?>ab|a)b", "a++b", "a*+ab", "a?+ab", "(?:a|ab){2}+a", "(?>a+?)b", "(?>.*)d", "(?>(?:a|)*)b",
    "(?>x(?=y))y", "(?>$|d)", "(?>(?>a|ab)|ab)b", "(?:(?>a|ab)b)+ ", "(?:b|ba){2}+ ",
] * NEW  # fmt: skip


@pytest.mark.parametrize("pattern", TABLE)
def test_patterns_written_by_hand(pattern):
    for size in (1, 2, 3, 7):
        data = TEXT.encode()
        pieces = [data[i : i + size] for i in range(0, len(data), size)]
        assert answers(un.StopRegex(pattern), pieces) == searched(pattern, pieces)


@pytest.mark.parametrize("pattern", TABLE)
def test_a_text_goes_on_in_several_ways_from_one_memory(pattern):
    pieces = [b"xy", b"aa", "\u212a".encode()[:2], "\u212a".encode()[2:], b"b\n", b"o", b""]
    stop = un.StopRegex(pattern).resolve(Bytes(pieces))
    grown = [((), stop.begin(np.zeros(0, np.int64)))]
    for _ in range(3):
        for before, memory in list(grown):
            for token in range(len(pieces)):
                grown.append(((*before, token), *stop.advance([memory], [token], [])))
    tokens, memories = zip(*grown, strict=True)
    assert stop.ends(None, None, memories[1:]).tolist() == [searched(pattern, [pieces[t] for t in some])[-1] for some in tokens[1:]]
    assert len({hash(memory) for memory in memories}) > 1               # a memory that can be hashed cannot change


@pytest.mark.parametrize(
    ("pattern", "pieces", "expected"),
    [
        ("\ufffd", [b"a\xea", b"\xb0", b"\x80"], [False, False, False]),
        ("\ufffd", [b"a\xea", b"b"], [False, True]),
        ("a.", [b"a", b"\xea", b"\xb0", b"\x80"], [False, False, False, True]),
        ("a$", [b"a", b"\xea", b"\xb0", b"\x80"], [True, True, True, False]),
        (r"a\b", [b"a\xea", b"\xb0\x80"], [True, False]),
        ("^$", [b"\xea", b"\xb0\x80"], [True, False]),
        (r"(.)\1", [b"\xea\xb0", b"\x80\xea", b"\xb0\x80"], [False, False, True]),
    ],
)
def test_an_unfinished_character_is_no_part_of_the_text_yet(pattern, pieces, expected):
    assert answers(un.StopRegex(pattern), pieces) == expected


LINEAR = [r"\n\d+\. ", r"a.*b\d", "(?<=x)y", r"\bab(?!\na)", "(?m)^x$", "(?=.{0,9}z)a+", "(?:a|a)*c", "(?:a?){9}c", "a(?=(?:a|b)*z)"]
LINEAR += ["(?>a+|b)c"] * NEW


@pytest.mark.parametrize("pattern", LINEAR)
def test_every_character_is_read_once(pattern, monkeypatch):
    """And what is remembered of a text does not grow with it, nor do the steps that are not remembered already."""
    read, advance = [], LazyAutomaton.advance
    monkeypatch.setattr(LazyAutomaton, "advance", lambda self, state, text: read.append(len(text)) or advance(self, state, text))
    steps, step = [], LazyAutomaton._step
    monkeypatch.setattr(LazyAutomaton, "_step", lambda self, state, character: steps.append(character) or step(self, state, character))
    follower.cache_clear()
    pieces, sizes, counts = [b"ab\na", b"aab", b" b"] * 400, [], []
    stop = un.StopRegex(pattern).resolve(Bytes(pieces))
    memory = stop.begin(np.zeros(0, np.int64))
    for token in range(len(pieces)):
        (memory,) = stop.advance([memory], [token], [])
        assert not stop.ends(None, None, [memory])[0]
        sizes.append(sum(map(len, memory[0])))
        counts.append(len(steps))
    assert sum(read) == sum(map(len, pieces)) + len(pieces)              # and once the end after every token
    assert max(sizes[:60]) == max(sizes) < 50
    assert counts[60] == counts[-1] < 600


@pytest.mark.parametrize(("pattern", "reach"), [(r"(c)a\1", 5), (r"(?<=xy)(c)\1$", 8), (".{,300}c", 303)])
def test_a_window_is_as_wide_as_a_match(pattern, reach):
    window, seen = follower(pattern), []
    assert isinstance(window, Window)
    search, state = window._search, window.start
    window._search = lambda text, begin: seen.append(len(text)) or search(text, begin)
    for _ in range(1000):
        state = window.advance(state, "ab\nx")
        assert not window.matches(state)
    follower.cache_clear()
    assert max(seen) <= reach + 2 * 4 + 2


def test_threads_that_owe_more_than_another_are_dropped():
    automaton = LazyAutomaton("(?:(?=.{0,9}z)[ab]|[ab])*c")
    state = automaton.advance(automaton.start, "ab" * 100)
    assert len(state[0]) < 10
    assert not automaton.matches(state)
    assert automaton.matches(automaton.advance(state, "c"))


def test_a_match_that_re_search_overlooks():
    """It looks for where `(?a:...)` may begin by what its classes are outside it: `re.match` finds this one."""
    assert answers(un.StopRegex(r"(?a:\W)"), ["é".encode()]) == [re.match(r"(?a:\W)", "é") is not None] == [True]


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (r"(a)\1$", "aa\nb", [False, True, True, False]),
        (r"(a)\1(?!..b)", "aaxyb", [False, True, True, True, False]),
        (r"(?<=xxxxx)(a)\1", "xxxxxaa", [False] * 6 + [True]),
        (r"^(a)\1", "xxxxxaa", [False] * 7),
    ],
)
def test_a_window_knows_what_stands_beside_a_match(pattern, text, expected):
    assert isinstance(follower(pattern), Window)
    assert answers(un.StopRegex(pattern), [c.encode() for c in text]) == expected


@pytest.mark.parametrize("pattern", [r"(a*)b\1c", "(a)?b+(?(1)c|d)", ".{3000}a+"] + ["(?>(?:a|)*)b"] * NEW)
def test_patterns_that_no_automaton_follows(pattern):
    with pytest.raises(Irregular):
        LazyAutomaton(pattern)
    assert isinstance(follower(pattern), Window)


def test_steps_are_forgotten_where_they_are_many(monkeypatch):
    monkeypatch.setattr(follow, "REMEMBERED", 20)
    automaton = LazyAutomaton("(?:a|b)*a(?:a|b){4}c")
    state, kept = automaton.start, set()
    for i, character in enumerate("abbabaabbbaababbabbabaabba" * 4 + "c"):
        assert not automaton.matches(state), i
        state = automaton.advance(state, character)
        kept.add(len(automaton._steps))
    assert automaton.matches(state)
    assert state == FOUND
    assert max(kept) < 30


def test_searching_again_would_take_for_ever_where_an_automaton_does_not():
    pattern = "(?:a|a)*(?:a|aa)+b"
    assert not any(answers(un.StopRegex(pattern), [b"a" * 50] * 20))
    assert answers(un.StopRegex(pattern), [b"a" * 50, b"b"]) == [False, True]


@pytest.mark.parametrize("pattern", [r"\n\d+\. ", "'\"\\\\", "(?x) a # b\n", "가|\t"])
def test_the_text_form_reads_back_equal(pattern):
    stop = un.StopRegex(pattern)
    assert un.parse(str(stop)) == un.Decoder((stop,))
    assert stop.resolve(Bytes([])) == stop
    assert hash(stop.resolve(Bytes([]))) == hash(stop)


def test_the_tree_settles_flags_and_widths():
    root = tree(r"(?i)a(?-i:b\b)[c\d]{2,3}")
    characters = [node for node in walk(root) if isinstance(node, Character)]
    assert [(c.operation, bool(c.flags & re.IGNORECASE)) for c in characters] == [("LITERAL", True), ("LITERAL", False), ("IN", True)]
    assert [[c.matches(x) for x in "aBc5"] for c in characters] == [
        [True, False, False, False], [False, False, False, False], [False, False, True, True],
    ]  # fmt: skip
    assert (root.least, root.most) == (4, 5)
    assert [node.kind for node in walk(root) if isinstance(node, Anchor)] == ["AT_BOUNDARY"]
    assert isinstance(root, Sequence)
    assert hash(root) == hash(tree(r"(?i)a(?-i:b\b)[c\d]{2,3}"))
