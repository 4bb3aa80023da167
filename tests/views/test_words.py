"""Words are what a reader points at, made of whole tokens, whatever the tokens are; their numbers are those of their tokens together."""

import math
import random

import numpy as np
import pytest
from helpers.tables import table

import unspool as un
from unspool.text import TokenizerBase
from unspool.views.heat import Heat
from unspool.views.heat_text import draw_heat
from unspool.views.heat_tokens import Span, spans_of
from unspool.views.terminal import Paint
from unspool.views.words import words_of


def split(*tokens):
    """The words of these tokens, each as text."""
    spans = [Span(text, i, i + 1) for i, text in enumerate(tokens)]
    return ["".join(span.text for span in word) for word in words_of(spans)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("There was once a king.", ["There", " was", " once", " a", " king", "."]),
        ("don't stop, well-known naïve cafe\u0301!", ["don't", " stop", ",", " well-known", " naïve", " cafe\u0301", "!"]),
        ("3.14 of 1,000 (50%)...", ["3.14", " of", " 1,000", " (", "50", "%)..."]),
        ("옛날 옛적에, 왕이", ["옛날", " 옛적에", ",", " 왕이"]),
        ("我爱中文。ひらカナ ไทย", ["我", "爱", "中", "文", "。", "ひ", "ら", "カ", "ナ", " ไ", "ท", "ย"]),
        ("a👩‍👧. नमस्ते_x", ["a", "👩‍👧", ".", " नमस्ते_x"]),
        ("one\n\n  Two\r\n", ["one", "\n\n", "  Two", "\r\n"]),
        (" a  b ", [" a", "  b", " "]),
    ],
)
def test_a_text_of_single_characters_splits_into_words(text, words):
    assert split(*text) == words


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        ([" wood", "cutter", "'s", " hut", "."], [" woodcutter's", " hut", "."]),
        (["once ", "upon ", "a ", "ti", "me"], ["once ", "upon ", "a ", "time"]),          # words carry the space after them
        (["once", " ", "upon"], ["once", " upon"]),                                          # the space is a token
        (['said."', " He", ". The"], ['said."', " He", ". The"]),                          # what one token holds is not divided
        (["a.", "b", "中文", "字"], ["a.", "b", "中文", "字"]),
        (["", "", "옛", "날"], ["옛날"]),                                                     # bytes of a character that is not whole
        ([], []),
    ],
)
def test_words_end_where_tokens_do(tokens, words):
    assert split(*tokens) == words


def test_every_cut_of_every_text_keeps_all_tokens_in_order():
    rng, text = random.Random(5), "It's 3.14 — “옛날 옛적에” 中文👩‍👧\n\n  नमस्ते  the  end. "
    for _ in range(300):
        cuts = sorted(rng.sample(range(1, len(text)), rng.randrange(1, 20)))
        tokens = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        spans = [Span(piece, i, i + 1) for i, piece in enumerate(tokens)]
        found = list(words_of(spans))
        assert [span for word in found for span in word] == spans
        assert all(word for word in found)


def test_a_special_token_is_a_word_of_its_own():
    spans = list(spans_of([(b" king", ""), (b"", "<end>"), (b"dom", "")], b""))
    assert [[span.text for span in word] for word in words_of(spans)] == [[" king"], ["<end>"], ["dom"]]


class Bytes(TokenizerBase):
    """A token for each byte."""

    specials, begins = frozenset(), ()
    size, hash, prefixes_space = 256, "bytes", False

    def ids(self, text):
        return list(text.encode())

    def spell(self, token):
        return bytes([token])

    def name_of(self, token):
        return f"<{token}>"


TEXT = "the 옛날 中 end"


@pytest.fixture(scope="module")
def heat():
    return Heat.from_trace(un.LanguageModel(table(3, 256), Bytes()).record("On ", TEXT, choices=3))


@pytest.mark.parametrize("by", ["probability", "surprisal"])
def test_a_word_has_the_product_of_its_tokens_probabilities(heat, by):
    words = heat.coloured(by).by_words()
    assert [t.text for t in words.tokens] == ["the", " 옛날", " 中", " end"] == [s.text for s in words.spans]
    assert [len(t.parts) for t in words.tokens] == [3, 7, 4, 4]
    for word in words.tokens:
        assert word.probability == pytest.approx(math.prod(t.probability for t in word.parts))
        assert word.surprisal == pytest.approx(sum(t.surprisal for t in word.parts))
        assert (word.rank, word.entropy, word.effective) == (None, None, None)
    assert sum(t.logprob for t in words.tokens) == pytest.approx(sum(t.logprob for t in heat.tokens))
    assert [t for word in words.tokens for t in word.parts] == heat.tokens
    assert sum(count for _, _, count in words.counts()) == 4


def test_words_are_in_every_form(heat):
    words = heat.by_words()
    assert words.sheet().columns[1] == "tokens"
    assert words.sheet().lines[1][1] == " ".join(str(b) for b in " 옛날".encode())
    assert [len(t["tokens"]) for t in words.to_dict()["tokens"]] == [3, 7, 4, 4]
    assert "probability by words" in words.to_html()
    assert "word 2" in words.to_html()
    for width in (24, 40, 80):
        text = draw_heat(words, width, Paint(False))
        assert "by words" in text
        assert " bits" in text
    assert heat.unit == "token"


def test_what_a_word_does_not_have_is_refused(heat):
    for by in ("rank", "entropy", "effective"):
        with pytest.raises(un.ParameterError, match="of single tokens"):
            heat.coloured(by).by_words()


def test_a_score_by_words():
    lm = un.LanguageModel(table(3, 256), Bytes())
    words = Heat.from_score(lm.score("On ", TEXT)).by_words()
    assert [t.text for t in words.tokens] == ["the", " 옛날", " 中", " end"]
    assert words.tokens[1].logprob == pytest.approx(sum(lm.score("On ", TEXT).logprobs[3:10]))


def test_steps_say_how_many_choices_there_were():
    from unspool.views.table import StepTable

    model = table(3, 256)
    trace = un.LanguageModel(model, Bytes()).record("On ", "the end", choices=3)
    for all in (False, True):
        steps = StepTable.from_trace(trace, all=all, effective=True)
        text = list(b"On ")
        for row, line, values in zip(steps, steps.to_records(), steps.to_dicts(), strict=True):
            p = np.asarray(model.probabilities(tuple(text)))
            wanted = np.exp(-(p / p.sum() * np.log(p / p.sum())).sum())
            assert float(line["Effective choices"]) == pytest.approx(wanted, abs=0.01)
            assert values["effective_choices"] == pytest.approx(wanted, rel=1e-5) == row.effective
            assert f"{wanted:.1f}" in steps.to_text(60)
            text += b"the end"[len(text) - 3 : len(text) - 2]
        assert max(map(len, steps.to_text(60).splitlines())) <= 60
        assert all is ("Step" in steps.columns)
        strong = {steps.sheet().lines[i][j].split(" (")[0] for i, j in steps.sheet().strong}
        assert strong <= set("the end")
    assert "Effective choices" not in StepTable.from_trace(trace).columns
