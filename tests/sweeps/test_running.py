"""What is run: texts as compare's, whoever runs them; halving; a sweep that is broken off anywhere ends as one that was not."""

import importlib.util
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import pytest
from helpers.program import PROGRAM, environment

sys.path.insert(0, str(Path(__file__).parents[1] / "many"))               # workers import it by this name, too
from toys import different, dying, opening, toy

import unspool as un
from unspool.sweeps import plan as planning
from unspool.sweeps.sweeping import Sweeping

RAY = pytest.param("ray", marks=pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray"))
READ = "temperature({0.5,1,2}) | top_p({0.5,0.8,1}) | sample"
DRAWN = "temperature({0.5,1,2}) | {sample(2), greedy}"


def prompts(count=20, seed=0):
    draw = random.Random(seed)
    found = {" ".join(str(draw.randrange(1, 7)) for _ in range(draw.randrange(2, 9))): None for _ in range(3 * count)}
    return list(found)[:count]


TEXTS = [(p, q) for p, q in zip(prompts(20), prompts(20, 1), strict=True)]


@pytest.fixture(autouse=True)
def small_units(monkeypatch):
    """So that a small sweep has many units."""
    monkeypatch.setattr(planning, "PROMPTS_AT_ONCE", 4)
    monkeypatch.setattr(planning, "TOKENS_IN_UNIT", 30)


def read(lm=None, **options):
    return un.sweep(lm or toy(), READ, "epsilon_perplexity,kept", **{"reference": TEXTS} | options)


def drawn(lm=None, **options):
    asked = {"prompts": prompts(), "max_new_tokens": 8, "unit": "tokens", "seeds": 2}
    return un.sweep(lm or toy(), DRAWN, "diversity,perplexity:near=3", **asked | options)


KINDS = [read, drawn]


def told(sweep):
    """All of a sweep but how long it took."""
    found = sweep.to_dict()
    found["cost"] = {k: v for k, v in found["cost"].items() if k not in ("seconds", "units_kept")}
    return json.dumps(found, default=repr)


# --- what is run ------------------------------------------------------------------------------------------------------


def test_drawn_texts_are_those_that_compare_measures():
    lm = toy()
    found = drawn(lm)
    decoders = [row.decoder for row in found.rows]
    names = ["diversity", "perplexity"]
    compared = un.compare(lm, prompts(), decoders, seeds=2, max_new_tokens=8, unit="tokens", metrics=names)
    for row, other in zip(found.rows, compared.rows, strict=True):
        assert dict(zip(names, row.estimates, strict=True)) == other.values
        assert row.spent.new_tokens == other.cost.new_tokens
    assert found.spent.tokens == sum(row.cost.tokens for row in compared.rows)


def test_what_draws_nothing_runs_with_one_seed():
    found = drawn()
    assert {row.decoder: row.spent.new_tokens for row in found.rows if "greedy" in row.decoder} == {
        row.decoder: row.spent.new_tokens for row in drawn(seeds=1).rows if "greedy" in row.decoder
    }


def test_all_settings_have_the_same_draws():
    """Settings that leave the same distributions draw the same texts: the temperature of 1 beside that of 1 and nothing cut."""
    found = un.sweep(toy(), "{temperature(1), top_p(1), min_p(0)} | sample(3)", "perplexity:min", prompts=prompts(), max_new_tokens=8)
    assert len({row.estimates[0].value for row in found.rows}) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_of_units_changes_nothing(kind, monkeypatch):
    found = kind()
    monkeypatch.setattr(planning, "PROMPTS_AT_ONCE", 7)
    monkeypatch.setattr(planning, "TOKENS_IN_UNIT", 2048)
    other = kind()
    assert [row.estimates for row in other.rows] == [row.estimates for row in found.rows]
    assert other.recommended.decoder == found.recommended.decoder


def test_near_human_text_is_near_what_it_has():
    human = [(p, q) for p, q in TEXTS]
    found = un.sweep(toy(), DRAWN, "perplexity", prompts=prompts(), reference=human, max_new_tokens=8, unit="tokens")
    lm = toy()
    goal = found.goals[0]
    assert goal.human
    scores = lm.score([p for p, _ in human], [q for _, q in human])
    kept = [x for s in scores for x, t in zip(s.logprobs[:8], s.tokens[:8], strict=True) if t not in lm.tokenizer.specials]
    assert goal.target == pytest.approx(math.exp(-sum(kept) / len(kept)))
    best = min(found.rows, key=lambda row: abs(row.estimates[0].value - goal.target))
    assert found.best is best
    known = un.compare(lm, prompts(), ["greedy"], max_new_tokens=8, unit="tokens", metrics=["perplexity"], reference=human).reference.values
    one = known["perplexity"]
    assert (goal.target, *goal.between) == (one.value, one.low, one.high)
    wanted = f"that of human text, {one.value:.2f} [{one.low:.2f}, {one.high:.2f}]"
    assert wanted in " ".join(str(found).split())
    assert [found.to_dict()["metrics"][0][name] for name in ("target", "target_low", "target_high")] == [one.value, one.low, one.high]


def test_options_are_said_as_python_writes_them():
    for options, said in (
        ({"bogus": 1}, "unknown option of sweep 'bogus'"),
        ({"max_new_token": 1}, "did you mean max_new_tokens?"),
        ({"prompts": [1] * 12}, "prompts are texts; got 1"),
        ({"search": "random", "settings": 1}, "settings is a whole number >= 2"),
        ({"keep": 3}, "keep goes with search halving"),
        ({"prompts": []}, "give prompts, 10 of them at least"),
        ({"max_new_tokens": 0}, "max_new_tokens needs a whole number >= 1; got 0"),
    ):
        with pytest.raises(un.UnspoolError) as error:
            un.sweep(toy(), DRAWN, "diversity", **{"prompts": prompts()} | options)
        assert said in str(error.value), options
        assert "--" not in str(error.value)
    with pytest.raises(un.UnspoolError, match="judge_perplexity needs a second model; give it by judge"):
        un.sweep(toy(), DRAWN, "judge_perplexity:min", prompts=prompts())
    with pytest.raises(un.UnspoolError, match="unknown option of compare 'bogus'"):
        un.compare(toy(), prompts(), ["greedy"], bogus=1)
    with pytest.raises(un.UnspoolError, match="unknown option of run 'metrics'"):
        un.run(toy(), prompts(), "greedy", save="never.jsonl", metrics=1)


# --- halving ----------------------------------------------------------------------------------------------------------


def test_halving_keeps_the_best_where_every_text_agrees():
    """What a token cut costs orders these settings on every text alike, so no rung can drop the best."""
    texts = [(f"{n} 1 2", " ".join(str(1 + (n * k) % 6) for k in range(1, 9))) for n in range(1, 7)]
    texts += [(f"{n} 3", text) for n, (_, text) in enumerate(texts, 1)] + [(f"{n} 4 4", text) for n, (_, text) in enumerate(texts, 1)]
    options = {"reference": texts, "max_new_tokens": 50}
    whole = un.sweep(toy(), "top_k({1..7 by 1}) | temperature({1..1.001 in 5})", "kept", **options)
    half = un.sweep(toy(), "top_k({1..7 by 1}) | temperature({1..1.001 in 5})", "kept", search="halving", **options)
    assert half.best.decoder == whole.best.decoder
    assert half.best.estimates == whole.best.estimates
    counts = [row.prompts for row in half.rows]
    assert sorted(set(counts)) == [6, 18]
    assert counts.count(18) == 12
    assert all(row.within is False for row in half.rows if row.prompts < 18)


def test_halving_costs_less_and_its_last_rung_is_the_grids():
    whole, half = read(), read(search="halving", keep=2)
    assert sum(row.prompts for row in half.rows) < sum(row.prompts for row in whole.rows)
    for row in half.rows:
        if row.prompts == len(TEXTS):
            assert row.estimates == whole.rows[row.number].estimates


def test_a_budget_says_how_many_are_drawn():
    found = read(search="random", budget=100)
    assert len(found.rows) == 5
    assert {row.decoder for row in found.rows} < {row.decoder for row in read().rows}
    free = un.sweep(toy(), "temperature({0.3..2}) | top_k({1..7})", "kept", reference=TEXTS, search="random", settings=12, seed=5)
    assert len(free.rows) == 12


# --- broken off, and again --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("search", ["grid", "halving"])
def test_a_file_cut_anywhere_ends_the_same(kind, search, tmp_path):
    path = tmp_path / "s.jsonl"
    options = {"search": search, "keep": 2} if search == "halving" else {}
    found = told(kind(save=path, **options))
    assert found == told(kind(**options))
    whole = path.read_bytes()
    assert whole.count(b"\n") > 6
    for cut in [0, 1, 10, *random.Random(3).sample(range(len(whole)), 12), len(whole) - 1, len(whole)]:
        path.write_bytes(whole[:cut])
        assert told(kind(save=path, **options)) == found, cut
        assert path.read_bytes() == whole, cut


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_there_is_not_made_again(kind, tmp_path):
    path = tmp_path / "s.jsonl"
    kind(save=path)
    lm = toy()
    before = lm.model.session
    lm.model.session = lambda *a, **k: pytest.fail("the model was run") if kind is drawn else before(*a, **k)
    again = kind(lm, save=path)
    assert again.kept == path.read_bytes().count(b"\n") - 1
    assert "were in the file" in str(again)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"max_new_tokens": 3}, "max_new_tokens is 8 there and 3 now"),
        ({"prompts": prompts(21)}, "prompts is 20 there and 21 now"),
        ({"prompts": prompts(20, 5)}, "was begun with other prompts; give another file"),
        ({"seeds": 3}, "seeds is [0, 1] there and [0, 1, 2] now"),
        ({"unit": "words"}, "unit is 'tokens' there"),
        ({"search": "halving"}, "search is 'grid' there"),
    ],
)
def test_another_sweep_is_refused_by_name(change, said, tmp_path):
    path = tmp_path / "s.jsonl"
    drawn(save=path)
    before = path.read_bytes()
    with pytest.raises(un.UnspoolError) as error:
        drawn(save=path, **change)
    assert said in str(error.value)
    assert path.read_bytes() == before


def test_another_model_decoder_or_metric_is_refused(tmp_path):
    path = tmp_path / "s.jsonl"
    read(save=path)
    other = toy()
    other.name = "other"
    with pytest.raises(un.UnspoolError, match="the model's name is 'toy' there and 'other' now"):
        read(other, save=path)
    with pytest.raises(un.UnspoolError, match="decoder is"):
        un.sweep(toy(), "top_p({0.5,1})", "epsilon_perplexity,kept", reference=TEXTS, save=path)
    with pytest.raises(un.UnspoolError, match="metrics is"):
        un.sweep(toy(), READ, "js", reference=TEXTS, save=path)


def test_another_file_is_left_as_it_is(tmp_path):
    path = tmp_path / "s.jsonl"
    for text in ("hello\n", '{"unspool_generation": 1}\n', '{"unspool_sweep": 7}\n', '{"unspool_sweep": 1, "unit": 0}\n', "no line break"):
        path.write_text(text)
        with pytest.raises(un.UnspoolError, match=r"line 1 of .* (is none of|has format 7 of) a sweep"):
            read(save=path)
        assert path.read_text() == text


def test_one_writer_at_a_time(tmp_path):
    path = tmp_path / "s.jsonl"
    first = Sweeping(toy(), READ, "js", reference=TEXTS, save=path)
    going = iter(first)
    next(going)
    with pytest.raises(un.UnspoolError, match="another program is writing"):
        un.sweep(toy(), READ, "js", reference=TEXTS, save=path)
    going.close()
    assert un.sweep(toy(), READ, "js", reference=TEXTS, save=path).kept == 1


def test_what_is_finished_so_far_can_be_read():
    for kind, decoder, metrics, options in (
        (read, READ, "js", {"reference": TEXTS}),
        (drawn, DRAWN, "diversity", {"prompts": prompts(), "max_new_tokens": 8}),
    ):
        work = Sweeping(toy(), decoder, metrics, **options)
        for _ in islice(work, 4):
            pass
        assert "not finished" in str(work.result), kind
        assert 0 < work.done < work.plan.total


@pytest.mark.parametrize("search", ["grid", "halving"])
def test_an_unfinished_sweep_compares_what_all_have_and_says_so(search):
    options = {"search": search} | ({"keep": 2} if search == "halving" else {})
    work = Sweeping(toy(), DRAWN, "diversity", prompts=prompts(), max_new_tokens=8, **options)
    with pytest.raises(un.UnspoolError, match="nothing is finished yet"):
        work.result  # noqa: B018
    for _ in work:
        found = work.result
        said = " ".join(str(found).split())
        assert len({row.prompts for row in found.rows if not row.dropped}) == 1
        assert {row.number for row in found.rows if not row.dropped} <= set(work.alive)
        assert not found.recommended.dropped
        assert not found.best.dropped
        assert found.settings["runs"] == work.done
        finished = work.done == work.plan.total
        assert [row["finished"] for row in found.to_dict()["rows"]] == [finished] * len(found.rows)
        dropped = sum(row.dropped for row in found.rows)
        assert ("dropped early" in said) == (dropped > 0)
        assert dropped == 0 or search == "halving"
        some = "" if len(found.rows) == 6 else f" and with {len(found.rows)} of 6 settings"
        lead = "" if finished else f"So far, on {found.reached} of 20 prompts{some}, this is recommended: {found.recommended.decoder}"
        assert lead in said
        assert ("Recommended:" in said) == finished


def test_killed_at_any_time_it_ends_the_same(tmp_path):
    listed = tmp_path / "prompts.txt"
    listed.write_text("".join(f"Once there were {n} kings\n" for n in range(20)))
    arguments = ["sweep", "-f", str(listed), "-d", "temperature({0.5,0.8,1,1.3}) | {sample(2), greedy}", "--metrics", "diversity"]
    arguments += ["--max-new-tokens", "12", "-o", "csv", "--save"]
    whole = subprocess.run([*PROGRAM, *arguments, str(tmp_path / "w")], capture_output=True, env=environment(), check=True).stdout
    draw, kills = random.Random(7), 0
    path = tmp_path / "k"
    while True:
        running = subprocess.Popen([*PROGRAM, *arguments, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        if kills < 4:
            have = path.stat().st_size if path.exists() else 0
            until = time.monotonic() + 20
            while time.monotonic() < until and running.poll() is None and (path.stat().st_size if path.exists() else 0) <= have:
                time.sleep(0.01)
            time.sleep(draw.random() * 0.1)
            running.send_signal(signal.SIGKILL)
            running.communicate()
            kills += 1
            continue
        found, said = running.communicate()
        assert (running.returncode, said) == (0, b"")
        break
    assert found == whole
    assert path.read_bytes() == (tmp_path / "w").read_bytes()


# --- whoever runs it --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster():
    """Ray on this machine, one for all tests here; its workers find what these tests find."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    import ray

    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture(params=["processes", RAY])
def engine(request):
    if request.param == "ray":
        request.getfixturevalue("cluster")
    return request.param


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_whoever_runs_it_and_whoever_is_killed_the_file_is_the_same(kind, engine, tmp_path):
    found = told(kind(save=tmp_path / "here.jsonl"))
    died = tmp_path / "died"
    died.mkdir()
    there = kind(save=tmp_path / "there.jsonl", engine=engine, workers=2, opening=opening(dying, str(died), 1, 2))
    assert list(died.iterdir())
    assert told(there) == found
    assert (tmp_path / "there.jsonl").read_bytes() == (tmp_path / "here.jsonl").read_bytes()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_workers_with_another_model_are_refused():
    with pytest.raises(un.ModelError, match="the workers opened another model"):
        read(engine="processes", workers=1, opening=opening(different, ""))
