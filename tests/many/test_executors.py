"""Whoever runs the units, and whoever of them is killed: the same file."""

import importlib.util
import os
import random
import sys
from itertools import islice
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))                            # workers import it by this name, too
from toys import broken, different, dying, opening, toy

import unspool as un
from unspool.many.executors.order import AHEAD, LOSSES, Lost, in_order
from unspool.many.run import SavingRun
from unspool.many.scoring import score_many
from unspool.many.unit import GivenPrompt, Unit, UnitTexts

RAY = pytest.param("ray", marks=pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray"))
ELSEWHERE = ["processes", RAY]
DECODERS = ["greedy", "temperature(1.2) | sample(2)"]


@pytest.fixture(scope="module")
def cluster():
    """Ray on this machine, one for all tests here; its workers find what these tests find."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    import ray

    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture(params=ELSEWHERE)
def engine(request):
    if request.param == "ray":
        request.getfixturevalue("cluster")
    return request.param


def prompts(count, seed=0):
    draw = random.Random(seed)
    return [[draw.randrange(1, 7) for _ in range(draw.randrange(1, 12))] for _ in range(count)]


def run(lm, path, count=30, **options):
    return un.run(lm, prompts(count), DECODERS, save=path, unit=4, max_new_tokens=6, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "t.jsonl"
    run(toy(), path)
    return path.read_bytes()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("workers", [1, 3])
def test_the_file_is_the_same_whoever_runs_it(engine, workers, whole, tmp_path):
    run(opening(toy), tmp_path / "t.jsonl", engine=engine, workers=workers)
    assert (tmp_path / "t.jsonl").read_bytes() == whole


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(("workers", "times", "after"), [(1, 1, 3), (2, 2, 20), (3, 4, 9)])
def test_killed_workers_lose_nothing_and_are_replaced(engine, workers, times, after, whole, tmp_path):
    died = tmp_path / "died"
    died.mkdir()
    run(opening(dying, str(died), times, after), tmp_path / "t.jsonl", engine=engine, workers=workers)
    assert len(list(died.iterdir())) >= times
    assert (tmp_path / "t.jsonl").read_bytes() == whole


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_unit_that_always_kills_its_worker_is_an_error(engine, tmp_path):
    died = tmp_path / "died"
    died.mkdir()
    with pytest.raises(un.UnspoolError, match=f"{LOSSES} workers were lost over greedy from prompt 1 to prompt 4"):
        run(opening(dying, str(died), 99, 1), tmp_path / "t.jsonl", engine=engine, workers=1)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_model_that_cannot_be_opened_is_its_own_error(engine, tmp_path):
    with pytest.raises(un.ModelError, match="there are no weights here"):
        run(opening(broken), tmp_path / "t.jsonl", engine=engine, workers=2)
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_workers_with_different_models_are_refused(engine, tmp_path):
    with pytest.raises(un.ModelError, match="two workers opened different models"):
        run(opening(different, ""), tmp_path / "t.jsonl", engine=engine, workers=2)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_begun_by_one_engine_and_ended_by_another(engine, whole, tmp_path):
    path = tmp_path / "t.jsonl"
    begun = SavingRun(opening(toy), prompts(30), DECODERS, save=path, unit=4, max_new_tokens=6, engine=engine, workers=2)
    for _ in islice(begun, 3):
        pass
    assert 0 < path.stat().st_size < len(whole)
    assert whole.startswith(path.read_bytes())
    run(toy(), path)
    assert path.read_bytes() == whole


def test_what_no_worker_can_have_is_refused(tmp_path):
    with pytest.raises(un.Unsupported, match="was not opened by a name"):
        run(toy(), tmp_path / "t.jsonl", engine="processes")
    with pytest.raises(un.Unsupported, match="holds an object of this process"):
        un.run(opening(toy), prompts(3), un.Speculative(toy(1)), save=tmp_path / "t.jsonl", engine="processes")
    assert not list(tmp_path.iterdir())


# --- the order, with workers that are only pretended ----------------------------------------------------------------------


class Pretended:
    """Workers that finish in a random order, and are lost at random."""

    def __init__(self, size, seed, losing):
        self.size, self.draw, self.losing, self.work, self.most = size, random.Random(seed), losing, [], 0

    def give(self, unit):
        self.work.append(unit)
        assert len(self.work) <= self.size

    def wait(self):
        unit = self.work.pop(self.draw.randrange(len(self.work)))
        lost = self.losing.get(unit.number, 0)
        self.losing[unit.number] = lost - 1
        return [(unit, Lost() if lost > 0 else UnitTexts([], 0.0))]


@pytest.mark.parametrize("seed", range(8))
def test_units_come_in_their_order_and_few_are_out(seed):
    draw = random.Random(seed)
    size = draw.randrange(1, 6)
    read, back = [], 0

    def units():
        for number in range(0, 200, 1 + seed % 2):                        # numbers may have gaps
            read.append(number)
            yield Unit(number, "greedy", "greedy", {}, (GivenPrompt(number, "x", where="here"),))

    workers = Pretended(size, seed, {number: draw.randrange(LOSSES) for number in range(0, 200, 7)})
    for unit, _ in in_order(units(), workers):
        assert unit.number == read[back]
        back += 1
        assert len(read) - back <= AHEAD * size
    assert back == len(read) == len(range(0, 200, 1 + seed % 2))


def test_an_error_of_the_input_comes_behind_the_units_before_it():
    def units():
        for number in range(5):
            yield Unit(number, "greedy", "greedy", {}, (GivenPrompt(number, "x"),))
        raise un.PromptError("line 6")

    work = in_order(units(), Pretended(2, 0, {}))
    assert [unit.number for unit, _ in islice(work, 5)] == [0, 1, 2, 3, 4]
    with pytest.raises(un.PromptError, match="line 6"):
        next(work)


# --- compare ------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_comparison_is_the_same_whoever_runs_it(engine, tmp_path):
    texts = [" ".join(map(str, p)) for p in prompts(9)]
    died = tmp_path / "died"
    died.mkdir()
    asked = {"seeds": 2, "max_new_tokens": 5, "metrics": ["perplexity", "length"], "together": 2, "save": tmp_path / "elsewhere.jsonl"}
    here = un.compare(toy(), texts, DECODERS, **(asked | {"save": None}))
    workers = {"engine": engine, "workers": 2, "opening": opening(dying, str(died), 1, 8)}
    there = un.compare(toy(), texts, DECODERS, **asked, **workers)
    assert list(died.iterdir())
    assert [row.values for row in there.rows] == [row.values for row in here.rows]
    assert [(g.prompt, g.seed, g.tokens) for g in there.generations] == [(g.prompt, g.seed, g.tokens) for g in here.generations]
    again = un.compare(toy(), texts, DECODERS, **asked)
    assert [row.values for row in again.rows] == [row.values for row in here.rows]


# --- score --------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_scores_are_the_same_whoever_makes_them(engine, tmp_path):
    pairs = [(" ".join(map(str, p)), " ".join(map(str, q))) for p, q in zip(prompts(50, 1), prompts(50, 2), strict=True)]
    died = tmp_path / "died"
    died.mkdir()
    here = [score for some in score_many(toy(), pairs) for score in some]
    there = list(score_many(opening(dying, str(died), 1, 2), pairs, engine=engine, workers=2))
    assert list(died.iterdir())
    assert [score for some in there for score in some] == here
    assert [score.text for score in here] == [text for _, text in pairs]


def test_scoring_refuses_before_a_model_is_opened():
    with pytest.raises(un.PromptError, match="the continuation is empty"):
        list(score_many(opening(broken), [("1", "2"), ("1", "")], engine="processes"))
    with pytest.raises(un.ParameterError, match="engine is one of"):
        list(score_many(toy(), [("1", "2")], engine="threads"))
