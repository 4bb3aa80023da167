import csv
import io
import json
import re
import subprocess
from html.parser import HTMLParser

import pytest
from helpers.program import PROGRAM, environment, out, program_out, tiny_folder, unspool

PROMPT = "Once upon a time"
FEW = ("--max-new-tokens", "6")


def test_a_bare_prompt_is_generated_from():
    text = out(PROMPT, *FEW)
    assert text.startswith(PROMPT)
    assert text.endswith("\n")
    assert len(text) > len(PROMPT) + 1
    assert text == out("generate", PROMPT, *FEW) == out(PROMPT, *FEW, "--no-stream") == out(*FEW, PROMPT)
    assert text == program_out("-", *FEW, stdin=f"{PROMPT}\n".encode()) == program_out(PROMPT, *FEW)
    assert "\x1b" not in text


def test_a_prompt_may_be_a_command_s_name_an_option_or_empty():
    assert out("generate", "steps", *FEW).startswith("steps")
    assert out(*FEW, "--", "steps").startswith("steps")
    assert out("generate", *FEW, "--", "--help").startswith("--help")
    assert out("", *FEW)


def test_a_prompt_that_looks_like_a_mistyped_command_is_hinted_at():
    done = unspool("scroe", *FEW)
    assert done.returncode == 0
    assert done.stdout.startswith(b"scroe")
    assert done.stderr.decode() == "unspool: 'scroe' is no command, so it is taken as a prompt; did you mean: unspool score?\n"
    assert unspool("Score", *FEW).stderr == unspool("a score", *FEW).stderr == b""


def test_a_loop_that_nobody_asked_for_is_said():
    done = unspool(PROMPT, "--max-new-tokens", "60")
    said = done.stderr.decode()
    number = int(re.match(r"unspool: it repeats itself from token (\d+) on, as greedy search does", said)[1])
    values = json.loads(out(PROMPT, "-d", "greedy", "--max-new-tokens", "60", "-o", "json"))[0]
    tokens = values["sequences"][0]["tokens"]
    fours = [tuple(tokens[i : i + 4]) for i in range(57)]
    assert fours[number - 1] in fours[: number - 1]
    assert len(set(fours[: number - 1])) == number - 1
    assert said.count("\n") == 1
    instead = re.search(r'try -d "(.*?)"', said)[1]
    text = json.loads(out(PROMPT, "-d", instead, "--max-new-tokens", "60", "-o", "json"))[0]["sequences"][0]["tokens"]
    assert len({tuple(text[i : i + 4]) for i in range(57)}) > 50
    for quiet in (("-d", "greedy"), ("-d", "no_repeat_ngram(3)"), ("-o", "json")):
        assert unspool(PROMPT, "--max-new-tokens", "60", *quiet).stderr == b""
    assert unspool(PROMPT, *FEW).stderr == b""


def test_generated_json_has_the_numbers():
    values = json.loads(out(PROMPT, *FEW, "-d", "beam(3, n=2)", "-d", "greedy", "-o", "json"))
    assert [v["recipe"]["decoder"] for v in values] == ["beam(3, n=2)", "greedy"]
    assert [len(v["sequences"]) for v in values] == [2, 1]
    best = values[0]["sequences"][0]
    assert sum(best["logprobs"]) == pytest.approx(best["logprob"])
    assert values[1]["prompt"] + values[1]["sequences"][0]["text"] + "\n" == out(PROMPT, *FEW)


def test_exact_search_says_what_it_proved_and_how_far_others_fall_short(tmp_path):
    text = out(PROMPT, "-d", "exact", *FEW, "--compare", "beam(5)", "--compare", "greedy")
    assert re.search(r"\nproved: no text is better \(\d+ prefixes grown\)\nbeam\(5\): score -[0-9.]+, .*\ngreedy: score ", text)
    text = out(PROMPT, "-d", "exact(nodes=20)", "--max-new-tokens", "30")
    assert re.search(r"\nnot proved: best found -[0-9.]+, bound -[0-9.]+, gap [0-9.]+ \(\d+ prefixes grown\)\n", text)
    values = json.loads(out(PROMPT, "-d", "exact(2)", *FEW, "--compare", "greedy", "-o", "json"))[0]
    (certificate,), (compared,) = values["certificates"], values["compared"]
    assert certificate["found"] == [s["score"] for s in values["sequences"]]
    assert certificate["whole"]
    assert compared["best"] - compared["score"] == pytest.approx(compared["short"]) == compared["most"]
    file = tmp_path / "prompts.txt"
    file.write_text("2 + 3 =>\nThe king\n")
    text = out("-f", str(file), "-d", "exact(nodes=50)", *FEW, "--compare", "greedy")
    assert re.search(r"\n\ngreedy: below the best found after \d of 2 prompts", text)
    done = unspool(PROMPT, "-d", "exact(nodes=9, containing='xyzzy')", *FEW)
    assert done.returncode == 2
    assert re.search(rb"found no text: .*\nunspool: not proved: best not found, bound -[0-9.]+ \(\d+ prefixes grown\)\n", done.stderr)
    trace = tmp_path / "trace.jsonl"
    out(PROMPT, "-d", "exact", "--max-new-tokens", "3", "--trace", str(trace))
    assert "proved: no text is better" in out("tree", "--from", str(trace))


def test_impossible_tokens_are_null_in_json():
    values = json.loads(out("steps", PROMPT, "-n", "1", "-d", "top_k(1) | greedy", "-o", "json"))
    assert values[0]["choices"][0]["processed_probability"] == 1
    text = out(PROMPT, *FEW, "-d", "top_k(1)", "-o", "json")
    assert "Infinity" not in text


def test_prompts_of_files_are_decoded_together(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_bytes("\ufeffOnce upon\r\n\nThe king".encode())
    lines = program_out("-f", str(file), "-f", "-", *FEW, "-o", "jsonl", stdin="안녕\n".encode()).splitlines()
    values = [json.loads(line) for line in lines]
    assert [v["prompt"] for v in values] == ["Once upon", "The king", "안녕"]
    alone = json.loads(out("The king", *FEW, "-o", "json"))[0]
    assert values[1]["sequences"][0]["tokens"] == alone["sequences"][0]["tokens"]


def test_several_texts_are_numbered_with_their_numbers():
    text = out(PROMPT, *FEW, "-d", "beam(3, n=3)")
    assert re.findall(r"^(\d)  Once", text, re.M) == ["1", "2", "3"]
    assert len(re.findall(r"log-prob -\d+\.\d\d  score -\d\.\d{3}  tokens \d+  \w+", text)) == 3


def test_csv_of_generated_texts_reads_back():
    lines = list(csv.DictReader(io.StringIO(out(PROMPT, *FEW, "-d", "sample(2)", "--seed", "3", "-o", "csv"))))
    assert [line["rank"] for line in lines] == ["1", "2"]
    assert {line["prompt"] for line in lines} == {PROMPT}
    assert {line["seed"] for line in lines} == {"3"}


class Reader(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("command", [["generate"], ["steps", "-n", "1"], ["score"]])
def test_html_is_one_page_with_everything_escaped(command):
    nasty = "<script>alert('&amp;')</script>"
    options = FEW if command == ["generate"] else ()
    page = Reader()
    page.feed(out(*command, nasty, *(["</td>"] if command == ["score"] else []), *options, "-o", "html"))
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "img", "iframe")]
    assert ("meta", {"charset": "utf-8"}) in page.tags
    assert nasty in page.text


def test_markdown_cells_hold_no_markup():
    table = out("steps", "a | b * c", "-n", "1", "-o", "md").splitlines()
    assert table[2].startswith("| a \\| b \\* c |")
    assert table[1].count("---") == 6


def test_steps_in_every_form():
    first = out("steps", PROMPT, "-n", "2").splitlines()
    assert first[0].split("  ")[0] == "Input"
    assert len(first) == 3
    lines = list(csv.reader(io.StringIO(out("steps", PROMPT, "-n", "2", "--choices", "3", "-o", "csv"))))
    assert lines[0] == ["Input", "Choice 1", "Choice 2", "Choice 3"]
    assert all(re.fullmatch(r".+ \(\d+\.\d\d%\)", cell, re.S) for line in lines[1:] for cell in line[1:])
    assert any(cell.startswith(" ") for line in lines[1:] for cell in line[1:])
    rows = [json.loads(line) for line in out("steps", PROMPT, "-n", "2", "-o", "jsonl").splitlines()]
    assert rows[0]["chosen"] == [rows[0]["choices"][0]["token"]]
    assert rows[1]["input"] == PROMPT + rows[0]["choices"][0]["text"]


def test_steps_of_all_rows_and_after_the_processors():
    lines = list(csv.reader(io.StringIO(out("steps", PROMPT, "-n", "2", "--all", "-d", "beam(2)", "-o", "csv"))))
    assert lines[0][:3] == ["Step", "Row", "Input"]
    assert [line[:2] for line in lines[1:]] == [["1", "1"], ["2", "1"], ["2", "2"]]
    processed = ("steps", PROMPT, "-n", "1", "--processed", "-d", "temperature(0.5)")
    assert " → " in out(*processed)
    assert out(*processed).endswith("the model's probability → the one after the processors\n")
    for form in ("csv", "md", "html"):
        assert "Choice 1 (model → processed)" in out(*processed, "-o", form)


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
@pytest.mark.parametrize("prompt", [PROMPT, "안녕하세요 👋🏽 여러분"])
def test_the_step_table_fits_the_screen(columns, prompt, monkeypatch):
    from rich.cells import cell_len

    monkeypatch.setenv("COLUMNS", str(columns))
    text = out("steps", prompt, "-n", "4")
    assert max(map(cell_len, text.splitlines())) <= columns


def test_score_adds_up(tmp_path):
    value = json.loads(out("score", PROMPT, " there was a king", "-o", "json"))[0]
    assert sum(value["logprobs"]) == pytest.approx(value["logprob"])
    assert "".join(value["pieces"]) == " there was a king"
    text = out("score", PROMPT, " there was a king")
    assert f"{value['logprob']:.4f}" in text
    assert all(word in text for word in ("per token", "per byte", "per character", "bits per byte", "perplexity"))
    file = tmp_path / "pairs.tsv"
    file.write_text(f"{PROMPT}\t there was a king\nThe king\t is dead\n")
    pairs = [json.loads(line) for line in out("score", "-f", str(file), "-o", "jsonl").splitlines()]
    assert pairs[0]["logprob"] == pytest.approx(value["logprob"], abs=1e-4)
    assert [line["pair"] for line in csv.DictReader(io.StringIO(out("score", "-f", str(file), "-o", "csv")))][-1] == "2"


def test_a_text_longer_than_the_context_is_scored(tmp_path):
    tiny = tiny_folder(tmp_path / "tiny")
    value = json.loads(out("score", "a", " b" * 50, "-m", str(tiny), "--stride", "4", "-o", "json"))[0]
    assert len(value["tokens"]) >= 50


def test_models_are_listed(tmp_path):
    tiny_folder(tmp_path / "one")
    (tmp_path / "two").mkdir()
    (tmp_path / "two/config.json").write_text("{")
    text = out("models", str(tmp_path))
    assert re.search(r"^bundled\s+gpt2 +[\d.]+ M +\d+ +\d+ +[\d.]+ MB$", text, re.M)  # below it, where a name is long
    values = json.loads(out("models", str(tmp_path), "-o", "json"))
    assert [v["context"] for v in values] == [512, 16, 0]
    assert "cannot read" in values[2]["problem"]


def test_a_file_is_written_and_its_ending_chooses_the_form(tmp_path):
    file = tmp_path / "found.json"
    assert out(PROMPT, *FEW, "--output-file", str(file)) == ""
    assert json.loads(file.read_text())[0]["prompt"] == PROMPT
    out(PROMPT, *FEW, "-o", "text", "--output-file", str(file))
    assert file.read_text() == out(PROMPT, *FEW) == out(PROMPT, *FEW, "--output-file", "-")
    assert [p.name for p in tmp_path.iterdir()] == ["found.json"]


def test_a_trace_is_saved_and_reads_back(tmp_path):
    from unspool.record.trace import Trace
    from unspool.views.table import StepTable

    file = tmp_path / "run.trace"
    out("steps", PROMPT, "-n", "2", "--trace", str(file))
    assert StepTable.from_trace(Trace.load(file)).to_text() == out("steps", PROMPT, "-n", "2")
    out(PROMPT, *FEW, "--trace", str(file))
    assert len(StepTable.from_trace(Trace.load(file))) == 6


def test_the_same_seed_gives_the_same_text():
    options = (PROMPT, *FEW, "-d", "sample", "--seed")
    assert out(*options, "1") == out(*options, "1") != out(*options, "2")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_other_scripts_print_right_whatever_the_locale(encoding):
    text = program_out("안녕 👋 é", *FEW, PYTHONIOENCODING=encoding, LC_ALL="C")
    assert text.startswith("안녕 👋 é")


def test_half_characters_print_as_what_they_are():
    """Every token but one byte of many is banned: a text of half characters only, streamed and not."""
    import unspool as un

    tokenizer = un.load().tokenizer
    lead = next(t for t in range(tokenizer.size) if tokenizer.bytes_of(t) == b"\xec")
    options = ("a", "--max-new-tokens", "2", "-d", f"allowed({lead})")
    assert out(*options) == out(*options, "--no-stream") == "a\ufffd\ufffd\n"


def test_a_closed_pipe_ends_quietly():
    command = [*PROGRAM, "-d", "beam(2, n=2)", "-d", "greedy", PROMPT, *FEW]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(30) in (0, 141)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], [], ["generate", "--help"], ["steps", "-h"], ["score", "-h"], ["models", "-h"]])
def test_help(arguments):
    text = out(*arguments)
    assert text.startswith("Usage: unspool")
    assert max(map(len, text.splitlines())) <= 100


def test_version():
    import unspool as un

    assert out("--version") == f"unspool {un.__version__}\n"


def test_completion():
    def complete(words):
        done = unspool(_UNSPOOL_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(len(words.split(" ")) - 1))
        return [line.removeprefix("plain,") for line in done.stdout.decode().split()]

    assert complete("unspool st") == ["steps"]
    assert "--max-new-tokens" in complete("unspool hello --max")
    assert complete("unspool hello -o js") == ["json", "jsonl"]
    assert complete("unspool hello -d contrastive_s") == ["contrastive_search"]
    assert complete("unspool hello -m bun") == ["bundled"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_printed(shell):
    script = out("--show-completion", shell)
    assert f"_UNSPOOL_COMPLETE={shell}_complete" in script
    assert script == out(f"--show-completion={shell}")


def test_the_chosen_token_stands_out_in_markdown_and_html():
    options = ("steps", PROMPT, "-n", "3", "-d", "top_p(0.9) | sample(2)", "--seed", "5")
    for more, first in (((), 1), (("--all",), 3)):
        values = json.loads(out(*options, *more, "-o", "json"))
        wanted = [(i, first + j) for i, v in enumerate(values) for j, c in enumerate(v["choices"]) if c["token"] in v["chosen"]]
        assert wanted
        rows = out(*options, *more, "-o", "md").splitlines()[2:]
        bold = [(i, j) for i, row in enumerate(rows) for j, cell in enumerate(row[2:-2].split(" | ")) if cell.startswith("**")]
        assert bold == wanted
        assert out(*options, *more, "-o", "html").count('<td class="chosen">') == len(wanted)


def test_alternatives_are_in_the_json_when_they_were_recorded(tmp_path):
    options = (PROMPT, *FEW, "-d", "top_k(2) | sample(2)", "-o", "json")
    found = json.loads(out(*options, "--choices", "3"))[0]["sequences"]
    for sequence in found:
        assert [len(some) for some in sequence["alternatives"]] == [3] * 6
        for i, some in enumerate(sequence["alternatives"]):
            own = [c for c in some if c["token"] == sequence["tokens"][i]]
            assert [c["logprob"] for c in own] == pytest.approx([sequence["logprobs"][i]])
            assert sum(c["processed_probability"] > 0 for c in some) == 2
    plain = json.loads(out(*options))[0]["sequences"]
    assert [{k: v for k, v in s.items() if k != "alternatives"} for s in found] == plain
    assert "alternatives" in json.loads(out(*options, "--trace", str(tmp_path / "t")))[0]["sequences"][0]


def test_a_vote_is_shown_with_its_answer_and_ballot():
    text = out("2 + 3 =", "-d", r'vote(3, answer="^\\s*\\S")', *FEW)
    answer, had, of = re.search(r"answer (.+): (\d) of (\d)", text).groups()
    assert answer in text.splitlines()[0]
    assert f"score {int(had) / int(of):.3f}" in text
    assert "answer" not in out(PROMPT, "-d", "best_of(3)", *FEW)
