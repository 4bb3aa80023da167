"""No command writes over what it reads, or the same file twice, or under an ending that means another form."""

import subprocess
from itertools import combinations, product

import click
import pytest
from helpers.program import PROGRAM, called, environment, one_line, program_refusal, refusal

import unspool as un
from unspool.cli.options import Form, ReadName, WrittenName
from unspool.cli.program import COMMANDS, app

OWN = [name for name in COMMANDS if name != "lm-eval"]
OLD = "as it was\n"


def parameters(name, kind):
    return [p for p in app.get_command(None, name).params if isinstance(p.type, kind)]


def given(parameter, path):
    """How a command line names a path by this parameter; the second argument of a command stands behind a first."""
    if isinstance(parameter, click.Option):
        return [parameter.opts[0], str(path)]
    return ["first", str(path)] if parameter.name == "second" else [str(path)]


def test_every_file_is_said_to_be_read_or_written():
    for name in OWN:
        for parameter in app.get_command(None, name).params:
            if "FILE" in str(parameter.metavar):
                assert isinstance(parameter.type, ReadName | WrittenName) or parameter.callback, (name, parameter.name)


PAIRS = [(name, w, r) for name in OWN for w, r in product(parameters(name, WrittenName), parameters(name, ReadName))]


@pytest.mark.parametrize(("name", "written", "read"), PAIRS, ids=[f"{n} {w.name} {r.name}" for n, w, r in PAIRS])
def test_what_is_read_is_not_written(name, written, read, tmp_path):
    path, link, same = tmp_path / "file", tmp_path / "link", tmp_path / "same"
    path.write_text(OLD)
    link.symlink_to("file")
    same.hardlink_to(path)
    for there in (path, link, same):
        said = refusal(name, *given(read, path), *given(written, there))
        assert f"{written.opts[0]} would overwrite {there}, which " in said
    assert path.read_text() == OLD
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "link", "same"]


def test_parts_that_are_imported_are_not_written(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("import unspool\n\n\n@unspool.metric\ndef spared(text: str) -> float:\n    return 1.0\n")
    before = path.read_text()
    for option in ("--output-file", "--save", "--html"):
        (tmp_path / "own").symlink_to("own.py")
        said = program_refusal("compare", "a", "--import", str(path), option, str(tmp_path / "own"))
        assert f"{option} would overwrite {tmp_path}/own, which --import reads ({path})" in said
        (tmp_path / "own").unlink()
    assert path.read_text() == before


TWICE = [(name, a, b) for name in OWN for a, b in combinations(parameters(name, WrittenName), 2)]


@pytest.mark.parametrize(("name", "first", "second"), TWICE, ids=[f"{n} {a.name} {b.name}" for n, a, b in TWICE])
def test_two_outputs_are_two_files(name, first, second, tmp_path):
    said = refusal(name, *given(first, tmp_path / "x"), *given(second, tmp_path / "x"))
    assert "would write the same file" in said
    assert not list(tmp_path.iterdir())


ENDINGS = {".xml": "xml", ".parquet": "parquet", ".csv": "csv", ".png": "png", ".json": "json", ".JSONL": "jsonl"}
WRITES = [(name, w) for name in OWN for w in parameters(name, WrittenName)]


@pytest.mark.parametrize(("name", "written"), WRITES, ids=[f"{n} {w.name}" for n, w in WRITES])
def test_an_ending_that_means_another_form_is_refused(name, written, tmp_path):
    every = [form for p in parameters(name, Form) for form in p.type.choices]
    forms = written.type.forms or every or ["json"]
    for ending, form in ENDINGS.items():
        path = tmp_path / f"file{ending}"
        code, _, said = called(name, *given(written, path))
        assert (f"{path}: {ending.lower()} means {form}, and " in said) == (form not in forms), (ending, said)
        assert not list(tmp_path.iterdir()) or code == 0
        path.unlink(missing_ok=True)


def test_a_model_is_not_written_over(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    for command in (["generate", "a", "-m"], ["verify"], ["models"]):
        said = refusal(*command, str(tmp_path), "--output-file", str(tmp_path / "config.json"), "-o", "json")
        assert f"--output-file would overwrite {tmp_path}/config.json, which " in said
    assert (tmp_path / "config.json").read_text() == "{}"


def test_standard_input_is_not_written_over(tmp_path):
    path = tmp_path / "p"
    path.write_text("a\n")
    for command in (["generate", "-f", "-"], ["steps", "-"]):
        with path.open() as file:
            line = [*PROGRAM, *command, "--output-file", str(path)]
            done = subprocess.run(line, stdin=file, capture_output=True, env=environment(), timeout=60, check=False)
        assert done.returncode == 2
        assert "(standard input); give another file" in one_line(done.stderr.decode())
    assert path.read_text() == "a\n"


def test_a_save_and_its_unfinished_lines_are_not_read(tmp_path):
    lines = tmp_path / "t.parquet.unfinished.jsonl"
    lines.write_text('"a"\n')
    assert "--save would overwrite" in refusal("generate", "-f", str(lines), "--save", str(tmp_path / "t.parquet"))
    assert lines.read_text() == '"a"\n'
    for save in (lines, tmp_path / "x.csv"):
        with pytest.raises(un.ParameterError):
            un.run(un.load(), lines, save=save)
    assert lines.read_text() == '"a"\n'
