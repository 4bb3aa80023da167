"""A run that is refused or fails leaves no file half written, no new one, and the old one as it was."""

import pytest
from helpers.program import called, tiny_folder

DYING = ("-d", "allowed(5) | no_repeat_ngram(1)")
"""One token comes, and no second."""
REFUSED = [
    ("-d", "nothing_of_the_kind"),
    ("-d", "top_p(7)"),
    ("-d", "greedy", "-m", "no/such/folder"),
    ("-d", "follow(' ', token_ids=(1, 2))"),
    ("-d", "backtrack(follow(' a king'), ' a')"),                       # fails as it runs
]
COMMANDS = [
    ("generate", "--trace"),
    ("generate", "--output-file"),
    ("compare", "--save"),
    ("compare", "--plot"),
    ("compare", "--output-file"),
    ("why", "--trace"),
    ("steps", "--trace"),
    ("tree", "--trace"),
    ("heat", "--trace"),
    ("tree", "--output-file"),
]
NAMES = {"--plot": "file.svg"}


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    return tiny_folder(tmp_path_factory.mktemp("models") / "broken", broken=True)


def arguments_of(command, option, file, some):
    length = ("-n" if command in ("why", "steps") else "--max-new-tokens", "4")
    return (command, "Once upon a time", *some, option, str(file), *length, *(("--seeds", "1") if command == "compare" else ()))


@pytest.mark.parametrize("before", [None, "what was there\n"])
@pytest.mark.parametrize(("command", "option"), COMMANDS)
def test_no_file_is_left_half_written(command, option, before, tmp_path, broken):
    for some in [*REFUSED, ("-d", "greedy", "-m", str(broken))]:
        file = tmp_path / NAMES.get(option, "file")
        if before is not None:
            file.write_text(before)
        code, _, said = called(*arguments_of(command, option, file, some))
        assert code == 2
        assert "No such option" not in said
        assert [path.name for path in tmp_path.iterdir()] == ([] if before is None else [file.name])
        assert before is None or file.read_text() == before


@pytest.mark.parametrize("command", ["generate", "tree", "why", "steps"])
def test_a_run_that_came_to_no_text_leaves_a_whole_record(command, tmp_path):
    """It ran, and its record shows where it died."""
    import unspool as un

    file = tmp_path / "trace"
    code, _, _ = called(*arguments_of(command, "--trace", file, DYING))
    assert code == 2
    assert un.Trace.load(file).hypotheses == [[]]


def test_scores_that_ctrl_c_ends_replace_no_file(tmp_path, monkeypatch):
    def reached(bar, done, made):
        if done:
            raise KeyboardInterrupt

    monkeypatch.setattr("unspool.cli.long_bar.LongBar.reached", reached)
    pairs, old = tmp_path / "pairs.txt", tmp_path / "old.csv"
    pairs.write_text("".join(f"Once there were {n}\t kings\n" for n in range(600)))
    code, shown, said = called("score", "-f", str(pairs), "-o", "csv")
    done = len(shown.splitlines())
    assert (code, said) == (130, f"unspool: interrupted after {said.split()[3]} of 600 texts\n")
    assert done > 1
    old.write_text("of an earlier run")
    code, shown, said = called("score", "-f", str(pairs), "--output-file", str(old))
    assert (code, shown) == (130, "")
    assert said.endswith(f"; {old} is not written\n")
    assert old.read_text() == "of an earlier run"
