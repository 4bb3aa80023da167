"""`unspool compare`: metrics of one's own, prompts with answers, texts side by side, a report, one writer, a bar."""

import json
import time

import pytest
from helpers.browser import Browser
from helpers.program import Terminal, called, out, program_refusal, refusal, unspool

from unspool.core import decoder, elsewhere

SHORT = ["--max-new-tokens", "6", "--seeds", "1"]
DECODERS = ["-d", "greedy", "-d", "sample(2)"]
FIGURES = "[...document.querySelectorAll('svg.figure')]"
METRIC = '''
import unspool as un

@un.metric(unit="commas")
def commas_here(sample):
    """Commas of a text."""
    return sample.text.count(","){more}
'''


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(decoder, "FROM_ELSEWHERE", set())
    defined = {}
    for home in ("unspool.core.elsewhere", "unspool.core.decoder", "unspool.lab.own_metrics"):
        monkeypatch.setattr(f"{home}.DEFINED", defined)
    assert elsewhere.DEFINED is defined
    return tmp_path


@pytest.fixture
def questions(folder):
    path = folder / "questions.jsonl"
    rows = [("Once upon a time", "there was"), ("The king & <b>queen</b>", ["said", "went"]), ("A wolf", 7)]
    path.write_text("".join(json.dumps({"prompt": p, "answer": a}) + "\n" for p, a in rows))
    return str(path)


# --- metrics of one's own -----------------------------------------------------------------------------------------------


def test_a_file_with_a_metric(folder):
    (folder / "mine.py").write_text(METRIC.replace("{more}", ""))
    rows = json.loads(out("compare", "The king", *DECODERS, *SHORT, "--import", "mine.py", "--metrics", "commas_here,length", "-o", "json"))
    assert rows["metrics"]["commas_here"] == {"definition": "Commas of a text.", "unit": "commas", "pooling": "mean over texts"}
    assert rows["rows"][0]["commas_here"] >= 0
    shown = out("compare", "--list-metrics", "--import", "mine.py")
    assert "commas_here" in shown
    assert "pass_at_N" in shown
    elsewhere_run = ["--engine", "processes", "--workers", "1"]
    both = out("compare", "The king", *DECODERS, *SHORT, "--import", "mine.py", "--metrics", "commas_here", *elsewhere_run)
    assert "commas_here" in both


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (METRIC.replace("{more}", " / 0"), "the metric commas_here failed: ZeroDivisionError"),
        (METRIC.replace("{more}", " and None or 'x'"), "it returns a number"),
        ("x = 1\n", "defines no strategy, processor, stop or metric"),
        (METRIC.replace("{more}", "").replace("commas_here", "length"), "the metric length is there already"),
    ],
)
def test_a_metric_that_breaks_is_one_line(folder, text, said):
    (folder / "bad.py").write_text(text)
    assert said in refusal("compare", "The king", *DECODERS, *SHORT, "--import", "bad.py", "--metrics", "commas_here")


def test_a_package_announces_a_metric(folder):
    (folder / "there.py").write_text(METRIC.replace("{more}", ""))
    about = folder / "there-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: there\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[unspool.parts]\nthere = there\n")
    from helpers.program import ROOT

    done = unspool("compare", "The king", *SHORT, "-d", "greedy", "--metrics", "commas_here", PYTHONPATH=f"{ROOT / 'src'}:{folder}")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"commas_here" in done.stdout


# --- answers ------------------------------------------------------------------------------------------------------------


def test_answers_of_a_column(questions, folder):
    wanted = ["--metrics", "exact_match,pass@2,bleu,chrf", "-o", "json"]
    rows = json.loads(out("compare", "-f", questions, *DECODERS, *SHORT, *wanted))["rows"]
    assert rows[0]["exact_match"] == 0
    assert rows[0]["pass_at_2"] is None
    assert rows[1]["pass_at_2"] == 0
    assert 0 < rows[0]["chrf"] < 100
    table = folder / "q.csv"
    table.write_text("question,right\nThe king,a\nA wolf,a\n")
    columns = ["--prompt-column", "question", "--answer-column", "right"]
    pattern = ["--answer-pattern", "a", "--metrics", "exact_match", "-o", "json"]
    rows = json.loads(out("compare", "-f", str(table), *columns, *DECODERS, *SHORT, *pattern))["rows"]
    assert rows[0]["exact_match"] > 0


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        ('{"prompt": "a", "answer": "x"}\n{"prompt": "b"}\n', (), "line 2 has no answer"),
        ('{"prompt": "a", "answer": {"x": 1}}\n', (), "an answer is a text"),
        ('{"prompt": "a"}\n', ("--metrics", "exact_match"), "exact_match needs answers"),
        ('{"prompt": "a"}\n', ("--answer-column", "right"), "'right'"),
        ('{"prompt": [1]}\n', (), "prompts as texts"),
        ("no json\n", (), "it is no JSON"),
        ("\n", (), "there is no prompt"),
        ('{"prompt": "a", "answer": "x"}\n', ("--metrics", "mauve"), "mauve needs 1000 prompts"),
    ],
)
def test_a_file_of_questions_that_is_wrong(folder, text, more, said):
    (folder / "q.jsonl").write_text(text)
    assert said in refusal("compare", "-f", "q.jsonl", *SHORT, *more)


def test_options_that_do_not_belong_together(folder):
    for more, said in (
        (("--answer-column", "a"), "--answer-column names a column"),
        (("--show", "0"), "at least 1"),
        (("--show", "1", "-d", "greedy"), "give several"),
        (("--show", "1", "-o", "json"), "--show"),
        (("--html", "no/such/r.html"), "no folder"),
        (("--html", "a.html", "-o", "html", "--output-file", "a.html"), "would write the same file"),
    ):
        assert said in refusal("compare", "x", *SHORT, *more)
    assert not list(folder.iterdir())


# --- side by side -------------------------------------------------------------------------------------------------------


def test_texts_side_by_side_fit_and_the_most_different_come_first(questions, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = out("compare", "-f", questions, *DECODERS, *SHORT, "--metrics", "perplexity,length", "--show", "2")
    below = shown[shown.index("most different") :]
    assert max(map(len, shown.splitlines())) <= 80
    assert "\n1. " in below
    assert "\n2. " in below
    assert "\n3. " not in below
    lines = [line for line in below.splitlines() if " │ " in line]
    assert all(line.index("│") == 39 for line in lines)


def test_the_order_is_by_the_distance_of_the_metrics():
    import unspool as un
    from unspool.views.side_by_side import pairs

    lm = un.load()
    asked = {"seeds": 1, "max_new_tokens": 8}
    prompts, decoders = ["The king", "A wolf", "The old man", "Once"], ["greedy", "sample(1)"]
    ordered = pairs(un.compare(lm, prompts, decoders, **asked, metrics=["length", "perplexity"]), "sample")
    assert [p.distance for p in ordered] == sorted((p.distance for p in ordered), reverse=True)
    apart = {p.prompt: abs(p.values["perplexity"][1] - p.values["perplexity"][0]) for p in ordered}
    alone = un.compare(lm, prompts, decoders, **asked, metrics=["perplexity"])
    assert [p.prompt for p in pairs(alone, "sample")] == sorted(apart, key=lambda prompt: -apart[prompt])


# --- the report ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = Browser(tmp_path_factory.mktemp("profile"), tmp_path_factory.mktemp("downloads"))
    yield found
    found.driver.quit()


def test_the_report_opens_in_a_browser_light_and_dark_wide_and_narrow(browser, questions, folder):
    human = folder / "human.txt"
    human.write_text("There was once a king.\nA wolf came to the door of the house.\n")
    page = folder / "report.html"
    wanted = ["--metrics", "perplexity,length,exact_match", "--reference", str(human), "--html", str(page)]
    assert "Samples and cost" in out("compare", "-f", questions, *DECODERS, "-d", "top_p(0.5) | beam_sample(2)", *SHORT, *wanted)
    text = page.read_text()
    assert "http://" not in text
    assert "https://" not in text
    assert "<script" not in text
    assert "The king &amp; &lt;b&gt;queen&lt;/b&gt;" in text
    colours = set()
    for theme in ("light", "dark"):
        browser.theme(theme)
        for width in (360, 1280):
            browser.size(width, 800)
            browser.driver.get(page.as_uri())
            assert browser.js("document.documentElement.scrollWidth") <= width
            assert browser.js("document.querySelectorAll('svg.figure').length") == 4
            assert browser.js("document.querySelectorAll('b').length") == 0
            small = browser.js(f"{FIGURES}.map((s) => s.getBoundingClientRect().width)")
            assert all(200 < one <= width for one in small)
            boxes = browser.js(f"{FIGURES}.flatMap((s) => [...s.querySelectorAll('text')].map((t) => [t.getBBox().x, t.getBBox().width]))")
            assert all(x >= 0 and x + wide <= 340 for x, wide in boxes)
            assert not browser.said()
        ink = "getComputedStyle(document.querySelector('svg text')).fill"
        colours.add(browser.js(f"getComputedStyle(document.body).backgroundColor + {ink}"))
    assert len(colours) == 2


# --- one writer, and a bar ----------------------------------------------------------------------------------------------


def test_a_second_program_is_refused_while_one_writes(folder):
    path = folder / "texts.jsonl"
    arguments = ["compare", "The king", "-d", "sample(2)", "--save", str(path), "--seeds", "400", "--max-new-tokens", "20"]
    screen = Terminal(*arguments)
    end = time.monotonic() + 30
    while time.monotonic() < end and not (path.exists() and path.stat().st_size):
        time.sleep(0.02)
    assert "another program is writing" in program_refusal(*arguments)
    screen.interrupt()
    screen.read()
    assert screen.code() == 130
    lines = path.read_bytes().count(b"\n")
    assert called(*arguments[:-4], "--seeds", "1", "--max-new-tokens", "20")[0] == 0
    assert path.read_bytes().count(b"\n") == lines


def test_the_bar_says_rate_and_time_left_on_a_terminal_and_nothing_to_a_pipe(folder):
    arguments = ["compare", "The king", "-d", "sample(2)", "--seeds", "60", "--max-new-tokens", "30"]
    done = unspool(*arguments)
    assert (done.returncode, done.stderr) == (0, b"")
    shown = Terminal(*arguments, columns=120)
    seen = shown.read()
    assert shown.code() == 0
    assert "runs/s" in seen
    assert "left" in seen
