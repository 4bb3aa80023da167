"""What is matched is what is shown; a text that names a special token is that token; ids are the model's."""

from importlib.util import find_spec

import numpy as np
import pytest
from helpers.scripted import said, saying
from hypothesis import given, settings, strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models

import unspool as un
from unspool.models.tokenizer_file import TokenizerFile
from unspool.models.tokenizer_folder import read_tokenizer
from unspool.text import Detokenizer, Fitted, Marks

from .conftest import DATA

BYTES = 3
"""The first of the tokens of stories260K that are a byte each."""


@pytest.fixture(scope="module")
def chat(gpt2_folder):
    """GPT-2's tokens with those of turns: special, but no end tokens."""
    inner = Tokenizer.from_str(read_tokenizer(gpt2_folder).inner.to_str())
    inner.add_special_tokens([AddedToken(t, special=True) for t in ("<|im_start|>", "<|im_end|>", "[STOP]")])
    return TokenizerFile(inner)


@pytest.fixture(scope="module")
def stories():
    return read_tokenizer(DATA / "stories260K")


@pytest.mark.field("F11", "F13")
@pytest.mark.parametrize(
    ("stop", "text"),
    [
        ("<|im_end|>", " fine"),
        ("<|im_end|>\nmore", " fine"),
        ("ine<|im_end|>\n", " f"),
        ("fine\nmo", " "),                                                 # special tokens are not shown
        ("words", " fine\nmore "),
    ],
)
def test_stops_at_special_tokens(chat, stop, text):
    lm = saying(chat, " fine<|im_end|>\nmore words<|im_start|>")
    assert said(lm, un.StopStrings(stop)) == (text, "stop")
    assert said(lm, un.StopStrings("never", stop)) == (text, "stop")


def test_several_stops_of_special_tokens(chat):
    lm = saying(chat, " fine<|im_start|>b<|im_end|>\nmore")
    assert said(lm, un.StopStrings("<|im_start|>b<|im_end|>Q", "<|im_end|>\n")) == (" fineb", "stop")
    stop = un.StopStrings("<|im_end|>").resolve(chat)
    (found,) = stop.advance([stop.begin(np.asarray([0]))], chat.encode("<|im_end|>"), [])
    (later,) = stop.advance([found], chat.encode("a"), [])
    assert stop.ends(None, np.zeros(2, int), [found, later]).tolist() == [True, False]
    inner = Tokenizer(models.BPE({"a": 0}, []))
    inner.add_special_tokens(["<a>", "<a>b"])
    marks = Marks.of(TokenizerFile(inner), ["<a>b<a>"])
    assert marks.write("<a>b<a>") == marks.mark_of[2] + marks.mark_of[1]


@pytest.mark.parametrize("stop", ["im_end", "|", "<", "<|im_start|>\n", "end|>\nmore"])
def test_names_of_special_tokens_are_no_text(chat, stop):
    assert said(saying(chat, " fine<|im_end|>\nmore"), un.StopStrings(stop), n=4) == (" fine\nmore", "length")


def test_a_stop_of_special_tokens_is_found_where_it_is_spelled_out(chat):
    spelled = [t for c in " a<|im_end|>b" for t in chat.encode(c)]
    assert said(saying(chat, spelled), un.StopStrings("<|im_end|>"), n=14) == (" a", "stop")


@pytest.mark.field("F13")
@pytest.mark.parametrize(
    ("pattern", "tokens"),
    [
        (r"<\|im_end\|>", 2),
        (r"<\|im_end\|>\s*more", 4),
        (r"e<\|im_(end|start)\|>x", None),                                 # not written out: no name of a special token
        (r"(?:<\|im_start\|>|<\|im_end\|>)", 2),
        (r"<\|im_end\|>+\n", 3),
        (r"^ fine\nmore", 4),                                              # others are not shown
        (r"[<\|im_end\|>]", 1),                                            # a set of letters
        (r"\[STOP\]", None),
    ],
)
def test_patterns_of_special_tokens(chat, pattern, tokens):
    out = saying(chat, " fine<|im_end|>\nmore words").generate([0], un.StopRegex(pattern), max_new_tokens=5)
    assert (len(out.tokens), out.best.reason) == ((5, "length") if tokens is None else (tokens, "stop"))


@pytest.mark.parametrize(("pattern", "write"), [("<|im_end|>", r"write <\\\|im_end\\\|> "), ("x[STOP]", r"write \\\[STOP\\\] ")])
def test_a_pattern_that_only_looks_like_a_special_token_is_refused(chat, pattern, write):
    with pytest.raises(un.ParameterError, match=write):
        saying(chat, "x").generate([0], un.StopRegex(pattern))


TEXT = st.lists(st.sampled_from(["a", "b", " ", "é", "🦊"[:1], "<|im_end|>", "[STOP]", "<"]), max_size=8)


@settings(max_examples=300, deadline=None)
@given(TEXT, st.lists(TEXT.filter(bool).map("".join), min_size=1, max_size=3), st.data())
def test_stops_and_the_written_text_agree(chat, parts, stops, data):
    """The text is cut at the first place where a stop is; special tokens are one sign of it each, and are not shown."""
    marks = {"<|im_end|>": "\ue000", "[STOP]": "\ue001"}
    tokens, signs = [], ""
    for part in parts:
        tokens += [chat.inner.token_to_id(part)] if part in marks else chat.encode(part)
        signs += marks.get(part, part)

    def shown(text):
        return text.replace("\ue000", "").replace("\ue001", "")

    def marked(stop):
        for name, mark in marks.items():
            stop = stop.replace(name, mark)
        return stop

    named = {mark for stop in stops for mark in marked(stop) if mark in "\ue000\ue001"}
    signs = "".join(c for c in signs if c not in marks.values() or c in named)
    places = [shown(signs).find(s) for s in stops if s in shown(signs)]
    places += [len(shown(signs[: signs.find(marked(s))])) for s in stops if marked(s) != s and marked(s) in signs]
    stop, writer = un.StopStrings(*stops).resolve(chat), Detokenizer(chat, stops)
    memory, ended, text = stop.begin(np.asarray([0])), False, ""
    for token in tokens:
        (memory,) = stop.advance([memory], [token], [])
        ended = ended or bool(stop.ends(None, np.asarray([token]), [memory])[0])
        text += writer.add(token)
    assert ended == bool(places)
    assert writer.stopped == ended
    if not ended:
        assert text + writer.finish() == shown(signs)


@pytest.mark.field("F14")
def test_breakers(chat):
    """The name of a special token is its id; a text that several tokens make up breaks too."""
    end = chat.inner.token_to_id("<|im_end|>")
    assert un.Dry(breakers=("<|im_end|>",)).resolve(chat).breakers == (end,)
    assert un.Dry(breakers=("<|im_end|>", 5)).resolve(chat).breakers == (5, end)
    scores = np.zeros((1, chat.size), np.float32)

    def amounts(*breakers):
        found = un.Dry(1.0, 2.0, 1, breakers).resolve(chat).process(un.Rows.of(np.asarray([text])), scores)[0]
        return {chat.name_of(t): float(-found[t]) for t in np.flatnonzero(found)}

    text = chat.encode(" one two User: one two User: one")
    assert amounts() == {"Ġtwo": 2.0**4}
    assert amounts(" User: on") == {}                                       # that ends within the last token
    assert amounts("wo User") == {"Ġtwo": 2.0**1}
    assert amounts("wo User", "<|im_end|>\n") == {"Ġtwo": 2.0**1}
    text = [*chat.encode(" one two"), end, *chat.encode("\n one two"), end, *chat.encode("\n one")]
    assert amounts() == {"Ġtwo": 2.0**4}
    assert amounts("<|im_end|>\n") == {"Ġtwo": 2.0**0}
    assert amounts("two<|im_end|>") == {"Ġtwo": 2.0**1}


# --- the space where text begins ---------------------------------------------------------------------------------------------------


@pytest.mark.field("F32", "F33")
def test_stops_read_the_text_that_is_shown(stories):
    lm = saying(stories, stories.ids("Once upon a time"), start=1)
    assert said(lm, un.StopRegex("^Once"), prompt="", n=9)[0] == "Once"
    assert said(lm, un.StopRegex("^ Once"), prompt="", n=3)[1] == "length"
    assert said(lm, un.StopStrings(" Once"), prompt="", n=3)[1] == "length"
    assert said(lm, un.StopStrings("Once"), prompt="", n=9) == ("", "stop")
    later = saying(stories, stories.ids("x Once"))
    assert said(later, un.StopStrings(" Once"), prompt="", n=9) == ("x", "stop")


def test_constraints_read_the_text_that_is_shown(stories):
    pytest.importorskip("llguidance")
    for part in (un.Regex("Once( upon)?"), un.Grammar('start: "Once" " upon"?')):
        lm = saying(stories, stories.ids("Once upon"), start=1)
        assert lm.generate("", part, max_new_tokens=9, end_tokens=[]).text == "Once upon"
        assert lm.generate("", part, max_new_tokens=9, end_tokens=[]).best.reason == "complete"
    spaced = saying(stories, stories.ids(" Once"), start=1)                  # two spaces: one is the text's
    assert spaced.generate("", un.Regex(" Once"), max_new_tokens=9, end_tokens=[]).text == " Once"
    a, bare = un.Allowed(*stories.encode(" a"), *stories.encode(" ")), un.Allowed(*stories.encode("a"))
    model = saying(stories, stories.encode("a"), start=1)
    assert model.generate("", bare | un.Regex("a"), end_tokens=[]).text == "a"
    assert model.generate("", a | un.Regex(" a"), end_tokens=[]).text == " a"
    with pytest.raises(un.DeadEnd):
        model.generate("", bare | un.Regex(" a"), end_tokens=[])
    inside = saying(stories, stories.encode(" Once"))
    assert inside.generate("a", un.Regex(" Once"), max_new_tokens=9, end_tokens=[]).text == " Once"


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["Once( upon)?", " ?a+", "(a|b| c)*", "\\s*[^x]?", "(e|é|옛)+"]), st.data())
def test_the_first_token_without_its_space(stories, pattern, data):
    """Tokens may come exactly where a text as it is shown may still match; after them nothing differs."""
    pytest.importorskip("llguidance")
    part = un.Regex(pattern).resolve(stories)
    state, plain = part.begin(np.asarray([1])), part.begin(np.asarray([5]))
    may = np.flatnonzero(state.allowed())
    for token in range(3, stories.size):
        text = stories.bytes_of(token)
        walked = plain
        for byte in text.removeprefix(b" ") if text.startswith(b" ") else text:
            walked = walked and walked.after(BYTES + byte)
        assert (token in may) == (walked is not None)
    token = data.draw(st.sampled_from([t for t in may.tolist() if stories.bytes_of(t)]))
    text = stories.bytes_of(token)
    walked = plain
    for byte in text.removeprefix(b" "):
        walked = walked.after(BYTES + byte)
    after = state.after(token)
    assert after.complete == walked.complete
    assert (after.allowed() == walked.allowed()).all()


# --- ids are the model's ---------------------------------------------------------------------------------------------------------------


@pytest.mark.field("F38", "F41")
def test_ids_are_the_models(chat):
    lm = saying(chat, [50300] * 3 + chat.encode("a"), vocabulary=50304)
    assert lm.generate([0], max_new_tokens=4).text == "a"
    assert 50300 not in lm.generate([0], un.Suppress(50300), max_new_tokens=4).tokens
    out = lm.generate([0], un.Banned(50300) | un.StopStrings("a") | un.Dry(), max_new_tokens=9)
    assert (50300 in out.tokens, out.best.reason) == (False, "stop")
    assert lm.generate([0], un.End(50300), max_new_tokens=4).best.reason == "end"
    assert lm.generate([0], un.Bias({50303: 99.0}), max_new_tokens=2).tokens == [50303] * 2
    for wrong in ([99999], [50304], [-1], ["."]):
        with pytest.raises(un.ParameterError, match="end_tokens"):
            lm.generate([0], end_tokens=wrong)
    with pytest.raises(un.ParameterError, match=r"suppress: there is no token 50304; this model's ids are 0 to 50303"):
        lm.generate([0], un.Suppress(50304))


def test_a_token_that_the_model_lacks_is_said(chat):
    lm = saying(chat, "a", vocabulary=50257)
    assert lm.generate([0], max_new_tokens=1).text == "a"
    with pytest.raises(un.ParameterError, match=r"'<\|im_end\|>' is token 50258 to the tokenizer"):
        lm.generate([0], un.Banned("<|im_end|>"))
    assert lm.resolve("greedy").strategy == un.Greedy()
    assert max(Fitted(chat, 50257).specials) == 50256
    if find_spec("llguidance"):
        assert lm.generate([0], un.Regex("a+"), max_new_tokens=2).text == "aa"


@pytest.mark.field("F16")
def test_special_tokens_by_name_elsewhere(chat):
    lm, end = saying(chat, " fine<|im_end|>more"), chat.inner.token_to_id("<|im_end|>")
    for part in (un.Banned("<|im_end|>"), un.Suppress("<|im_end|>"), un.Bias({"<|im_end|>": -99.0})):
        assert end not in lm.generate([0], part, max_new_tokens=4).tokens
    assert lm.generate([0], un.Forced({0: "<|im_end|>"}), max_new_tokens=1).tokens == [end]


# --- words that carry the space after them ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def closing():
    """As OpenAI GPT: words end in </w>."""
    inner = Tokenizer(models.BPE({t: i for i, t in enumerate(["<s>", "the</w>", "c", "at</w>", "cats</w>", ".</w>"])}, []))
    inner.decoder = decoders.BPEDecoder(suffix="</w>")
    inner.add_special_tokens(["<s>"])
    return TokenizerFile(inner)


def test_a_text_does_not_end_in_the_space_of_its_last_word(closing):
    """The new text is what transformers' decoding of prompt and text has after that of the prompt."""
    whole = [1, 2, 3, 5, 1, 4]
    lm = saying(closing, whole[1:])
    for n in range(1, 6):
        text = said(lm, "greedy", prompt=whole[:1], n=n)[0]
        assert closing.inner.decode(whole[:1]) + text == closing.inner.decode(whole[: n + 1])
    assert said(lm, un.StopStrings("cat "), prompt=[1], n=2) == (" cat", "length")
    assert said(lm, un.StopStrings("cat ."), prompt=[1], n=5) == (" ", "stop")
    assert said(lm, un.StopRegex("cat$"), prompt=[1], n=5) == (" cat", "stop")
    assert said(lm, "greedy", prompt=[0], n=2)[0] == "cat"
