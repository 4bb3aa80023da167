"""Every law of strategies is seen to fail, on strategies that are each broken in one way; their names begin with _, so that no text
form knows them."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

import unspool as un
from unspool.models.toy import TableModel, TableSession
from unspool.testing import LawBroken, check_strategy, strategies as laws
from unspool.testing.strategies import Trial
from unspool.testing.worlds import table


def best(frontier, k=1):
    """The k likeliest tokens of every row."""
    return frontier.top(k)[1]


class _Named:
    def __str__(self):
        return type(self).__name__


@dataclass(frozen=True)
class _Whole(_Named, un.Strategy):
    """Greedy search, with nothing wrong."""

    def choose(self, frontier):
        return un.Choice(best(frontier)[:, 0], frontier.rows)


@dataclass(frozen=True)
class _DependsOnOrder(_Named, un.Strategy):
    """Every other row takes its second token."""

    def choose(self, frontier):
        rows = np.arange(len(frontier))
        return un.Choice(best(frontier, 2)[rows, rows % 2], frontier.rows)


@dataclass(frozen=True)
class _RowsLeak(_Named, un.Strategy):
    """Two rows for all prompts together, so that those of one push out another's."""

    def run(self, frontier):
        while len(frontier):
            values, tokens = frontier.top(2)
            found = frontier.candidates(values + frontier["score"][:, None], tokens, by=np.zeros(len(frontier), np.int64)).best(2)
            frontier = yield un.Choice(found.tokens, found.parents, found.score)


@dataclass(frozen=True)
class _DrawsFromAGlobalGenerator(_Named, un.Strategy):
    def choose(self, frontier):
        return un.Choice(frontier.draw(np.random.random(len(frontier))), frontier.rows)


@dataclass(frozen=True)
class _SeedsTheGlobalGenerator(_Whole):
    """It chooses without a draw, and yet touches what belongs to all."""

    def choose(self, frontier):
        np.random.seed(0)
        return super().choose(frontier)


@dataclass(frozen=True)
class _KeepsStateInSelf(_Named, un.Strategy):
    """Every third choice, of whatever run, is the second best."""

    def choose(self, frontier):
        object.__setattr__(self, "calls", getattr(self, "calls", 0) + 1)
        return un.Choice(best(frontier, 2)[:, int(self.calls % 3 == 0)], frontier.rows)


@dataclass(frozen=True)
class _MindsTheSeedOnce(_Named, un.Strategy):
    """State in self that only another run of the same prompt shows."""

    def run(self, frontier):
        seen = self.__dict__.setdefault("seen", {})
        key = frontier["prompt"].size, tuple(frontier.tokens(0).tolist())
        seen[key] = seen.get(key, 0) + 1
        which = int(len(frontier) == 1 and seen[key] == 2)
        while len(frontier):
            frontier = yield un.Choice(best(frontier, 2)[:, which], frontier.rows)


@dataclass(frozen=True)
class _OneLimitForAll(_Named, un.Strategy):
    """What is left of the longest limit decides for all."""

    def choose(self, frontier):
        return un.Choice(best(frontier, 2)[:, int(frontier.left.max() > 3)], frontier.rows)


@dataclass(frozen=True)
class _SeesAnotherRow(_Named, un.Strategy):
    """It commits the best token, and what it saw after the second best."""

    def run(self, frontier):
        while len(frontier):
            tokens = best(frontier, 2)
            seen = yield un.Look(frontier, tokens[:, 1])
            frontier = yield un.Choice(tokens[:, 0], frontier.rows, seen=seen)


@dataclass(frozen=True)
class _PrettifiesNumbers(_Whole):
    """Ranking, it makes log-probabilities better than they are."""

    def rank(self, finished):
        return [replace(h, logprobs=[x / 2 for x in h.logprobs]) for h in finished]


@dataclass(frozen=True)
class _RenamesEnds(_Whole):
    """Ranking, it says that every text came to its end."""

    def rank(self, finished):
        return [replace(h, reason="end") for h in finished]


@dataclass(frozen=True)
class _ChangesItsMind(_Named, un.Strategy):
    """Where nothing ends a text, it returns another than it has grown."""

    def choose(self, frontier):
        return un.Choice(best(frontier)[:, 0], frontier.rows, columns={"endless": np.full(len(frontier), not frontier.end_tokens)})

    def rank(self, finished):
        return [replace(h, tokens=[(t + 1) % 5 for t in h.tokens]) if h.columns["endless"] else h for h in finished]


@dataclass(frozen=True)
class _MindsTheRecord(_Named, un.Strategy):
    """Where it is recorded, it does something else."""

    def choose(self, frontier):
        return un.Choice(best(frontier, 2)[:, int(frontier.records)], frontier.rows)


@dataclass(frozen=True)
class _FailsOnTheDead(_Whole):
    """It takes for granted that something may come."""

    def choose(self, frontier):
        assert np.isfinite(frontier.top(1)[0]).all(), "nothing may come"
        return super().choose(frontier)


@dataclass(frozen=True)
class _DiesWithTheDead(_Whole):
    """Where one prompt has died, all do."""

    def run(self, frontier):
        while len(frontier) and np.isfinite(frontier.top(1)[0]).all():
            frontier = yield self.choose(frontier)


@dataclass(frozen=True)
class _GrowsMoreThanItSays(_Named, un.Strategy):
    def run(self, frontier):
        frontier = frontier.fork(3, "which")
        while len(frontier):
            frontier = yield un.Choice(best(frontier)[:, 0], frontier.rows)

    def most_rows(self):
        return 2


@dataclass(frozen=True)
class _FindsMoreThanItSays(_Named, un.Strategy):
    def begin(self, frontier):
        return frontier.fork(3, "which")

    def choose(self, frontier):
        return un.Choice(best(frontier)[:, 0], frontier.rows)

    def most_texts(self):
        return 2


@dataclass(frozen=True)
class _CountsItsRounds(_Named, un.Strategy):
    """It says that new prompts may join, and counts rounds for all of its rows together."""

    joins = True

    def run(self, frontier):
        odd = 0
        while len(frontier):
            frontier = yield un.Choice(best(frontier, 2)[:, odd], frontier.rows)
            odd = 1 - odd


@dataclass(frozen=True)
class _RowIsPrompt(_Named, un.Strategy):
    """A row for each prompt, it believes."""

    def run(self, frontier):
        while len(frontier):
            row_of = dict(zip(frontier["prompt"].tolist(), frontier.rows.tolist()))
            at = [frontier.rows.tolist().index(row) for row in row_of.values()]
            frontier = yield un.Choice(best(frontier)[at, 0], frontier.rows[at])

    def rank(self, finished):
        assert len(finished) < 2, "more texts than prompts"
        return finished


@dataclass(frozen=True)
class _YieldsRows(_Named, un.Strategy):
    def run(self, frontier):
        yield frontier.rows


@dataclass(frozen=True)
class _GrowsTheDead(_Named, un.Strategy):
    """It grows rows that have grown already."""

    def run(self, frontier):
        rows = frontier.rows
        while len(frontier):
            frontier = yield un.Choice(best(frontier)[:, 0], rows[: len(frontier)])


@dataclass(frozen=True)
class _AroundWhatChooses(_Named, un.Around):
    """It asks the strategy inside for choices, which not every strategy makes so."""

    then: un.Strategy = un.Greedy()  # noqa: RUF009

    def run(self, frontier):
        while len(frontier):
            frontier = yield self.then.choose(frontier)


@dataclass(frozen=True)
class _AroundOneRow(_Named, un.Around):
    """After each token it lets the strategy inside begin again, with a row that is kept waiting and grows twice."""

    then: un.Strategy = un.Greedy()  # noqa: RUF009

    def run(self, frontier):
        tokens = best(frontier, 2)
        frontier = yield un.Choice(tokens.ravel(), np.repeat(frontier.rows, 2))
        if len(frontier):
            yield from self.then.run(frontier.take(np.argsort(-frontier["score"])))
            if not isinstance(self.then, un.Greedy):
                yield un.Choice([0], frontier.rows[:1])


BROKEN = {
    _DependsOnOrder(): "batch is alone",
    _RowsLeak(): "batch is alone",
    _DrawsFromAGlobalGenerator(): "batch is alone|the same seed gives the same texts",
    _SeedsTheGlobalGenerator(): "no global generator is touched",
    _KeepsStateInSelf(): "batch is alone|the same seed gives the same texts",
    _MindsTheSeedOnce(): "the same seed gives the same texts|prompts have limits of their own",
    _OneLimitForAll(): "prompts have limits of their own",
    _SeesAnotherRow(): "it runs",
    _PrettifiesNumbers(): "steps add up",
    _RenamesEnds(): "the record tells the texts",
    _ChangesItsMind(): "pieces join to the text",
    _MindsTheRecord(): "recording changes no text",
    _FailsOnTheDead(): "prompts die alone",
    _DiesWithTheDead(): "prompts die alone",
    _GrowsMoreThanItSays(): "most_rows is true",
    _FindsMoreThanItSays(): "most_texts is true",
    _CountsItsRounds(): "no text depends on how many run at once",
    _RowIsPrompt(): "inside another strategy, ",
    _YieldsRows(): "it runs",
    _GrowsTheDead(): "it runs",
    _AroundWhatChooses(): "with Sample inside, ",
    _AroundOneRow(): "with Sample inside, ",
}


def caught(check, expected):
    with pytest.raises(LawBroken) as error:
        check()
    assert any(law in error.value.law for law in expected.split("|")), error.value
    assert f"breaks the law {error.value.law!r}" in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("part", BROKEN, ids=str)
def test_a_broken_strategy_is_caught_by_name(part):
    assert str(part) in caught(lambda: check_strategy(part), BROKEN[part])


def test_a_stream_that_is_not_what_is_collected_is_caught():
    trial = Trial(un.Decoder((_KeepsStateInSelf(),)), table(1), [[1], [2], [3]])
    caught(lambda: laws.a_stream_is_what_is_collected(trial), "a stream is what is collected")


class NeverForgets(TableSession):
    def keep(self, rows):
        pass


def test_rows_that_are_never_freed_are_caught():
    model = TableModel.random(6, end_tokens=(5,))
    model.session = lambda plan=un.NO_PLAN: NeverForgets(model, plan)
    caught(lambda: check_strategy(un.Greedy(), model=model), "rows are freed|prompts die alone")
    caught(lambda: laws.rows_are_freed(Trial(un.Decoder((un.Greedy(),)), model, [[1], [2]])), "rows are freed")


def test_a_record_that_lies_is_caught():
    trial = Trial(un.Decoder((un.Beam(2),)), table(1), [[1], [2]])
    step = trial.alone[0].steps[1]
    step.considered.logprobs[0, 0] += 0.1
    caught(lambda: laws.the_record_is_the_models(trial), "the record's numbers are the model's")
    step.considered.logprobs[0, 0] -= 0.1
    laws.the_record_is_the_models(trial)
    step.rank = step.rank + 1
    caught(lambda: laws.the_record_is_the_models(trial), "the record's numbers are the model's")
    step.rank = step.rank - 1
    step.dropped["parents"] = np.full_like(step.dropped["parents"], 99)
    caught(lambda: laws.the_record_is_the_models(trial), "the record's numbers are the model's")


def test_a_record_that_depends_on_the_batch_is_caught():
    trial = Trial(un.Decoder((un.Greedy(),)), table(1), [[1], [2]])
    trial.alone[1].steps[0].considered.entropy[0] += 0.1
    assert "considered.entropy" in caught(lambda: laws.batch_is_alone(trial), "batch is alone")


def test_a_whole_strategy_is_not():
    check_strategy(_Whole())
