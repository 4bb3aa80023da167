"""Whole numbers as far off as one likes, in every option of every command: a result, or one line that says what is wrong."""

import click
import pytest
from helpers.program import called, one_line, refusal

import unspool as un
from unspool.cli.options import Seed
from unspool.cli.program import COMMANDS, app

FEW = ["--max-new-tokens", "2"]
CALLS = {
    "generate": ["a", *FEW],
    "steps": ["a", "-n", "2"],
    "tree": ["a", *FEW],
    "heat": ["a", *FEW],
    "why": ["a"],
    "explore": ["a"],
    "score": ["a", "b"],
    "compare": ["a", "-d", "greedy", *FEW],
    "sweep": ["-d", "top_p({0.5,0.9})", *FEW],
    "plot": ["entropy", "a", *FEW],
    "explain": ["top_p"],
    "translate": ["--to", "vllm", "-d", "top_p(0.5)"],
}
"""What makes a call of a command whole."""
NUMBERS = (click.types.IntParamType, Seed)
FAR = [
    (name, parameter.opts[0])
    for name in CALLS
    for parameter in app.get_command(None, name).params
    if isinstance(parameter, click.Option) and (isinstance(parameter.type, NUMBERS) or parameter.name == "seeds")
]


def test_every_command_with_numbers_is_called():
    serving = ("lab", "serve", "lm-eval")                                 # these would not end
    has = [n for n in COMMANDS if n not in serving and any(isinstance(p.type, NUMBERS) for p in app.get_command(None, n).params)]
    assert has == [name for name in COMMANDS if name in CALLS]


@pytest.mark.parametrize(("name", "option"), FAR, ids=lambda value: value)
def test_far_numbers(name, option, tmp_path):
    if (name, option) == ("plot", "--max-new-tokens"):
        pytest.skip("the bundled model writes until its context is full")
    for number in ("1" + "0" * 20, "1" + "0" * 5000):
        place = ["--output-file", str(tmp_path / "p.svg")] if name == "plot" else []
        code, _, said = called(name, *CALLS[name], *place, option, number)
        assert code in (0, 2)
        assert code == 0 or one_line(said)
        assert "out of memory" not in said


def test_a_seed_in_place_of_how_many_is_told_how_it_is_written():
    for command in (["sweep", "--metrics", "diversity"], ["compare", "a", "-d", "greedy"]):
        for number in ("2000000000", "10001"):
            assert f"the seed {number} alone is a list, [{number}], or --seeds {number}," in refusal(*command, "--seeds", number)
    for seeds in (10**20, 10_001, range(10_001)):
        with pytest.raises(un.ParameterError, match=r"10001 seeds|more than 10000"):
            un.compare(un.load(), "a", ["greedy"], seeds=seeds)
