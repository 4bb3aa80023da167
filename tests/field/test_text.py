"""Field cases of text: stops, special tokens, spaces, characters of several tokens, ids."""

import pytest
from helpers.scripted import gpt2, liking, said, saying, stories

import unspool as un

FAMILY = "👩\u200d👩\u200d👧"


@pytest.mark.field("F01")
def test_a_stop_that_does_not_end_with_a_token():
    assert said(saying(gpt2(), " One two.\n\nUser: more"), un.StopStrings("\nUser:")) == (" One two.\n", "stop")


@pytest.mark.field("F02")
def test_a_stop_at_the_very_beginning():
    assert said(saying(gpt2(), "STOP and more"), un.StopStrings("STOP")) == ("", "stop")


@pytest.mark.field("F04")
def test_a_stop_that_began_in_the_prompt():
    """Stops read the new text alone."""
    lm = saying(gpt2(), ": hello there")
    assert len(lm.tokens_of("User")) == 1
    assert said(lm, un.StopStrings("User:"), prompt="User", n=2) == (": hello", "length")


@pytest.mark.field("F06")
@pytest.mark.parametrize("stop", ["🦊", "é", "녕", FAMILY])
def test_a_stop_of_several_tokens(stop):
    text, reason = said(saying(gpt2(), f" hi{stop} more"), un.StopStrings(stop), n=30)
    assert (text, reason) == (" hi", "stop")


@pytest.mark.field("F07")
@pytest.mark.parametrize("stops", [("stop",), ("stopping", "stop"), ("topping", "stop", "op")])
def test_a_token_that_goes_on_after_the_stop(stops):
    script = gpt2().encode(" do stopping now")
    assert len(script) == 3
    assert said(saying(gpt2(), script), un.StopStrings(*stops)) == (" do ", "stop")


@pytest.mark.field("F08")
@pytest.mark.parametrize("part", ["stop('a')", "stop_regex('b+')", "dry(0.8)", "stop('x') | stop_regex('y') | dry(0.8)"])
def test_ids_above_the_tokenizer_stand_for_no_text(part):
    lm = saying(gpt2(), [50300, 50301, 50303], vocabulary=50304)
    out = lm.generate([0], part, max_new_tokens=3)
    assert (out.text, out.best.reason) == ("", "length")
    assert out.tokens[0] == 50300


@pytest.mark.field("F10")
def test_a_least_length_holds_back_every_end():
    likes = {198: 9.0, 50256: 8.0, 262: 7.0, 13: 1.0}
    lm = liking(gpt2(), likes, end_tokens=(198, 50256))
    for decoder in ("min_new_tokens(3) | end(262)", "min_new_tokens(3) | end(262) | sample(8)"):
        for text in lm.generate([0], decoder, max_new_tokens=6, seed=1).sequences:
            assert not {198, 50256, 262} & {*text.tokens[:3]}
    assert lm.generate([0], "min_new_tokens(3)", max_new_tokens=6).tokens == [262, 262, 262, 198]


# --- spaces -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.field("F28")
@pytest.mark.parametrize("text", ["y is ?", " don 't", "a , b . c !", " we 'll n't"])
def test_no_space_is_swallowed(text):
    assert said(saying(gpt2(), text), "greedy", n=len(gpt2().encode(text)))[0] == text


@pytest.mark.field("F29")
def test_the_first_token_brings_no_space():
    ids = stories().ids("Once upon")
    assert stories().bytes_of(ids[0]).startswith(b" ")
    assert said(saying(stories(), ids, start=1), "greedy", prompt="", n=len(ids))[0] == "Once upon"


@pytest.mark.field("F30")
def test_one_space_alone_is_the_tokenizers_own():
    ids = [stories().inner.token_to_id(name) for name in ("▁", "▁the")]
    assert None not in ids
    assert said(saying(stories(), ids, start=1), "greedy", prompt="", n=2)[0] == " the"


@pytest.mark.field("F31")
@pytest.mark.parametrize("prompt", ["", "Once upon a time", "The king said"])
def test_a_text_that_is_made_in_parts_is_the_same(prompt):
    from helpers.scripted import DATA

    lm = un.load(DATA / "stories260K")
    whole, text = lm.generate(prompt, max_new_tokens=24, end_tokens=()).text, ""
    for _ in range(4):
        text += lm.generate(prompt + text, max_new_tokens=6, end_tokens=()).text
    assert text == whole


@pytest.mark.field("F35")
def test_bans_and_biases_where_text_begins():
    once, there = (stories().ids(text) for text in ("Once", "The"))
    lm = saying(stories(), once, start=1)
    assert lm.generate("", max_new_tokens=len(once)).text == "Once"
    assert lm.generate("", un.Banned("Once"), max_new_tokens=len(once)).tokens != once
    raised = un.Bias({"The": 50.0})
    assert lm.generate("", raised, max_new_tokens=1).tokens == there


# --- ids --------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.field("F43")
def test_a_pattern_ends_with_an_end_that_the_tokenizer_lacks():
    pytest.importorskip("llguidance")
    lm = saying(gpt2(), [*gpt2().encode("ab"), 50299], vocabulary=50304, end_tokens=(50299,))
    assert said(lm, un.Regex("[a-z]+"), n=5) == ("ab", "end")
    lm = liking(gpt2(), {50299: 9.0, 64: 1.0}, vocabulary=50304, end_tokens=(50299,))
    out = lm.generate([0], un.Regex("aaa"), max_new_tokens=5)
    assert (out.text, out.best.reason) == ("aaa", "end")


# --- characters of several tokens -------------------------------------------------------------------------------------------------------


@pytest.mark.field("F44")
@pytest.mark.parametrize("script", [" hi 🦊!", "안녕하세요 옛날", "🇰🇷🇩🇪!", FAMILY])
def test_streams_hold_whole_characters(script):
    """A broken one may stand at a cut end alone."""
    lm, most = saying(gpt2(), script), len(gpt2().encode(script))
    for n in range(1, most + 1):
        pieces = list(lm.stream([0], max_new_tokens=n).text())
        assert "".join(pieces) == lm.generate([0], max_new_tokens=n).text
        assert "\ufffd" not in "".join(pieces).rstrip("\ufffd")
        assert all("\ufffd" not in piece for piece in pieces[:-1])
    assert "".join(lm.stream([0], max_new_tokens=most).text()) == script


@pytest.mark.field("F46")
@pytest.mark.parametrize(("script", "text"), [("😀🙏", "😀🙏"), ("😀🦊", "😀")])
def test_a_pattern_of_characters_of_several_tokens(script, text):
    pytest.importorskip("llguidance")
    ids = gpt2().encode(script)
    lm = saying(gpt2(), [*ids, 50256], end_tokens=(50256,))
    found = lm.generate([0], un.Regex("[😀-🙏]+"), max_new_tokens=len(ids) + 1).text
    assert found.startswith(text)
    assert all("😀" <= c <= "🙏" for c in found.rstrip("\ufffd"))


@pytest.mark.field("F47")
def test_half_an_emoji_then_letters():
    half = gpt2().encode("🦊")[:-1]
    assert said(saying(gpt2(), half + gpt2().encode("abc")), "greedy", n=len(half) + 1)[0].endswith("\ufffdabc")


@pytest.mark.field("F79")
@pytest.mark.parametrize("first", ["described", " described"])
def test_a_ban_holds_at_the_start_and_after_a_space(first):
    lm = saying(gpt2(), first)
    out = lm.generate([0], un.Banned("described"), max_new_tokens=len(gpt2().encode(first)))
    assert "described" not in out.text


@pytest.mark.field("F81")
def test_a_string_however_it_is_cut_is_banned_by_a_grammar():
    """banned() knows the usual spellings in tokens, and its page says so; a grammar's complement knows the text."""
    cut = [*gpt2().encode(" de"), *gpt2().encode("scribed"), *gpt2().encode("!")]
    lm = saying(gpt2(), cut)
    assert lm.generate([0], un.Banned("described"), max_new_tokens=3).text == " described!"
    pytest.importorskip("llguidance")
    free = un.Grammar("start: TEXT\nTEXT: /(?s:.*)/ & ~/(?s:.*)described(?s:.*)/")
    found = lm.generate([0], free, max_new_tokens=len(cut))
    assert found.text.startswith(" de")
    assert "described" not in found.text
    spelled = [t for c in "so described" for t in gpt2().encode(c)]
    assert "described" not in saying(gpt2(), spelled).generate([0], free, max_new_tokens=len(spelled)).text
