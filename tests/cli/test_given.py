"""What commands read of files: every form holds the same, for every command, and what cannot be read is told with its place."""

import csv
import json

import pytest
from helpers.program import called, out, refusal

from unspool.cli.options import FILE_FORMS
from unspool.cli.program import COMMANDS, app

FEW = ("--max-new-tokens", "3")
NUMBERS = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
PROMPTS = [f"Once there were {number} kings, who" for number in NUMBERS]
ROWS = [{"prompt": prompt, "text": f" said no, {i}"} for i, prompt in enumerate(PROMPTS)]
READS = {
    "generate": (["generate", *FEW], "prompt"),
    "compare": (["compare", *FEW, "-d", "greedy", "-o", "csv", "--metrics", "diversity,length"], "prompt"),
    "sweep": (["sweep", *FEW, "-d", "temperature({0.5,1}) | sample", "--metrics", "diversity", "-o", "csv"], "prompt"),
    "score": (["score", "-o", "csv"], "pair"),
    "detect": (["detect", "-d", "watermark_kgw(hashing_key=7)", "-o", "csv"], "text"),
    "heat": (["heat"], "whole"),
}
"""By command that takes files by -f, how it is called, and what they hold."""
reading = pytest.mark.parametrize("name", [name for name, (_, kind) in READS.items() if kind != "whole"])


def write(folder, form, rows=ROWS, kind="prompt"):
    """The rows as a file of this form."""
    path = folder / f"given.{'txt' if form == 'text' else form}"
    if form == "text":
        path.write_text("".join({**row, "pair": "\t".join(row.values())}[kind] + "\n" for row in rows))
    elif form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif form == "parquet":
        pytest.importorskip("pyarrow")
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        with path.open("w", newline="") as file:
            lines = csv.DictWriter(file, ["prompt", "text"], dialect="excel-tab" if form == "tsv" else "excel")
            lines.writeheader()
            lines.writerows(rows)
    return str(path)


def test_every_command_with_files_is_known_here():
    takes = [name for name in COMMANDS if name != "lm-eval" and any("-f" in p.opts for p in app.get_command(None, name).params)]
    assert takes == [name for name in COMMANDS if name in READS]


@reading
def test_every_form_gives_the_same(name, tmp_path):
    command, kind = READS[name]
    plain = without_seconds(out(*command, "-f", write(tmp_path, "text", kind=kind)))
    for form in FILE_FORMS[1:]:
        assert without_seconds(out(*command, "-f", write(tmp_path, form))) == plain, form


def without_seconds(shown):
    """A table without its columns of time."""
    rows = list(csv.reader(shown.splitlines()))
    timed = {i for i, column in enumerate(rows[0]) if "second" in column}
    return [[value for i, value in enumerate(row) if i not in timed] for row in rows]


BAD = {
    "broken.jsonl": (b'{"prompt": \n', "broken.jsonl, line 1: it is no JSON"),
    "half.jsonl": (b'"\\ud800"\n', "half.jsonl, line 1: the prompt is no UTF-8 text"),
    "latin.txt": ("fine\n\ncafé\n".encode("latin-1"), "latin.txt, line 3: it is no UTF-8 text: byte 0xe9 at position 3"),
    "other.csv": (b"a,b\n1,2\n", "has no column 'prompt' or 'messages'; it has 'a', 'b'"),
    "binary.csv": (b"\x7fELF\x02\xf6,\r\r\x80\n", "binary.csv, line 1: it is no UTF-8 text"),
    "row.csv": (b"prompt,text\nfine,ok\ncaf\xe9,ok\n", "row.csv, line 3: it is no UTF-8 text"),
    "long.txt": (b"fine\n" + b"word " * 3000 + b"\n", "long.txt, line 2: the prompt has "),
    "empty.txt": (b"", "there is no prompt in "),
    "blank.txt": (b"\n  \n\r\n", "there is no prompt in "),
    "empty.jsonl": (b"\n", "there is no prompt in "),
    "head.csv": (b"prompt\n", "there is no prompt in "),
    "empty.csv": (b"", "empty.csv is empty; its first line names its columns"),
}
TAKE_PROMPTS = [command for command, kind in READS.values() if kind == "prompt"] + [["generate", *FEW, "--save"]]


@pytest.mark.parametrize("command", TAKE_PROMPTS, ids=lambda c: " ".join((c[0], c[-1])))
@pytest.mark.parametrize("name", BAD)
def test_what_is_no_prompt_is_told_with_its_place_by_every_command(command, name, tmp_path):
    data, said = BAD[name]
    (tmp_path / name).write_bytes(data)
    there = [*command, str(tmp_path / "out.jsonl")] if command[-1] == "--save" else command
    assert said in refusal(*there, "-f", str(tmp_path / name))
    assert "there is no prompt in /dev/null" in refusal(*there, "-f", "/dev/null")
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("command", TAKE_PROMPTS, ids=lambda c: " ".join((c[0], c[-1])))
def test_columns_and_the_form_are_said_to_every_command(command, tmp_path):
    named = write(tmp_path, "jsonl", [{"question": p} for p in PROMPTS])
    there = [*command, str(tmp_path / "out.jsonl")] if command[-1] == "--save" else command
    assert "it has 'question': name one with --prompt-column" in refusal(*there, "-f", named)
    assert called(*there, "-f", named, "--prompt-column", "question")[0] == 0
    other = tmp_path / "given.other"
    other.write_text("".join(json.dumps({"question": p}) + "\n" for p in PROMPTS))
    (tmp_path / "out.jsonl").unlink(missing_ok=True)
    assert called(*there, "-f", str(other), "--prompt-column", "question", "--file-form", "jsonl")[0] == 0
    (tmp_path / "out.jsonl").unlink(missing_ok=True)
    assert "given.other is text, a prompt on each line" in refusal(*there, "-f", str(other), "--prompt-column", "question")
    lines = tmp_path / "lines.jsonl"
    lines.write_text('"a text alone"\n')
    assert "line 1: it is no object, so it has no column 'question'" in refusal(*there, "-f", str(lines), "--prompt-column", "question")


def test_given_texts_are_told_with_their_place(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("a\tb\n")
    second.write_text("fine\tb\n\nno tab\n")
    assert f"{second}, line 3 holds no tab" in refusal("score", "-f", str(first), "-f", str(second))
    second.write_text("fine\t\n")
    assert f"{second}, line 1: there is nothing to score" in refusal("score", "-f", str(first), "-f", str(second))
    assert f"{second}, line 1: the text is empty" in refusal("compare", "a", "--reference", str(second))
    table = tmp_path / "t.csv"
    table.write_text("prompt,words\na,b\n")
    for command in (["score", "-f"], ["detect", "-d", "watermark_kgw(hashing_key=7)", "-f"], ["compare", "a", "--reference"]):
        assert f"{table} has no column 'text'; it has 'prompt', 'words'" in refusal(*command, str(table))
    for command in (["heat", "-f"], ["quantize", "--text"]):
        assert "takes one text, and" in refusal(*command, str(table))
    assert "there is no text in /dev/null" in refusal("score", "-f", "/dev/null")


def test_ids_and_bad_lines_without_saving(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("prompt,name\nThe king,x\nThe king,y\n")
    drawn = json.loads(out("-f", str(path), "--id-column", "name", "-d", "sample", *FEW, "-o", "json"))
    assert drawn[0]["sequences"][0]["tokens"] != drawn[1]["sequences"][0]["tokens"]
    path.write_text("prompt,name\nThe king,x\nThe cat,x\n")
    for more in ([], ["--save", str(tmp_path / "s.jsonl")]):
        assert f"{path}, line 3: it has the id 'x'" in refusal("-f", str(path), "--id-column", "name", *more)
    lines = tmp_path / "p.jsonl"
    lines.write_text('"The king"\n{\n[2, 3]\n{"prompt": [4]}\n')
    code, found, said = called("-f", str(lines), "--bad-lines", "skip", *FEW, "-o", "json")
    assert (code, len(json.loads(found))) == (0, 3)
    assert said == f"unspool: {lines}, line 2 is skipped: it is no JSON: '{{'\n"
    assert "--bad-lines is for files" in refusal("The king", "--bad-lines", "skip")
    assert "names a column of" in refusal("The king", "--prompt-column", "x")
