"""Many prompts into a file: what is saved is what `generate` gives, and a file goes on where a run was broken off."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import pytest
from helpers.program import PROGRAM, environment, refusal

import unspool as un
from unspool.many.run import SavingRun
from unspool.models.toy import TableModel

SAMPLE = "temperature(1.2) | sample(2)"


def model(seed=0, **options):
    return un.LanguageModel(TableModel.random(7, seed, 1.5, end_tokens=(0,), start=0, context=64, **options), name=f"toy {seed}")


def prompts(count, seed=0):
    draw = random.Random(seed)
    return [[draw.randrange(1, 7) for _ in range(draw.randrange(1, 12))] for _ in range(count)]


def saved(path):
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


# --- what is saved ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decoder", ["greedy", SAMPLE, "beam(3)", "top_k(3) | sample(1)"])
def test_texts_are_those_of_generate(decoder, tmp_path):
    lm, asked = model(), prompts(23)
    state = un.run(lm, asked, decoder, save=tmp_path / "t.jsonl", unit=5, max_new_tokens=9, seed=4)
    lines = saved(tmp_path / "t.jsonl")
    assert state.texts == len(lines)
    for index, prompt in enumerate(asked):
        output = lm.generate(prompt, decoder, max_new_tokens=9, seed=4)
        mine = [line for line in lines if line["index"] == index]
        assert [(m["tokens"], m["text"], m["reason"], m["number"]) for m in mine] == [
            (s.tokens, s.text, s.reason, i) for i, s in enumerate(output.sequences, 1)
        ]
        for line in mine:
            assert line["recipe"]["decoder"] == output.recipe["decoder"]
            assert (line["recipe"]["seed"], line["seed"], line["recipe"]["max_new_tokens"]) == (4, 4, 9)
            assert line["model"]["tokenizer"] == lm.tokenizer.hash
            assert line["versions"]["unspool"] == un.__version__
            assert line["prompt_tokens"] == prompt


def test_texts_depend_on_no_width_and_no_order(tmp_path):
    lm, asked = model(), prompts(40)
    shuffled = random.Random(1).sample(asked, len(asked))
    found = []
    for number, (some, options) in enumerate(
        [(asked, {}), (asked, {"together": 1}), (asked, {"unit": 7, "together": 3}), (shuffled, {"unit": 11})]
    ):
        path = tmp_path / f"{number}.jsonl"
        un.run(lm, some, SAMPLE, save=path, max_new_tokens=8, **options)
        found.append({(tuple(g["prompt_tokens"]), g["number"]): (g["tokens"], g["logprobs"]) for g in saved(path)})
    assert all(one == found[0] for one in found)


def test_several_decoders_take_turns(tmp_path):
    path = tmp_path / "t.jsonl"
    un.run(model(), prompts(9), {"a": "greedy", "b": SAMPLE}, save=path, unit=4, max_new_tokens=5)
    turns = [(line["unit"]["number"], line["decoder"]) for line in saved(path)]
    assert list(dict.fromkeys(turns)) == [(0, "a"), (1, "b"), (2, "a"), (3, "b"), (4, "a"), (5, "b")]


def test_an_id_gives_equal_prompts_draws_of_their_own(tmp_path):
    same = [{"prompt": [1, 2], "id": name} for name in "abcdef"]
    un.run(model(), same, "sample(1)", save=tmp_path / "ids.jsonl", max_new_tokens=12)
    un.run(model(), [[1, 2]] * 6, "sample(1)", save=tmp_path / "none.jsonl", max_new_tokens=12)
    assert len({tuple(line["tokens"]) for line in saved(tmp_path / "ids.jsonl")}) > 1
    assert len({tuple(line["tokens"]) for line in saved(tmp_path / "none.jsonl")}) == 1
    assert [line["id"] for line in saved(tmp_path / "ids.jsonl")] == list("abcdef")


def test_the_input_is_read_as_it_is_needed(tmp_path):
    read = []

    def endless():
        for number in range(10**9):
            read.append(number)
            yield [1 + number % 6]

    work = SavingRun(model(), endless(), ["greedy"], save=tmp_path / "t.jsonl", unit=10, max_new_tokens=2)
    for _ in islice(work, 3):
        pass
    assert len(read) <= 41


# --- broken off, and again --------------------------------------------------------------------------------------------


def test_a_file_cut_anywhere_ends_the_same(tmp_path):
    lm, asked = model(), prompts(20)
    options = {"unit": 4, "max_new_tokens": 6}
    un.run(lm, asked, ["greedy", SAMPLE], save=tmp_path / "whole.jsonl", **options)
    whole = (tmp_path / "whole.jsonl").read_bytes()
    for cut in [0, 1, 10, *random.Random(3).sample(range(len(whole)), 25), len(whole) - 1, len(whole)]:
        path = tmp_path / "cut.jsonl"
        path.write_bytes(whole[:cut])
        state = un.run(lm, asked, ["greedy", SAMPLE], save=path, **options)
        assert path.read_bytes() == whole, cut
        assert state.texts == whole.count(b"\n")


def test_what_is_there_is_not_made_again(tmp_path):
    path = tmp_path / "t.jsonl"
    un.run(model(), prompts(8), "greedy", save=path, max_new_tokens=4, unit=4)

    def never(tokens):
        raise AssertionError("asked again")

    silent = un.LanguageModel(TableModel(never, 7, end_tokens=(0,), start=0, context=64), name="toy 0")
    state = un.run(silent, prompts(8), "greedy", save=path, max_new_tokens=4, unit=4)
    assert (state.texts, state.kept) == (8, 8)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"decoders": "sample(1)"}, "the recipe's decoder is 'greedy' there and 'sample' now"),
        ({"seed": 1}, "the recipe's seed is 0 there and 1 now"),
        ({"max_new_tokens": 5}, "the recipe's max_new_tokens is 4 there and 5 now"),
        ({"lm": model(1)}, "the model's name is 'toy 0' there and 'toy 1' now"),
        ({"unit": 5}, "the size of a unit .* is 4 there and 5 now"),
        ({"prompts": [[3, 3, 3], *prompts(8)[1:]]}, "number 1 is .* there and .* now"),
        ({"prompts": prompts(3)}, "more prompts|other prompts"),
        ({"decoders": {"mine": "greedy"}}, "the decoder's name"),
    ],
)
def test_another_run_is_refused_by_name(other, said, tmp_path):
    path = tmp_path / "t.jsonl"
    asked = {"lm": model(), "prompts": prompts(8), "decoders": "greedy", "max_new_tokens": 4, "unit": 4, "save": path}
    un.run(**asked)
    before = path.read_bytes()
    with pytest.raises(un.UnspoolError, match=said):
        un.run(**(asked | other))
    assert path.read_bytes() == before


def test_another_version_is_refused_by_name(tmp_path):
    path = tmp_path / "t.jsonl"
    un.run(model(), prompts(3), "greedy", save=path, max_new_tokens=4)
    path.write_text(path.read_text().replace(f'"unspool": "{un.__version__}"', '"unspool": "0.0.9"'))
    with pytest.raises(un.UnspoolError, match=r"the version of unspool is '0.0.9' there"):
        un.run(model(), prompts(3), "greedy", save=path, max_new_tokens=4)


def test_more_prompts_go_on_behind_whole_units(tmp_path):
    options = {"max_new_tokens": 4, "unit": 4}
    un.run(model(), prompts(12), "greedy", save=tmp_path / "whole.jsonl", **options)
    un.run(model(), prompts(12)[:8], "greedy", save=tmp_path / "part.jsonl", **options)
    un.run(model(), prompts(12), "greedy", save=tmp_path / "part.jsonl", **options)
    assert (tmp_path / "part.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


# --- one writer, a full disk --------------------------------------------------------------------------------------------


def test_only_one_writer(tmp_path):
    path = tmp_path / "t.jsonl"
    work = iter(SavingRun(model(), prompts(8), ["greedy"], save=path, unit=2, max_new_tokens=3))
    next(work)
    with pytest.raises(un.UnspoolError, match=r"another program is writing .*t.jsonl"):
        un.run(model(), prompts(8), "greedy", save=path, unit=2, max_new_tokens=3)
    for _ in work:
        pass
    assert un.run(model(), prompts(8), "greedy", save=path, unit=2, max_new_tokens=3).kept == 8


def test_a_run_that_fails_at_once_leaves_no_file(tmp_path):
    with pytest.raises(un.PromptError, match="prompt 1: a prompt is a text"):
        un.run(model(), [3.5], "greedy", save=tmp_path / "t.jsonl")
    assert not list(tmp_path.iterdir())


FULL = """
import resource, sys
from unspool.cli.program import run
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(run(sys.argv[2:]))
"""


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path):
    """A limit of the size of files stands for the disk's end: the system takes a part of a piece, and then none."""
    path, asked = tmp_path / "t.jsonl", tmp_path / "p.txt"
    asked.write_text("".join(f"Once there were {i} kings\n" for i in range(12)))
    command = ["generate", "-f", str(asked), "--save", str(path), "--unit", "3", "--max-new-tokens", "3"]
    done = subprocess.run([sys.executable, "-c", FULL, "4000", *command], capture_output=True, env=environment(), timeout=60, check=False)
    said = done.stderr.decode().splitlines()
    assert (done.returncode, len(said)) == (2, 1), said
    assert said[0].startswith(f"unspool: cannot write {path}: ")
    held = len(saved(path))
    assert held % 3 == 0
    assert 0 < held < 12
    assert subprocess.run([*PROGRAM, *command], capture_output=True, env=environment(), timeout=60, check=False).returncode == 0
    assert [line["index"] for line in saved(path)] == list(range(12))


# --- killed -----------------------------------------------------------------------------------------------------------


def everywhere():
    """The environment of a program that finds what these tests find."""
    return environment(PYTHONPATH=os.pathsep.join(filter(None, sys.path)))


def size_of(path):
    return path.stat().st_size if path.exists() else 0


def killed_until_done(command, random_seed, kills, path):
    """Start a command again and again and kill it at random moments, a third while it starts; then let it end. The sizes then."""
    draw, sizes = random.Random(random_seed), []
    for _ in range(kills):
        before = size_of(path)
        process = subprocess.Popen(command, env=everywhere(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        limit = time.monotonic() + (draw.uniform(0, 1) if draw.random() < 1 / 3 else 60)
        while time.monotonic() < limit and process.poll() is None and size_of(path) == before:
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.1))
        process.kill()
        said = process.communicate()[1]
        assert process.returncode in (-signal.SIGKILL, 0), said
        sizes.append(size_of(path))
    done = subprocess.run(command, env=everywhere(), capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return sizes


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_killed_at_random_moments_the_file_is_the_same(form, tmp_path):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    asked = tmp_path / "p.jsonl"
    asked.write_text("".join(json.dumps({"prompt": f"Once there were {i} kings, and"}) + "\n" for i in range(120)))

    def command(path):
        how = ["-d", "top_p(0.9) | sample(2)", "-d", "greedy", "--max-new-tokens", "12", "--unit", "2", "--together", "2"]
        return [*PROGRAM, "generate", "-f", str(asked), "--save", str(path), *how]

    whole, killed = tmp_path / f"whole.{form}", tmp_path / f"killed.{form}"
    assert subprocess.run(command(whole), env=everywhere(), capture_output=True, timeout=120, check=False).returncode == 0
    lines = killed if form == "jsonl" else Path(f"{killed}.unfinished.jsonl")
    sizes = killed_until_done(command(killed), form, 10 if form == "jsonl" else 4, lines)
    assert killed.read_bytes() == whole.read_bytes()
    assert len(set(sizes)) > 1, "the kills came too early to tell anything"
    assert not list(tmp_path.glob("*.unfinished*"))


# --- the command --------------------------------------------------------------------------------------------------------


def test_what_belongs_to_a_saved_run_is_refused_without_it(tmp_path):
    assert "--unit belongs to --save FILE" in refusal("generate", "Once", "--unit", "3")
    assert "give -f FILE" in refusal("generate", "--save", str(tmp_path / "t.jsonl"))
    assert "--save takes the prompts of files" in refusal("generate", "Once", "--save", str(tmp_path / "t.jsonl"))
    (tmp_path / "p.txt").write_text("a\n")
    line = refusal("generate", "-f", str(tmp_path / "p.txt"), "--save", str(tmp_path / "t.jsonl"), "--trace", str(tmp_path / "x"))
    assert "leave out --trace" in line
