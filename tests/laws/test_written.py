"""A pattern written for llguidance accepts what `re.fullmatch` accepts, or is refused with the reason."""

import re

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from laws.test_patterns import CHARACTERS, COUNTS, NEW, compiles

import unspool as un
from unspool.patterns.rust import Unwritable, all_characters, written

pytest.importorskip("llguidance")
pytestmark = pytest.mark.filterwarnings("ignore:Possible:FutureWarning")  # Python's, of sets that could be meant otherwise
END = 256


class EveryByte:
    """A token for each byte, and an end."""

    size, specials, hash, prefixes_space = END + 1, frozenset({END}), "every byte", False

    def bytes_of(self, token):
        return b"" if token == END else bytes([token])

    def name_of(self, token):
        return f"<{token}>"

    def encode(self, text):
        return list(text.encode())


TOKENIZER = EveryByte()


def accepts(state, text):
    """Whether a text may come from here on, byte by byte, and end."""
    for byte in text.encode():
        if state is not None and not state.allowed()[byte]:
            return False
        state = state and state.after(byte)
    return state is not None and state.complete


def state_of(pattern):
    """Where the grammar begins; None where it can never be met."""
    try:
        return un.Regex(pattern).resolve(TOKENIZER).begin(np.zeros(0, np.int64))
    except un.ParameterError as error:
        if "cannot be met" not in str(error):
            raise
        return None


def same_as_python(pattern, texts):
    state, matches = state_of(pattern), re.compile(pattern).fullmatch
    for text in texts:
        assert (state is not None and accepts(state, text)) == (matches(text) is not None), (pattern, text, written(pattern)[:300])


SHAPES = ["{0}{1}", "{0}{1}", "{0}{1}", "(?:{0}|{1})", "(?:{0}|)", "(?:|{0})", "({0})", "(?i:{0})", "(?s:{0})", "(?-i:{0})",
"(?:{0}|{1})?"]
ONE = st.sampled_from([*CHARACTERS, r"[\W\d]", r"[^\w\n]", "/", r"\x41", "[+--]", "[&&a]", "[~~a]", "[[a]b", r"[\]a]", "(?!)"])
ONE_QUANTIFIED = st.builds("{}{}{}".format, ONE, st.sampled_from(COUNTS), st.sampled_from(["", "?"] if NEW else [""]))
QUANTIFIED = st.sampled_from([c + lazy for c in COUNTS for lazy in (("", "?") if NEW else ("",))])
ANCHORS = st.sampled_from(["^", "$", r"\A", r"\Z", r"\n", "\\n?"])


def larger(inner):
    built = st.builds(lambda shape, a, b: shape.format(a, b), st.sampled_from(SHAPES), inner, inner)
    return built | st.builds("(?:{}){}".format, inner, QUANTIFIED)


def anchored(inner):
    return st.builds(lambda shape, a, b: shape.format(a, b), st.sampled_from(SHAPES), inner, inner)


WITHOUT_ANCHORS = st.recursive(ONE | ONE_QUANTIFIED, larger, max_leaves=6)
FLAGS = st.sampled_from(["", "", "", "(?i)", "(?s)", "(?x)", "(?a)", "(?is)"])
PATTERNS = st.builds("{}{}".format, FLAGS, WITHOUT_ANCHORS)
ANCHORED = st.builds("{}{}".format, FLAGS, st.recursive(ANCHORS | ANCHORS | WITHOUT_ANCHORS, anchored, max_leaves=8))
TEXTS = st.lists(st.text(st.sampled_from("aaabbk1A_K[]&~+-,./ \n\né가\u212a\u0130\u0300²\x1c"), max_size=6), min_size=4, max_size=12)


@settings(max_examples=500, deadline=None)
@given(PATTERNS.filter(lambda p: "(?!)" not in p and compiles(p)), TEXTS)
def test_the_grammar_accepts_what_fullmatch_accepts(pattern, texts):
    same_as_python(pattern, ["", *texts])


@settings(max_examples=700, deadline=None)
@given(ANCHORED.filter(lambda p: "(?!)" not in p and compiles(p)), TEXTS)
def test_anchors_hold_where_they_stand(pattern, texts):
    same_as_python(pattern, ["", "\n", "\n\n", "a", "a\n", *texts])


WORDS = ["", "a", "b", "ab", "b]", "a]", "[b]", "[:a]", ":]", "a:]", "+", ",", "-", ".", "&", "<", "&&", "/", "a/b", "\n", "a\n"]
WORDS += ["a\n\n", "#"]
WORDS += ["é", "É", "K", "k", "\u212a", "İ", "i", "ı", "I", "s", "ſ", "٣", "3", "²", "_", "\u0300", "\x1c", "\x85", "\u2028"]
WORDS += [" ", '"', "'", "\\"]
TABLE = [
    "[[a]b]", "[[:alpha:]]", "[+--]", "[^&&<>]", "[a&&b]", "[a~~b]", r"[\]]", "[]a]", "[^]a]", ".", "(?s).", r"\w", r"\W",
    r"\d", r"\D", r"\s", r"\S", r"(?a)\w", r"(?a)\s", r"(?a:\d)\d?", "(?i)k", "(?i)i", "(?i)[i-s]", "(?i)İ", "(?i)ß", "(?i)é",
    "(?i)[^k]", "(?i)s",
    "(?ia)k", "(?x) a # b", "(?x) a \\# ", r"\x61", r"\u00e9", r"\N{LATIN SMALL LETTER A}", r"\141", "a{,2}", "a{2}", "a{0}",
    "(?:a{0}){3}", "a{,}",
    "{", "a{", "a{1", "}", "]", r"\.", r"\/", "/", r"a\/b", '"', "'", r"\\", "", "()", "(?:)", "(|a)", "(?:a|)+", "(?:a|b)*?",
    "a??", "a+?b",
    "^a$", "$", "^", "^$", "a$\n", "a$\n?", "a$\n\n", r"a\Z\n", "a$b", "a^", "a?^b", "(^|b)a(b|$)", "(^a|b$)", "(a$|b)\n?",
    "\n?$", "\n*$\n*", "$^",
    "$\n", "(?:$|a)\n", "(?:a|^)(?:b|$)", "(?:a$)?(?:\n$)?", "^^a$$", "(?:^)?a", "(?:a$){1}", "(?:^a){0}b", r"\Aa\Z", "(?m)a",
    r"(?m)\Aa\Z",
]  # fmt: skip


@pytest.mark.parametrize("pattern", TABLE)
def test_patterns_written_by_hand(pattern):
    if pattern:
        same_as_python(pattern, WORDS)


@pytest.mark.parametrize("pattern", [r"\w", r"\s", r"\d", ".", r"(?i)[^k\W]", r"[\w\s]", "(?i)[à-þ]", r"(?a)\W"])
def test_one_character_of_all_there_are(pattern):
    """The classes are those of `re`, character for character."""
    text, matches = all_characters(), re.compile(pattern).fullmatch
    state, rng = state_of(pattern), np.random.default_rng(0)
    edges = [i for i in range(1, 0x3000) if (matches(text[i]) is None) != (matches(text[i - 1]) is None)]
    some = {*edges, *(i - 1 for i in edges), *rng.integers(0, len(text), 300).tolist(), 0xD7FF, 0xD800, len(text) - 1}
    for i in some:
        assert accepts(state, text[i]) == (matches(text[i]) is not None), hex(ord(text[i]))


REFUSED = [
    ("(?=a)b", "look-around"),
    ("(?<!a)b", "look-around"),
    (r"(a)\1", "a reference to a group"),
    ("(a)?(?(1)b|c)", "a reference to a group"),
    (r"\bab", r"a word boundary \(\\b, \\B\)"),
    (r"a\Bb", "a word boundary"),
    ("(?m)^a", "an anchor at lines"),
    ("(?m:a$)", "an anchor at lines"),
    ("(?:^a)*", "an anchor that is repeated"),
    ("(?:a$){2}", "an anchor that is repeated"),
    ("(?:a|^)?" * 25, "a pattern that becomes so long"),
]
REFUSED += [("(?>a|ab)c", "an atomic group"), ("a++b", "a possessive quantifier"), ("(?>a)", "an atomic group")] * NEW


@pytest.mark.parametrize(("pattern", "told"), REFUSED)
def test_what_needs_backtracking_is_refused_by_name(pattern, told):
    with pytest.raises(un.ParameterError, match=f"{told}.* cannot be followed token by token") as caught:
        un.Regex(pattern)
    assert "\n" not in str(caught.value)
    with pytest.raises(Unwritable, match=told):
        written(pattern)


WRONG = [("(ab", "unterminated subpattern"), ("a**", "multiple repeat"), ("[b-a]", "bad character range"), ("a\\", "bad escape")]


@pytest.mark.parametrize(("pattern", "told"), WRONG)
def test_what_is_no_pattern_of_python_is_told_as_python_tells_it(pattern, told):
    with pytest.raises(un.ParameterError, match=told):
        un.Regex(pattern)


def test_what_is_written_stays_short():
    """Where anchors stand at the ends, a pattern is written once."""
    assert written("^" + "(?:a|b?c*)?" * 200 + "$") == written("(?:a|b?c*)?" * 200)
    assert len(written("^(?:a|" + "b?" * 300 + ")$")) < 20 * 300
    assert len(written("x?^" + "b?" * 40 + "$\n?")) < 40**2 * 20
    assert written("^" + "a" * 3000 + "$") == "a" * 3000
