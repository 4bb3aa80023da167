"""Files that runs go on from: what is of another kind, or damaged, is told by its line, what it lacks, and who wrote it."""

import json

import pytest
from helpers.program import called, out, refusal

from unspool.cli.commands.many import summary
from unspool.many.run import Saving

FEW = ("--max-new-tokens", "2")
SAVES = {
    "generate": ["generate", *FEW, "-f"],
    "compare": ["compare", *FEW, "-d", "greedy", "--seeds", "1", "-f"],
}
WRITES = SAVES | {"sweep": ["sweep", *FEW, "-d", "top_p({0.5,0.9})"]}


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("The king\nThe cat\n")
    return str(path)


@pytest.mark.parametrize("name", SAVES)
@pytest.mark.parametrize("other", WRITES)
def test_what_another_command_saved_is_said_to_be_that(name, other, prompts, tmp_path):
    path = tmp_path / "saved.jsonl"
    made = WRITES[other]
    assert called(*made, *([prompts] if made[-1] == "-f" else []), "--save", str(path))[0] == 0
    before = path.read_bytes()
    if name == other:
        assert called(*SAVES[name], prompts, "--save", str(path))[0] == 0
    else:
        said = refusal(*SAVES[name], prompts, "--save", str(path))
        assert f"line 1 of {path} is no generation that unspool saved so: {other} --save wrote it" in said
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", SAVES)
def test_a_line_that_lacks_a_field_is_told_with_its_name(name, prompts, tmp_path):
    path = tmp_path / "saved.jsonl"
    assert called(*SAVES[name], prompts, "--save", str(path))[0] == 0
    lines = path.read_text().splitlines()
    for field in ("unspool_generation", "decoder", "prompt", "number", "recipe", "model"):
        less = json.dumps({k: v for k, v in json.loads(lines[1]).items() if k != field})
        path.write_text("\n".join([lines[0], less, *lines[2:]]) + "\n")
        said = refusal(*SAVES[name], prompts, "--save", str(path))
        assert f"line 2 of {path} is no generation that unspool saved so: it lacks '{field}'" in said
    path.write_text(lines[0] + "\n{\n")
    assert "line 2" in refusal(*SAVES[name], prompts, "--save", str(path))
    assert "it is no JSON" in refusal(*SAVES[name], prompts, "--save", str(path))


def test_options_that_nothing_heeds_are_refused(prompts):
    for more, said in (
        (["sweep", "--seeds", "3"], "js is read off given texts, and none is drawn: leave out --seeds"),
        (["sweep", "--unit", "tokens"], "leave out --unit"),
        (["sweep", "--seed", "4"], "a grid has every setting and draws none: leave out --seed"),
        (["sweep", "--judge", "bundled"], "leave out --judge"),
        (["sweep", "-f", prompts, "--metrics", "diversity", "--judge", "bundled"], "no metric asks a second model: leave out --judge"),
        (["compare", "a", "--judge", "bundled"], "leave out --judge"),
        (["generate", "-f", prompts, "--id-column", "x"], "is text, a prompt on each line; --id-column"),
    ):
        assert said in refusal(*more)


def test_prompts_are_counted_once_and_an_unfinished_file_is_named(prompts, tmp_path):
    path = tmp_path / "saved.jsonl"
    said = out(*SAVES["generate"], prompts, "-d", "greedy", "-d", "top_k(2) | sample", "--save", str(path))
    assert said.startswith(f"{path}: 4 texts of 2 prompts; ")
    state = Saving(tmp_path / "g.parquet", tmp_path / "g.parquet.unfinished.jsonl", 600, prompts=256, done=256, texts=256)
    assert summary(state, 1) == f"{tmp_path}/g.parquet.unfinished.jsonl: 256 texts of the first 256 of 600 prompts; 1.0 s\n"
    state.finished = True
    assert summary(state, 1) == f"{tmp_path}/g.parquet: 256 texts of 256 prompts; 1.0 s\n"
