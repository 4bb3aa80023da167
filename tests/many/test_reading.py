"""Prompts out of files: every form, streamed, and every line that is no prompt told with its place."""

import csv
import json
import subprocess

import pytest
from helpers.program import PROGRAM, called, environment

import unspool as un
from unspool.many.reading import Columns, count_asked, read_asked
from unspool.many.unit import UnusablePrompt

TEXTS = ["Once upon a time", 'He said "no", twice', "naïve 王 \U0001f600", "two\\nlines"]


def read(path, form=None, **columns):
    return list(read_asked([path], Columns(**columns), form))


def write_csv(path, rows, dialect="excel"):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, dialect).writerows(rows)


def test_every_form_holds_the_same_prompts(tmp_path):
    pytest.importorskip("pyarrow")
    import pyarrow as arrow
    import pyarrow.parquet

    (tmp_path / "t.txt").write_text("\ufeff" + "\r\n".join(TEXTS) + "\n\n  \n", encoding="utf-8")
    (tmp_path / "s.jsonl").write_text("\n".join(json.dumps(t) for t in TEXTS), encoding="utf-8")
    (tmp_path / "o.jsonl").write_text("\n".join(json.dumps({"prompt": t, "id": 5}) for t in TEXTS), encoding="utf-8")
    write_csv(tmp_path / "c.csv", [["n", "prompt"], *([i, t] for i, t in enumerate(TEXTS))])
    write_csv(tmp_path / "c.tsv", [["n", "prompt"], *([i, t] for i, t in enumerate(TEXTS))], "excel-tab")
    arrow.parquet.write_table(arrow.table({"n": [1, 2, 3, 4], "prompt": TEXTS}), tmp_path / "p.parquet")
    for path in tmp_path.iterdir():
        assert [one.prompt for one in read(path)] == TEXTS, path
        assert [one.index for one in read(path)] == [0, 1, 2, 3]
        assert count_asked([path]) == 4


def test_columns_are_named(tmp_path):
    write_csv(tmp_path / "c.csv", [["name", "question"], ["x", "Why?"], ["y", "two\nlines"]])
    found = read(tmp_path / "c.csv", prompt="question", id="name")
    assert [(one.prompt, one.id) for one in found] == [("Why?", "x"), ("two\nlines", "y")]
    with pytest.raises(un.PromptError, match="has no column 'prompt' or 'messages'; it has 'name', 'question'"):
        read(tmp_path / "c.csv")
    with pytest.raises(un.PromptError, match="has no column 'nam'; it has 'name', 'question'"):
        read(tmp_path / "c.csv", prompt="question", id="nam")


def test_messages_and_token_ids(tmp_path):
    pytest.importorskip("pyarrow")
    import pyarrow as arrow
    import pyarrow.parquet

    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps(v) for v in ({"messages": talk}, talk, {"prompt": talk}, [3, 4])))
    found = read(tmp_path / "m.jsonl")
    assert [one.messages for one in found] == [talk, talk, talk, None]
    assert found[3].prompt == (3, 4)
    arrow.parquet.write_table(arrow.table({"messages": [talk]}), tmp_path / "m.parquet")
    assert read(tmp_path / "m.parquet")[0].messages == talk


BAD = [
    (b'{"prompt": "a"', "it is no JSON"),
    (b'{"text": "a"}', "has no column 'prompt' or 'messages'"),
    (b'{"prompt": 3}', "a prompt is a text"),
    (b'{"prompt": null}', "a prompt is a text"),
    (b'"\\ud800"', "no UTF-8 text"),
    (b'{"prompt": "\xff"}', "no UTF-8 text: byte 0xff"),
    (b'{"messages": [{"content": "x"}]}', "has no role"),
    (b"[" * 100000, "no JSON"),
]


@pytest.mark.parametrize(("line", "said"), BAD, ids=[said for _, said in BAD])
def test_a_bad_line_has_its_number(line, said, tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_bytes(b'"a"\n\n' + line + b'\n"b"\n')
    first, bad, last = read(path)
    assert isinstance(bad, UnusablePrompt)
    assert bad.where == f"{path}, line 3"
    assert said in bad.why
    assert (first.index, last.index) == (0, 2)


def test_bad_lines_stop_or_are_skipped(tmp_path):
    path, out = tmp_path / "p.jsonl", tmp_path / "t.jsonl"
    long = json.dumps("word " * 3000)
    path.write_text(f'"a"\n"b"\n{{\n"c"\n{long}\n"d"\n')
    command = ["generate", "-f", str(path), "--save", str(out), "--max-new-tokens", "2", "--unit", "2"]
    code, _, said = called(*command)
    assert code == 2
    assert said.splitlines() == [f"unspool: {path}, line 3: it is no JSON: '{{' (--bad-lines skip leaves such out)"]
    assert len(out.read_text().splitlines()) == 2
    code, found, said = called(*command, "--bad-lines", "skip")
    assert code == 0, said
    assert f"{path}, line 3 is skipped: it is no JSON" in said
    assert f"{path}, line 5 is skipped: the prompt has" in said
    assert "4 texts of 5 prompts, of which 2 were there; 2 skipped" in found
    assert [json.loads(line)["prompt"] for line in out.read_text().splitlines()] == ["a", "b", "c", "d"]


def test_a_csv_row_of_another_width_is_bad(tmp_path):
    path = tmp_path / "c.csv"
    path.write_bytes(b"prompt,n\na,1\nb\nc,3\n\xff,4\n")
    found = read(path)
    assert [getattr(one, "prompt", getattr(one, "where", "")) for one in found] == ["a", f"{path}, line 3", "c", f"{path}, line 5"]


def test_standard_input(tmp_path):
    command = [*PROGRAM, "generate", "-f", "-", "--save", str(tmp_path / "t.jsonl"), "--max-new-tokens", "2", "--file-form", "jsonl"]
    done = subprocess.run(command, input=b'{"prompt": "a b"}\n"c"\n', capture_output=True, env=environment(), timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["prompt"] for line in (tmp_path / "t.jsonl").read_text().splitlines()] == ["a b", "c"]


def test_a_file_that_is_not_there(tmp_path):
    code, _, said = called("generate", "-f", str(tmp_path / "none.jsonl"), "--save", str(tmp_path / "t.jsonl"))
    assert (code, said) == (2, f"unspool: cannot read {tmp_path / 'none.jsonl'}: No such file or directory\n")
    assert not list(tmp_path.iterdir())
