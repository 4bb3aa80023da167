"""Comparing decoders: each text is what generate gives, each number what its definition says, and a run that was broken off goes on."""

import json
import math
import sys
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from helpers.tables import END, Letters, table

import unspool as un
from unspool.lab import metrics
from unspool.lab.asked_compare import MetricsGiven, check_metrics
from unspool.lab.compare import Comparing
from unspool.lab.defaults import FEWEST
from unspool.lab.generations import GenerationFile
from unspool.views.compare_report import to_page
from unspool.views.compare_words import tables

PROMPTS = ["abc", "c", "aebcdb", "ee"]
DECODERS = ["greedy", "beam(3, n=2)", "temperature(1.3) | sample(2)", "xtc(0.1, 0.5) | greedy"]
ALL = ["perplexity", "logprob", "bits_per_byte", "entropy", "uid_variance", "uid_local", "rep_2", "diversity", "loops", "self_bleu_2"]
ALL += ["distinct_1", "ngram_entropy_1", "zipf", "length", "ended"]


def model(seed=0, **options):
    made = table(seed, **options)
    return un.LanguageModel(made, Letters(made.vocabulary, made.end_tokens), f"table {seed}")


LM = model()


def compared(lm=LM, prompts=PROMPTS, decoders=DECODERS, **options):
    return un.compare(lm, prompts, decoders, **{"max_new_tokens": 6, "metrics": ALL, "unit": "tokens", "seeds": (0, 5)} | options)


def texts(comparison):
    return [(g.decoder, g.prompt, g.seed, g.number, g.tokens, g.logprobs, g.text, g.reason) for g in comparison.generations]


def estimates(comparison):
    return [(row.name, row.prompts, row.texts, row.seeds, repr(row.values), repr(row.differences)) for row in comparison.all_rows]


# --- what is run ------------------------------------------------------------------------------------------------------


def test_texts_are_those_of_generate():
    for g in compared().generations:
        s = LM.generate(g.prompt, g.decoder, seed=g.seed, max_new_tokens=6).sequences[g.number - 1]
        assert (g.tokens, g.text, g.reason) == (s.tokens, s.text, s.reason)
        np.testing.assert_allclose(g.logprobs, s.logprobs, atol=1e-12)


def test_what_draws_nothing_runs_once():
    found = compared(decoders=[*DECODERS, "temperature(0.5) | contrastive_search"] if "hidden" in LM.model.session().can else DECODERS)
    assert [(row.seeds, row.texts) for row in found.rows[:4]] == [((0,), 4), ((0,), 8), ((0, 5), 16), ((0, 5), 8)]


def test_how_many_run_together_changes_nothing():
    whole = compared()
    for together in (1, 3):
        some = compared(together=together)
        assert sorted(map(repr, texts(some))) == sorted(map(repr, texts(whole)))
        for one, other in zip(some.rows, whole.rows, strict=True):
            assert {n: e.value for n, e in one.values.items()} == pytest.approx({n: e.value for n, e in other.values.items()}, nan_ok=True)


class Counting:
    """A model that counts what its sessions are asked to run."""

    def __init__(self, inner):
        self.inner, self.forwards, self.tokens = inner, 0, 0

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def session(self, plan=un.NO_PLAN):
        session = self.inner.session(plan)
        extend = session.extend

        def counted(parents, chains, every=False):
            self.forwards += len(chains) > 0
            self.tokens += sum(map(len, chains))
            return extend(parents, chains, every)

        session.extend = counted
        return session


@pytest.mark.parametrize("decoder", ["greedy", "beam(3)", "sample(4)", "exact(2)"])
def test_costs_are_what_the_model_was_asked(decoder):
    counting = Counting(table())
    cost = compared(un.LanguageModel(counting, Letters()), decoders=[decoder], metrics=["length"], seeds=1).rows[0].cost
    assert (cost.forwards, cost.tokens) == (counting.forwards, counting.tokens)
    assert cost.other_forwards == cost.other_tokens == 0
    assert cost.seconds > 0


def test_other_models_are_counted_apart():
    target, draft, other = (Counting(table(seed, end_tokens=())) for seed in range(3))
    lm = un.LanguageModel(target, Letters())
    decoders = {"drafted": un.Speculative(draft, tokens=2), "guided": un.Guidance(1.5, other), "guided by itself": un.Guidance(1.5, target)}
    found = compared(lm, ["abc"], decoders, metrics=["length"], seeds=1)
    drafted, guided, by_itself = (row.cost for row in found.rows)
    assert (drafted.other_forwards, drafted.other_tokens) == (draft.forwards, draft.tokens)
    assert (guided.other_forwards, guided.other_tokens) == (other.forwards, other.tokens)
    assert (by_itself.other_forwards, by_itself.other_tokens) == (0, 0)
    assert sum(c.forwards for c in (drafted, guided, by_itself)) == target.forwards
    assert guided.forwards == guided.other_forwards == by_itself.forwards / 2


# --- what is measured -------------------------------------------------------------------------------------------------


def test_values_are_those_of_all_texts():
    found = compared()
    for row in found.rows:
        mine = [g for g in found.generations if g.decoder == row.name]
        kept = [[t for t in g.tokens if t != END] for g in mine]
        logprobs = [x for g in mine for t, x in zip(g.tokens, g.logprobs, strict=True) if t != END]
        assert row.values["rep_2"].value == pytest.approx(metrics.repetition(kept, 2))
        assert row.values["diversity"].value == pytest.approx(metrics.diversity(kept))
        assert row.values["length"].value == pytest.approx(np.mean([len(t) for t in kept]))
        assert row.values["ended"].value == pytest.approx(np.mean([g.reason == "end" for g in mine]))
        assert row.values["perplexity"].value == pytest.approx(math.exp(-np.mean(logprobs)))
        first = [t for t, g in zip(kept, mine, strict=True) if (g.seed, g.number) == (0, 1)]
        if row.texts == len(PROMPTS):
            assert row.values["distinct_1"].value == pytest.approx(metrics.distinct(first, 1))


def test_a_collection_has_one_text_for_each_prompt():
    """So many texts of a prompt do not count as more text than one."""
    row, generations = (found := compared(decoders=["sample(3)"], metrics=["distinct_1"])).rows[0], found.generations
    collections = {}
    for g in generations:
        collections.setdefault((g.seed, g.number), []).append([t for t in g.tokens if t != END])
    assert len(collections) == 6
    assert row.values["distinct_1"].value == pytest.approx(np.mean([metrics.distinct(texts, 1) for texts in collections.values()]))
    assert math.isnan(row.values["distinct_1"].low)


def test_entropies_are_those_of_the_trace():
    """-sum p log p before processors, at every token that is text."""
    found = compared(decoders=["temperature(1.5) | sample(1)"], metrics=["entropy"], seeds=1)
    values = []
    for g in found.generations:
        out = LM.generate(g.prompt, g.decoder, max_new_tokens=6, level="stages")
        stages = [step.considered.stages for step in out.trace.steps]
        values += [s.entropy[0, 0] for s, t in zip(stages, g.tokens, strict=True) if t != END]
    assert found.rows[0].values["entropy"].value == pytest.approx(np.mean(values), abs=1e-6)


def test_differences_are_those_of_values():
    found = compared()
    assert found.rows[0].differences == {}
    for row in found.rows[1:]:
        for name, one in row.differences.items():
            expected = row.values[name].value - found.rows[0].values[name].value
            assert one.value == pytest.approx(expected, nan_ok=True)
            if math.isfinite(one.low):
                assert one.low - 1e-9 <= one.value <= one.high + 1e-9 or name in ("uid_variance", "uid_local")


def test_a_judge_that_is_the_model_agrees_with_it():
    lm = model(0, end_tokens=())
    found = compared(lm, metrics=["perplexity", "judge_perplexity", "bits_per_byte", "judge_bits_per_byte"], judge=lm)
    for row in found.rows:
        assert row.values["judge_perplexity"].value == pytest.approx(row.values["perplexity"].value)
        assert row.values["judge_bits_per_byte"].value == pytest.approx(row.values["bits_per_byte"].value)
    other = compared(metrics=["judge_perplexity", "perplexity"], judge=model(1))
    assert other.rows[0].values["judge_perplexity"].value > other.rows[0].values["perplexity"].value


def test_reference_texts_are_measured_alike():
    human = [("abc", "deabdeabcc"), ("c", "bb")]
    row = compared(reference=human, judge=LM, metrics=[*ALL, "judge_perplexity"]).reference
    scores = LM.score([p for p, _ in human], ["deabde", "bb"])
    assert (row.prompts, row.texts, row.cost) == (2, 2, None)
    assert row.values["length"].value == 4
    assert row.values["perplexity"].value == pytest.approx(math.exp(-np.mean(scores[0].logprobs + scores[1].logprobs)))
    assert row.values["judge_perplexity"].value == pytest.approx(row.values["perplexity"].value)
    assert row.values["rep_2"].value == pytest.approx(metrics.repetition(["deabde", "bb"], 2))
    assert math.isnan(row.values["ended"].value)


# --- the file ---------------------------------------------------------------------------------------------------------


def test_a_file_resumes_where_a_run_was_broken_off(tmp_path):
    whole = compared(save=tmp_path / "whole.jsonl", together=2)
    lines = (tmp_path / "whole.jsonl").read_text().splitlines()
    assert [json.loads(line)["tokens"] for line in lines] != []
    for steps in (0, 3, 20, 60):
        path = tmp_path / f"{steps}.jsonl"
        run = Comparing(LM, PROMPTS, DECODERS, seeds=(0, 5), max_new_tokens=6, metrics=ALL, unit="tokens", save=path, together=2)
        for _ in islice(run, steps):
            pass
        done = len(path.read_text().splitlines()) if path.exists() else 0
        assert len(run.comparison.generations) == done
        if done:
            run.comparison.to_text(80)
        resumed = compared(save=path, together=2)
        assert (estimates(resumed), sorted(map(repr, texts(resumed)))) == (estimates(whole), sorted(map(repr, texts(whole))))
        assert len(path.read_text().splitlines()) == len(lines)


def test_what_is_there_is_not_made_again(tmp_path):
    path = tmp_path / "texts.jsonl"
    first = compared(save=path)
    before = path.read_bytes()
    counting = Counting(table())
    again = compared(un.LanguageModel(counting, Letters(), LM.name), save=path)
    assert path.read_bytes() == before
    assert estimates(again) == estimates(first)
    assert [row.cost for row in again.rows] == [row.cost for row in first.rows]
    counting.forwards = 0
    compared(un.LanguageModel(counting, Letters(), LM.name), save=path, metrics=["length"])
    assert counting.forwards == 0
    for other in ({"max_new_tokens": 5}, {"seeds": (1,)}, {"prompts": ["bb"]}, {"decoders": ["sample(1)"]}, {"lm": model(0, vocabulary=7)}):
        compared(**{"save": path} | other)
        assert path.read_bytes().startswith(before)
        assert len(path.read_bytes()) > len(before), other
        path.write_bytes(before)


def test_a_torn_end_is_cut_off_and_made_again(tmp_path):
    path = tmp_path / "texts.jsonl"
    whole = compared(save=path)
    data = path.read_bytes()
    for cut in (3, 40, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:cut])
        assert estimates(compared(save=path)) == estimates(whole)
        assert len(list(GenerationFile(path).generations())) == len(whole.generations)
    path.write_bytes(data + data[:40] + b"x" * 99999)
    more = compared(save=path, decoders=["greedy"], seeds=[9], metrics=["length"])
    assert len(list(GenerationFile(path).generations())) == len(whole.generations) + len(more.generations)
    assert b"xxx" not in path.read_bytes()


@pytest.mark.parametrize("content", ["hello\n", "hello", '{"unspool_trace": 1}\n', "[1]\n", '{"unspool_generation": 99}\n', "\n"])
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "other.txt"
    path.write_text(content)
    with pytest.raises(un.UnspoolError, match=r"line 1 of .*other.txt (is no generation|has format 99)"):
        compared(save=path)
    assert path.read_text() == content


def test_a_batch_with_a_line_missing_is_refused(tmp_path):
    path = tmp_path / "texts.jsonl"
    compared(save=path, together=2)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[1:]))
    with pytest.raises(un.UnspoolError, match="lacks texts of a batch before line 2"):
        list(GenerationFile(path).generations())


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(un.UnspoolError, match=r"cannot write .*: it is a folder"):
        compared(save=tmp_path)
    with pytest.raises(un.UnspoolError, match="cannot write"):
        compared(save=tmp_path / "no" / "file.jsonl")


def test_lines_say_how_a_text_was_made(tmp_path):
    path = tmp_path / "texts.jsonl"
    found = compared(save=path, decoders={"hot": "temperature(2) | sample(1)"})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert found.to_jsonl() == path.read_text()
    for line, g in zip(lines, found.generations, strict=True):
        assert (line["decoder"], line["recipe"]["decoder"], line["recipe"]["seed"]) == ("hot", "temperature(2) | sample", g.seed)
        assert line["model"] == {"name": LM.name, "fingerprint": None, "tokenizer": LM.tokenizer.hash}
        assert line["logprob"] == pytest.approx(sum(line["logprobs"]))
        assert line["metrics"]["length"] == sum(t != END for t in line["tokens"])
        assert LM.generate(line["prompt"], line["recipe"]["decoder"], seed=line["seed"], max_new_tokens=6).tokens == line["tokens"]


def test_decoders_with_live_objects_are_not_taken_from_a_file(tmp_path):
    path = tmp_path / "texts.jsonl"
    for seed in (1, 2):
        before = path.stat().st_size if path.exists() else 0
        compared(model(0, end_tokens=()), ["ab"], [un.Speculative(table(seed, end_tokens=()))], save=path, seeds=1)
        assert path.stat().st_size > before


# --- what is shown ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [40, 60, 80, 132])
def test_tables_fit_the_screen(width):
    found = compared(reference=[("a", "abcabc")])
    assert "The reference has fewer than 10 texts" in str(found)
    shown = found.to_text(width)
    assert max(map(len, shown.splitlines())) <= width
    for name in (*ALL, *(row.name.split(" | ")[0] for row in found.all_rows)):
        assert name in shown


def test_few_prompts_mark_no_difference():
    def marked(comparison):
        return [c for _, _, _, lines in tables(comparison) for line in lines for c in line if c[2]]

    some = compared(decoders=["greedy", "temperature(9) | sample(1)"])
    assert not marked(some)
    assert "too narrow" in some.to_text()
    many = compared(prompts=[c + d for c in "abcde" for d in "abc"][: FEWEST + 2], decoders=["greedy", "temperature(9) | sample(1)"])
    assert marked(many)
    assert "too narrow" not in many.to_text()
    one = compared(prompts=["abc"])
    assert "no interval" in one.to_text()
    assert "[" not in one.to_text().split("\n\n")[1]


def test_forms_hold_the_same_numbers():
    found = compared()
    row = found["beam(3, n=2)"]
    assert f"{row.values['perplexity'].value:.2f}" in found.to_markdown()
    assert f"{row.values['perplexity'].value:.2f}" in found.to_html()
    assert f"{row.values['perplexity'].value:.6g}" in found.to_csv()
    one = found.to_dict()["rows"][1]
    assert (one["perplexity"], one["perplexity_low"]) == (row.values["perplexity"].value, row.values["perplexity"].low)
    assert (one["perplexity_difference"], one["forwards"]) == (row.differences["perplexity"].value, row.cost.forwards)
    assert str(found) == found.to_text()
    with pytest.raises(un.ParameterError, match="there is no row"):
        found["beam"]


def test_data_frame():
    pytest.importorskip("pandas")
    found = compared(decoders=["greedy", "beam(2)"])
    frame = found.to_pandas()
    assert frame.loc["beam(2)", "perplexity"] == found["beam(2)"].values["perplexity"].value
    assert frame.loc["beam(2)", "forwards"] == found["beam(2)"].cost.forwards


def test_texts_are_data():
    found = compared(decoders={"<b>|`x`": "greedy", "*\x1b[2J": "sample(1)"}, metrics=["length"])
    assert "<b>" not in found.to_html()
    assert "<b>" not in found.to_markdown().replace("\\<", "")
    assert "\x1b" not in found.to_text()


def test_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    found = compared(decoders=DECODERS[:3])
    found.plot(tmp_path / "a.svg")
    svg = (tmp_path / "a.svg").read_text()
    for expected in ("diversity", "perplexity", "beam(3, n=2)", "8 texts of 4 prompts", "95 %", "prefers-color-scheme: dark"):
        assert expected in svg
    found.plot(tmp_path / "b.png", x="length", y="entropy")
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
    assert found.plot().axes[0].get_xlabel().startswith("diversity")
    for wrong, said in (({"x": "lenth"}, "length"), ({"x": "length", "y": "length"}, "one metric against another")):
        with pytest.raises(un.UnspoolError, match=said):
            found.plot(**wrong)
    with pytest.raises(un.ParameterError, match=r"\.svg"):
        found.plot(tmp_path / "c.bmp")
    with pytest.raises(un.ParameterError, match="only length"):
        compared(metrics=["length"]).plot()


@pytest.mark.parametrize("more", range(0, 30, 3))
def test_a_label_of_a_picture_breaks_before_its_count_not_within_it(more):
    pytest.importorskip("matplotlib")
    from unspool.views import compare_plot as plot

    label = "temperature(0.8) | top_k(50) | top_p(0.95)" + " x" * more + " (1 text of 1 prompt)"
    lines = plot._fitted(label, 4.5).split("\n")
    assert " ".join(lines) == label
    assert all(plot._inches(line) <= 4.5 for line in lines)
    assert lines[-1].endswith("(1 text of 1 prompt)")



@pytest.mark.parametrize("count", [2, 6, 14])
@pytest.mark.parametrize("name", ["{}", "repetition_penalty(1.{}) | temperature(0.8) | top_k(50) | top_p(0.95) | sample", "M{}" * 90])
def test_the_legend_of_a_picture_is_whole(count, name):
    pytest.importorskip("matplotlib")
    found = compared(decoders={name.replace("{}", str(i)): f"top_k({i + 1}) | sample" for i in range(count)})
    figure = found.plot()
    figure.draw_without_rendering()
    (legend,), (axis,), whole = figure.legends, figure.axes, figure.bbox
    for part in (legend, axis):
        box = part.get_tightbbox()
        assert 0 <= box.x0 <= box.x1 <= whole.x1
        assert 0 <= box.y0 <= box.y1 <= whole.y1
    assert len(legend.get_texts()) == count
    assert axis.bbox.height > 200, "a long legend makes the picture longer, not the axes smaller"
    assert not axis.get_tightbbox().overlaps(legend.get_tightbbox())
    drawn = {(line.get_color(), line.get_marker()) for line in axis.lines if line.get_marker() not in ("|", "_")}
    assert len(drawn) == count, "no two look alike"


def test_without_matplotlib_one_line_says_how_to_get_it(monkeypatch):
    found = compared(decoders=["greedy"])
    monkeypatch.delitem(sys.modules, "unspool.views.plot", raising=False)
    for name in [n for n in sys.modules if n.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(un.MissingExtra, match=r"unspool\[plot\]"):
        found.plot()


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"prompts": []}, "at least one prompt"),
        ({"prompts": ["ab", "c", "ab"]}, "prompt 3 is prompt 1 again"),
        ({"prompts": [[1, 2]]}, "prompts are texts"),
        ({"prompts": "a" * 99}, "context"),
        ({"decoders": []}, "at least one decoder"),
        ({"decoders": "greedy"}, "a list of decoders"),
        ({"decoders": ["greedy", "top_p(0.9)", "greedy()"]}, "decoder 3, greedy, is greedy again"),
        ({"decoders": {"a": "sample(2)", "b": "sampling(2)"}}, "decoder 2, b, is a again"),
        ({"decoders": ["greedi"]}, "did you mean greedy"),
        ({"seeds": 0}, "at least 1"),
        ({"seeds": []}, "seeds is empty"),
        ({"seeds": [1, 1]}, "a seed is there twice"),
        ({"seeds": [1.5]}, "whole numbers"),
        ({"seeds": "3"}, "how many, or a list"),
        ({"metrics": []}, "metrics is empty"),
        ({"metrics": ["perplexty"]}, "did you mean perplexity"),
        ({"metrics": "perplexity"}, "a list of names"),
        ({"metrics": ["judge_perplexity"]}, "needs a second model"),
        ({"unit": "letters"}, "words, tokens"),
        ({"together": 0}, "together"),
        ({"reference": [""]}, "reference text is empty"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
    ],
)
def test_bad_input_is_said_in_one_line(wrong, said, tmp_path):
    with pytest.raises(un.UnspoolError, match=said) as error:
        compared(model(0, context=50), **{"save": tmp_path / "f.jsonl"} | wrong)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "f.jsonl").exists()


def test_metrics_of_one_name_are_refused():
    from unspool.lab.registry import metric_named

    with pytest.raises(un.ParameterError, match="two metrics are called 'length'"):
        check_metrics([replace(metric_named("length"), decimals=3), "length"], MetricsGiven())


# --- prompts without a text ---------------------------------------------------------------------------------------------

DEAD = {"some": "allowed(3) | encoder_no_repeat_ngram(1) | sample(2)", "greedy": "greedy", "all": "allowed(1) | banned(1) | sample"}
"""After "aebcdb" the first comes to no text; the last never comes to one."""


@pytest.mark.parametrize("order", [("some", "greedy", "all"), ("all", "some", "greedy")])
def test_prompts_that_come_to_no_text_are_counted_and_named_and_not_tried_again(order, tmp_path):
    path, decoders = tmp_path / "texts.jsonl", {name: DEAD[name] for name in order}
    found = compared(decoders=decoders, save=path, seeds=2, together=3)
    assert {row.name: (row.prompts, row.texts, row.failed) for row in found.rows} == {
        "some": (3, 12, 2), "greedy": (4, 4, 0), "all": (0, 0, 8)
    }  # fmt: skip
    assert [(g.prompt, g.number, g.text, g.tokens) for g in found.generations if g.failure and g.decoder == "some"] == [
        ("aebcdb", 0, "", [])
    ] * 2
    alone = compared(decoders=[DEAD["some"]], prompts=[p for p in PROMPTS if p != "aebcdb"], seeds=2)
    assert repr(found["some"].values) == repr(alone.rows[0].values), "the metrics are those of the others"
    assert all(math.isnan(e.value) for e in found["all"].values.values())
    shown = " ".join(str(found).split())
    assert "some came to no text 2 times, after 'aebcdb'" in shown
    assert "all came to no text 8 times, after 'abc', 'c', 'aebcdb' and 1 more prompts" in shown
    assert "without text" in shown
    assert "prompts are done" not in shown
    assert [line["failed"] for line in found.to_dict()["rows"]] == [found[name].failed for name in order]
    assert ",failed," in found.to_csv()
    assert "no text: no hypothesis is left" in to_page(found)
    assert found._repr_html_()
    assert "without text" in found.to_markdown()
    before = path.read_bytes()
    assert sorted(found.to_jsonl().splitlines()) == sorted(before.decode().splitlines())
    again = compared(decoders=decoders, save=path, seeds=2, together=3)
    assert path.read_bytes() == before
    assert texts(again) == texts(found)
    assert estimates(again) == estimates(found)
    assert "without text" not in str(compared(decoders=["greedy"]))
