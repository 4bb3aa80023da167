"""The benchmark's own arithmetic on lines made by hand, and a run of the whole on a model of two small layers."""

import io
import json
import sys
from dataclasses import asdict

import pytest

import unspool as un
from benchmarks import __main__ as program
from benchmarks.bandwidth import Reader
from benchmarks.contestants import ENGINES, FORMATS
from benchmarks.contestants.lookup import Lookup, follower
from benchmarks.contestants.serving import serve, timed
from benchmarks.duel import Contestant, Place, missing
from benchmarks.models import bytes_read, made
from benchmarks.noise import is_quiet, own, peak_mib
from benchmarks.page import Setting, written
from benchmarks.results import Duel, best_peer, duels_of, first_difference, ratio
from benchmarks.workloads import COMPARED, KINDS, ROWS, Workload


def line(contestant, kind="time", model="tiny", number="float32", **more):
    return {"model": model, "format": number, "kind": kind, "contestant": contestant} | more


def timing(contestant, round, seconds, others=0.0, row="greedy"):
    return line(contestant, row=row, round=round, seconds=seconds, others=others, counted=100)


def started(*names):
    return [line(name, "start", first=1.0, load=0.5, peak=100.0, version="1") for name in names]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return made("tiny", tmp_path_factory.mktemp("cache"))


def test_a_ratio_is_the_median_of_the_rounds_ratios_and_not_the_ratio_of_the_medians():
    lines = [timing("unspool", i, s) for i, s in enumerate((1.0, 2.0, 8.0))] + [timing("peer", i, s) for i, s in enumerate((3.0, 2.0, 4.0))]
    rates = Duel("tiny", "float32", (*started("unspool", "peer"), *lines)).rates("greedy")
    assert rates["unspool"].median == 50
    assert rates["peer"].median == pytest.approx(100 / 3)
    assert ratio(rates["unspool"], rates["peer"]) == 1.0                 # of 3, 1 and 1/2


def test_noisy_rounds_are_left_out_unless_all_are():
    lines = [timing("unspool", 0, 1.0), timing("unspool", 1, 9.0, others=0.5), timing("peer", 0, 2.0), timing("peer", 1, 2.0)]
    rates = Duel("tiny", "float32", (*started("unspool", "peer"), *lines)).rates("greedy")
    assert rates["unspool"].median == 100
    assert rates["unspool"].quiet == {0}
    assert ratio(rates["unspool"], rates["peer"]) == 2.0
    noisy = [line | {"others": 1.0} for line in lines if line["contestant"] == "unspool"]
    assert Duel("tiny", "float32", (*started("unspool"), *noisy)).rates("greedy")["unspool"].median == pytest.approx((100 + 100 / 9) / 2)


def test_quiet_allows_a_tenth_of_a_core_and_the_error_of_the_clock():
    assert is_quiet(0.1, 10)
    assert not is_quiet(0.2, 10)
    assert is_quiet(0.3, 0.1)
    assert not is_quiet(1.2, 0.001)


def test_the_best_peer_is_the_fastest_that_is_not_ours():
    lines = [timing("unspool torch", 0, 1.0), timing("slow", 0, 5.0), timing("fast", 0, 2.0)]
    duel = Duel("tiny", "float32", (*started("unspool torch", "slow", "fast"), *lines))
    assert best_peer(duel.rates("greedy")) == "fast"
    assert duel.peers == ["slow", "fast"]
    assert best_peer({"unspool": duel.rates("greedy")["unspool torch"]}) == ""


def test_a_contestant_that_failed_in_a_round_has_no_rate_and_says_why():
    lines = (*started("unspool"), timing("unspool", 0, 1.0), line("unspool", row="greedy", round=1, error="it broke"))
    duel = Duel("tiny", "float32", lines)
    assert duel.rates("greedy") == {}
    assert duel.said("greedy", "unspool") == "it broke"


def test_the_share_of_the_bandwidth_is_what_reading_the_weights_takes(tiny):
    weights = bytes_read(tiny, 32)
    bandwidth = {"model": "tiny", "format": "float32", "kind": "bandwidth", "rate": weights * 200}
    duel = Duel("tiny", "float32", (bandwidth,))
    row = Workload("greedy", "greedy", new=128)
    assert duel.share(100.0, row, tiny) == pytest.approx(0.5)            # 100 readings a second, where 200 can be
    assert duel.share(800.0, Workload("", "greedy", prompts=8), tiny) == pytest.approx(0.5)
    assert duel.share(100.0, Workload("", "speculative"), tiny) == 0
    assert Duel("tiny", "int8", (bandwidth,)).share(100.0, row, tiny) == pytest.approx(0.125)


def test_the_weights_that_are_read_are_all_but_the_positions(tiny):
    lm = un.load(tiny)
    width = 64
    layer = 4 * width * width + 8 * width * width + 13 * width
    assert bytes_read(tiny, 8) == 512 * width + 2 * layer + 2 * width
    assert lm.model.vocabulary == 512


def test_texts_are_compared_with_transformers_and_the_first_difference_is_said():
    texts = {"unspool": [[1, 2, 3]], "transformers": [[1, 9, 3]], "other": [[1, 9, 3]]}
    lines = tuple(line(name, "tokens", row="greedy", tokens=found) for name, found in texts.items())
    found = Duel("tiny", "float32", lines).alike()
    assert found == [("greedy", "unspool", "transformers", 0, 1, 1), ("greedy", "other", "transformers", 1, 1, -1)]
    assert first_difference([1, 2], [1, 2, 3]) == 2


def test_lines_are_parted_by_model_and_format():
    lines = [line("unspool", number="int8"), line("unspool"), line("peer", number="int8")]
    assert [(duel.format, len(duel.lines)) for duel in duels_of(lines)] == [("int8", 2), ("float32", 1)]


def test_prompts_are_the_same_at_every_call_and_lie_in_the_vocabulary():
    for row in ROWS:
        tokens = row.tokens(512)
        assert tokens == row.tokens(512)
        assert [len(t) for t in tokens] == [row.length] * row.prompts
        assert all(256 <= t < 511 for text in tokens for t in text)
        if row.repeats:
            assert tokens[0][:8] == tokens[0][8:16]
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert {row.kind for row in ROWS} == set(KINDS)


def test_a_call_that_makes_too_few_tokens_is_an_error():
    assert timed(lambda prompts: [[1, 2]], Workload("row", "greedy", new=2), [])["seconds"] > 0
    with pytest.raises(ValueError, match="3 tokens; 2 were made"):
        timed(lambda prompts: [[1, 2]], Workload("row", "greedy", new=3), [])


def test_what_is_counted():
    assert Workload("", "sample", n=8, new=64).counted == 512
    assert Workload("", "beam", n=8, new=64).counted == 64
    assert Workload("", "score", prompts=8, length=512, new=0).counted == 8 * 511


def test_no_round_sees_a_prompt_of_another(monkeypatch):
    rows, seen, prepared = [Workload(name, "greedy", prompts=2, new=1) for name in ("row", "other")], [], []

    class Remembers:
        version = "0"

        def prepare(self, row):
            prepared.append(row)
            return answered

    def answered(prompts):
        seen.extend(prompts)
        return [[1], [2]]

    questions = [{"do": "time", "row": asdict(row), "round": i} for row in rows for i in range(3)]
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(json.dumps(q) + "\n" for q in questions)))
    serve(Remembers(), 512, answers := io.StringIO())
    assert ["seconds" in json.loads(text) for text in answers.getvalue().splitlines()] == [True] * 6
    assert prepared == rows
    assert len({tuple(tokens) for tokens in seen}) == 2 * 2 * 4           # one round more: it runs once untimed


def test_the_lookup_guesses_what_came_before():
    assert follower([5, 1, 2, 7, 1, 2, 8, 1, 2]) == 8
    assert follower([1, 2, 3]) == 3
    assert follower([4]) == 4
    session = Lookup(16, 32).session()
    (row,) = session.extend([-1], [[1, 2, 7, 1, 2]])
    assert session.logits([row])[0].argmax() == 7
    assert session.extend([row], [[]]).tolist() == [row]


def test_lookup_and_draft_find_the_text_of_greedy_search(tiny):
    from benchmarks.contestants.unspool import Unspool

    engine = Unspool(tiny, "float32", 1)
    rows = [Workload(kind, kind, length=24, new=16, repeats=True) for kind in ("greedy", "lookup", "speculative")]
    texts = [engine.prepare(row)(rows[0].tokens(512)) for row in rows]
    assert texts[0] == texts[1] == texts[2]


def test_the_bandwidth_and_the_memory_are_numbers():
    assert Reader(2, megabytes=4).rate() > 1e6
    assert own() > 0
    assert (peak_mib() > 1 or sys.platform != "linux")


def test_an_engine_that_is_not_there_is_said():
    assert missing("unspool", sys.executable) == ""
    assert missing("transformers", "/nowhere/python") == "there is no /nowhere/python"
    assert all(set(entry.formats) <= set(FORMATS) for entry in ENGINES.values())


def test_threads_are_pinned_for_all_or_for_none(tmp_path):
    kept = Place(tmp_path, tmp_path, 3, pin=True).environment()
    assert kept["OMP_PROC_BIND"] == "true"
    assert kept["OMP_PLACES"] == "cores"
    assert kept["OMP_NUM_THREADS"] == "3"
    free = Place(tmp_path, tmp_path, 3, pin=False).environment()
    assert "OMP_PLACES" not in free


def test_a_format_is_given_to_those_that_have_it():
    field = [Contestant(name, "float32", "python") for name in ENGINES]
    assert {c.engine for c in program.fitting(field, "gpt2", "int4")} == {"unspool", "llama_cpp", "openvino"}
    assert {c.engine for c in program.fitting(field, "llama", "int4")} == {"unspool", "llama_cpp", "openvino", "onnxruntime"}
    assert all(c.format == "int4" for c in program.fitting(field, "gpt2", "int4"))
    assert Contestant("unspool", "int8", "python", {"backend": "compiled"}).name == "unspool compiled"


@pytest.mark.parametrize("arguments", [["--models", "gpt3"], ["--python", "vllm=python"], ["--rows", "greedy,sample"]])
def test_options_that_mean_nothing_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        program.options_of(arguments)
    assert arguments[1].split("=")[0].split(",")[0] in capsys.readouterr().err


def test_the_page_says_who_is_missing_and_marks_noise(tiny):
    lines = (*started("unspool", "transformers"), timing("unspool", 0, 1.0, others=1.0), timing("transformers", 0, 2.0))
    lines += (line("transformers", row="exact search", round=0, absent="no exact search"), timing("unspool", 0, 1.0, row="exact search"))
    lines += (line("broken", "start", error="no such file"),)
    setting = Setting("2020-01-01", "a machine", "Linux", 2, True, 1, "python -m benchmarks", ("vllm, not installed: vllm",))
    page = written(setting, duels_of(lines), {"tiny": tiny}, {})
    assert "| greedy | 100.0** | 50.0 | 2.00 (transformers) | 2.00 | – |" in page
    assert "| exact search | 100.0 | – | – | – | – |" in page
    assert "transformers: exact search: no exact search" in page
    assert "broken did not start: no such file" in page
    assert "left out: vllm, not installed: vllm" in page
    assert "disturbed 1 of 3 calls" in page


def test_a_run_of_everything_on_a_tiny_model(tiny, tmp_path):
    raw, page = tmp_path / "raw", tmp_path / "speed.md"
    arguments = ["--quick", "--no-pin", "--rounds", "1", "--threads", "1", "--models", "tiny", "--engines", "unspool"]
    program.main([*arguments, "--cache", str(tiny.parent), "--raw", str(raw), "--page", str(page)])
    (kept,) = raw.glob("*.jsonl")
    lines = [json.loads(text) for text in kept.read_text().splitlines()]
    (duel,) = duels_of(lines)
    assert [row.name for row in ROWS if "unspool" not in duel.rates(row.name)] == []
    assert duel.names == ["unspool"]
    assert duel.bandwidth() > 0
    found = page.read_text()
    assert all(f"| {row.name} |" in found for row in ROWS)
    assert all(len(text) == 32 for entry in lines if entry["kind"] == "tokens" for text in entry["tokens"])


def test_transformers_makes_the_texts_of_greedy_search_that_we_make(tiny):
    from benchmarks.contestants.transformers import Transformers
    from benchmarks.contestants.unspool import Unspool

    engines = [Unspool(tiny, "float32", 1), Transformers(tiny, "float32", 1)]
    for row in (*COMPARED, Workload("lookup", "lookup", length=24, new=16, repeats=True)):
        ours, theirs = [engine.prepare(row)(row.tokens(512)) for engine in engines]
        assert ours == theirs
