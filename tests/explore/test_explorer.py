"""A tree made by hand: its record is that of any run, every change can be undone, and nothing that fails changes anything."""

import math

import numpy as np
import pytest
from helpers.tables import END, Letters, table
from hypothesis import given, settings, strategies as st

import unspool as un
from unspool.explore.explorer import Explorer
from unspool.score import score_tokens
from unspool.views.heat import Heat
from unspool.views.tree import Tree
from unspool.views.why import Why

PROCESSED = "temperature(0.8) | top_k(3) | sample"


def explorer(decoder=PROCESSED, seed=1, **options):
    return Explorer(un.LanguageModel(table(seed=seed), Letters()), "bcd", decoder, **options)


def looked(decoder=PROCESSED, **options):
    e = explorer(decoder, **options)
    e.look()
    return e


# --- the step -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decoder", ["greedy", PROCESSED, "xtc(0.05, 1.0) | sample", "mirostat(1.2) | sample", "repetition_penalty(1.5)"])
def test_a_step_is_what_a_run_records(decoder):
    e = looked(decoder, choices=4)
    for _ in range(3):
        trace = e.lm.generate([list(e.state.prompt)], _follow(e), max_new_tokens=9, level="stages", choices=4)[0].trace
        found = next(s.considered for s in trace.steps if e.state.cursor in s.considered.nodes)
        options = e.options()[:4]
        assert [o.token for o in options] == found.tokens[0].tolist()
        np.testing.assert_allclose([o.probability for o in options], np.exp(found.logprobs[0]), atol=1e-6)
        np.testing.assert_allclose([o.processed for o in options], np.exp(found.processed[0]), atol=1e-6)
        assert all(bool(o.cut) == (o.processed == 0) for o in options)
        e.take(options[1].token)
        e.look()
        assert e.ready


def _follow(e):
    return un.Decoder((*e.state.decoder.processors, un.Follow((*e.state.text, 0))))


def test_cut_tokens_say_by_what_and_can_be_taken_all_the_same():
    e = looked("top_k(2)", choices=6)
    cut = e.options()[4]
    assert cut.cut.startswith("top_k(2)")
    e.take(cut.token)
    e.look()
    assert e.state.text == (cut.token,)
    np.testing.assert_allclose(e.logprobs[0], math.log(cut.probability), atol=1e-6)
    e.move(-1)
    (own,) = [o for o in e.options() if o.chosen]
    assert (own.token, own.processed) == (cut.token, 0)


def test_tokens_beyond_the_list_are_there_if_they_were_chosen():
    e = looked(choices=2)
    listed = {o.token for o in e.options()}
    others = [t for t in range(5) if t not in listed]
    for token in others[:2]:
        e.go_to(0)
        e.take(token)
        e.look()
    e.go_to(0)
    shown = {o.token: o for o in e.options()}
    assert shown[others[1]].chosen
    assert not shown[others[0]].chosen
    assert shown[others[0]].visited
    assert all(math.isfinite(shown[t].probability) for t in others[:2])


# --- the tree -------------------------------------------------------------------------------------------------------


def test_a_branch_is_left_and_gone_back_to():
    e = explorer()
    for token in (0, 1, 2):
        e.take(token)
    e.go_to(1)
    e.take(3)
    assert (e.state.text, e.state.cursor) == ((0, 3), 2)
    e.go_to(1)
    e.take(1)                                                             # where the first branch goes on
    assert (e.state.text, e.state.cursor) == ((0, 1, 2), 2)
    assert set(e.state.texts) == {(0, 1, 2), (0, 3)}


def test_going_on_is_the_decoder_itself():
    for decoder in ("greedy", "sample", PROCESSED, "beam(3)", "repetition_penalty(1.5) | sample"):
        e = explorer(decoder, seed=3)
        whole = e.lm.generate("bcd", decoder, max_new_tokens=6).tokens
        e.grow(2)
        e.grow(4)
        alone = explorer(decoder, seed=3)
        alone.grow(6)
        assert list(alone.state.text) == whole
        if "beam" not in decoder:
            assert e.state.text == alone.state.text


def test_the_next_seed_draws_again_from_where_the_last_went_on():
    e = explorer("sample")
    e.take(0)
    found = set()
    e.grow(5)
    for seed in range(1, 9):
        e.grow_again()
        assert e.state.seed == seed
        assert e.state.text[0] == 0
        found.add(e.state.text)
    assert len(found) > 3
    assert found <= set(e.state.texts) | {t for t in found if any(longer[: len(t)] == t for longer in e.state.texts)}
    fresh = explorer("greedy")
    with pytest.raises(un.UnspoolError, match="again"):
        fresh.grow_again()


def test_all_that_a_strategy_found_stays_in_the_tree():
    e = explorer("beam(3, n=3)")
    e.grow(4)
    assert len(e.state.texts) >= 2
    assert e.state.text == e.state.texts[-1]
    e.look()
    shown = e.branches()
    assert {b.path for b in shown if b.leaf} == set(e.state.texts)
    for b in shown:
        if b.leaf:
            np.testing.assert_allclose(b.logprob, score_tokens(table(seed=1), [([1, 2, 3], list(b.path))])[0].sum(), atol=1e-5)


def test_going_on_can_be_interrupted():
    e = explorer("sample", seed=5)
    e.lm.model.end_tokens = ()
    assert e.grow(50, lambda tokens: len(tokens) < 7) == "interrupted"
    assert len(e.state.text) == 7


def test_words_of_ones_own():
    e = explorer()
    e.write("cab")
    assert e.state.text == (2, 0, 1)
    with pytest.raises(un.UnspoolError):
        e.write("")


# --- laws -----------------------------------------------------------------------------------------------------------

ACTION = st.one_of(
    st.tuples(st.just("take"), st.integers(0, 5)),
    st.tuples(st.just("go_to"), st.integers(0, 6)),
    st.tuples(st.just("grow"), st.integers(1, 3)),
    st.tuples(st.just("grow_again")),
    st.tuples(st.just("use"), st.sampled_from(["greedy", "top_k(2) | sample", "beam(2, n=2)", "sample(2)"])),
    st.tuples(st.just("undo")),
    st.tuples(st.just("redo")),
)


def does(e, action):
    """Whether an action went well."""
    name, *arguments = action
    try:
        getattr(e, name)(*arguments)
    except un.UnspoolError:
        return False
    return True


@settings(max_examples=60, deadline=None)
@given(st.lists(ACTION, max_size=8))
def test_undo_then_redo_is_the_identity_and_texts_stay_apart(actions):
    e = explorer()
    for action in actions:
        before = e.state
        went_well = does(e, action)
        assert went_well or e.state == before
        state = e.state
        assert state.text == () or state.text in state.texts
        assert not any(a != b and b[: len(a)] == a for a in state.texts for b in state.texts)
        if does(e, ("undo",)):
            assert does(e, ("redo",))
        assert e.state == state
    while does(e, ("undo",)):
        pass
    assert e.state.text == ()


@settings(max_examples=25, deadline=None)
@given(st.lists(ACTION, min_size=1, max_size=6))
def test_a_saved_tree_is_scored_again_as_itself_and_read_back(tmp_path_factory, actions):
    e = explorer()
    e.take(1)
    for action in actions:
        does(e, action)
    if not e.state.text:
        return
    path = tmp_path_factory.mktemp("trace") / "t.jsonl"
    e.save(path)
    trace = un.Trace.load(path)
    found = trace.hypotheses[0]
    assert {tuple(h.tokens) for h in found} == set(e.state.texts)
    assert tuple(found[0].tokens) == e.state.text
    for h, logprobs in zip(found, score_tokens(table(seed=1), [([1, 2, 3], h.tokens) for h in found]), strict=True):
        np.testing.assert_allclose(h.logprobs, logprobs, atol=1e-5)
    assert Tree.from_trace(trace).roots
    assert len(Heat.from_trace(trace, "rank").tokens) == len(e.state.text)
    assert Why.from_trace(trace).fates
    other = explorer("greedy")
    other.load(path)
    a, b = e.state, other.state
    assert (a.text, a.cursor, set(a.texts), a.decoder, a.seed) == (b.text, b.cursor, set(b.texts), b.decoder, b.seed)


def test_the_numbers_are_those_of_scoring():
    e = looked()
    for token in (2, 0, 1, 4):
        e.take(token)
        e.look()
        np.testing.assert_allclose(e.logprobs, score_tokens(table(seed=1), [([1, 2, 3], list(e.state.text))])[0], atol=1e-6)
    assert e.perplexity == pytest.approx(math.exp(-np.mean(e.logprobs)))
    assert [t.logprob for t in e.heat().tokens] == e.logprobs


def test_only_processors_that_draw_are_recorded_for_every_seed():
    e = looked("sample")
    e.grow(4)
    e.look()
    e.grow_again()
    e.look()
    assert len(e._steps) == 1
    random = looked("xtc(0.05, 1.0) | sample")
    random.grow(4)
    random.look()
    random.grow_again()
    random.look()
    assert len(random._steps) == 2


def test_what_was_undone_is_gone_after_another_change():
    e = explorer()
    e.take(1)
    e.undo()
    e.take(2)
    with pytest.raises(un.UnspoolError, match="redo"):
        e.redo()
    assert e.state.text == (2,)


# --- refusals -------------------------------------------------------------------------------------------------------


def test_any_record_can_be_explored(tmp_path):
    output = un.LanguageModel(table(seed=1), Letters()).generate("bcd", "no_repeat_ngram(2) | beam(3, n=3)", max_new_tokens=4)
    output.trace.save(tmp_path / "t.jsonl")
    e = explorer("greedy")
    e.load(tmp_path / "t.jsonl")
    assert e.state.text == tuple(output.tokens)
    assert str(e.state.decoder) == "no_repeat_ngram(2) | beam(3, n=3)"
    assert len(e.state.texts) >= 2
    e.undo()
    assert e.state.text == ()


def test_torn_strange_and_foreign_files_change_nothing(tmp_path):
    e = explorer()
    e.take(1)
    e.save(tmp_path / "good.jsonl")
    text = (tmp_path / "good.jsonl").read_text()
    state = e.state
    for torn in ("", "x", "{}", text[: len(text) // 2], text.rsplit("\n", 2)[0], text.replace("letters-6", "letters-7")):
        (tmp_path / "torn.jsonl").write_text(torn)
        with pytest.raises(un.UnspoolError):
            e.load(tmp_path / "torn.jsonl")
    for bad in (tmp_path, tmp_path / "none"):
        with pytest.raises(un.UnspoolError):
            e.load(bad)
    with pytest.raises(un.UnspoolError):
        e.save(tmp_path / "no" / "folder.jsonl")
    assert e.state == state
    with pytest.raises(un.UnspoolError, match="nothing to save"):
        explorer().save(tmp_path / "x.jsonl")


@pytest.mark.parametrize("decoder", ["", "greedy |", "top_k(-1)", "nothing", "beam(2) | greedy | sample", "banned(99)", "f('os')"])
def test_a_decoder_that_is_none_changes_nothing(decoder):
    e = looked()
    state = e.state
    with pytest.raises(un.UnspoolError):
        e.use(decoder)
    assert e.state == state


def test_the_context_has_an_end():
    e = Explorer(un.LanguageModel(table(seed=1, context=6), Letters()), "bcd", "sample")
    e.write("ab")
    e.look()
    e.take(0)
    e.look()
    assert e.ready
    assert e.options() == []
    assert e.entropy() is None
    for action in (("take", 1), ("grow", 1), ("write", "a")):
        assert not does(e, action)
    e.move(-1)
    e.look()
    assert [o.token for o in e.options() if o.chosen] == [0]


def test_texts_go_on_past_end_tokens_and_stops():
    e = looked("sample | stop('b')")
    e.take(1)
    e.take(END)
    e.look()
    assert e.options()
    assert e.heat().spans[1].special
    e.take(2)
    e.look()
    assert e.state.text == (1, END, 2)
