"""The page of parity, docs/parity.md: what the tests compared with which reference, as they counted it."""

import json
import textwrap
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA, PAGE = ROOT / "tests" / "data" / "parity.json", ROOT / "docs" / "parity.md"
WRITE = "scripts/test tests/parity tests/gate tests/hf tests/models tests/real --write-parity"

HEAD = f"""\
# Parity

What unspool computes is compared with what its peers compute, and with the definitions in the papers. The tests that compare write
this page (`{WRITE}`)
and fail where they count something else than it says.

A case is one input: for a processor a batch of scores with the texts before them, for a strategy a prompt. *Equal* means the same
tokens kept, or the same text chosen, and the same numbers to float32's precision. A *near tie* is a case where the two differ and the
tokens in question lie so near the line, or each other, that float32 decides either way; how many there are depends on the machine.
*On purpose* are cases in which one of the differences listed below shows. Any other difference fails a test.
"""
KINDS = ("equal", "on purpose", "near tie")
REFERENCES = {
    "transformers 5": "Processors see random scores, in numpy and in torch: vocabularies of 6 to 700 tokens, up to 40 % impossible ones, "
    "ties, settings at their extremes and beyond. Strategies run on random checkpoints, against `generate`; their processed "
    "log-probabilities are compared token by token. The near ties of top_h are those of alpha = 1, where the line is the whole sum and "
    "rounding decides.",
    "transformers 4": "The last minor release with contrastive search, DoLa, group beams and constrained beams inside wrote down what it "
    "says, on random checkpoints of GPT-2 and Llama; the files and the scripts that wrote them lie with the tests.",
    "llama.cpp": "Its samplers through their C interface, on the same scores in float32: vocabularies of 5 to 1500 tokens, impossible "
    "tokens, ties, all equal, one left, probabilities that are 0 in float32. What it says is stored in a file with the script that wrote "
    "it, and compared afresh where `llama_cpp` can be imported. Its random numbers are its own: where it draws, its tokens are taken over.",
    "llama-cpp-python": "What llama.cpp makes of hard texts with GPT-2's vocabulary, under every name by which a GGUF file says how texts "
    "are cut; stored in a file with the script that wrote it.",
    "CTranslate2": "Its beam search with the patience factor on a random checkpoint that it converted; stored as for llama.cpp.",
    "mlx-lm": "Its samplers and logits processors on the same scores, in float32 on a CPU; stored as for llama.cpp.",
    "vLLM": "Its definitions, written out again in the test in plain loops over tokens.",
    "OpenAI": "The formula of its documentation, written out again in the test in plain loops over tokens.",
    "sentencepiece": "Small tokenizers were trained with it, by merges and by scores, with and without bytes, a space before a text, "
    "tidied spaces and symbols of one's own; what it says of 303 texts each, half of them odd, is stored with the script that wrote it.",
    "definitions": "Each rule written out again in the test, in plain Python and float64 over the whole sorted vocabulary. Truncation here "
    "looks at the 256 likeliest candidates first and at the rest only if those do not settle it: both ways are compared, with ties across "
    "the cut. That texts are drawn from what the rules leave is tested by chi-squared beside them, for single steps and for whole texts "
    "(`tests/laws`).",
}
"""How each reference is compared, by the beginning of its name, in the order of the page."""


class Tally:
    """What one file of tests compared."""

    def __init__(self, reference: str) -> None:
        self.reference = reference
        self.counts: dict[tuple[str, str], Counter[str]] = {}
        self.notes: dict[tuple[str, str, str], str] = {}

    def __call__(self, method: str, kind: str = "equal", *, reference: str = "") -> None:
        """One more case of a kind, of KINDS."""
        assert kind in KINDS, kind
        self.counts.setdefault((reference or self.reference, method), Counter())[kind] += 1

    def difference(self, what: str, why: str, *, reference: str = "") -> None:
        """A definition from which unspool parts on purpose, shown by a test."""
        self.notes[reference or self.reference, "difference", what] = why

    def defect(self, what: str, evidence: str, *, reference: str = "") -> None:
        """A mistake of the reference that a test met with."""
        self.notes[reference or self.reference, "defect", what] = evidence

    def as_json(self) -> dict:
        """Rows of [reference, method, cases, on purpose, near ties], and notes of [reference, kind, what, why]."""
        rows = [[*key, counts.total(), counts["on purpose"], counts["near tie"]] for key, counts in self.counts.items()]
        return {"rows": sorted(rows), "notes": sorted([*key, why] for key, why in self.notes.items())}


def differences(found: dict, page: dict) -> list[str]:
    """Where a file's count is not what the page says, near ties aside."""
    here, there = ({json.dumps(x) for x in [*(row[:4] for row in part["rows"]), *part["notes"]]} for part in (found, page))
    return [f"counted {x}" for x in sorted(here - there)] + [f"the page has {x}" for x in sorted(there - here)]


def read() -> dict[str, dict]:
    """What every file of tests counted when the page was written."""
    return json.loads(DATA.read_text(encoding="utf-8")) if DATA.exists() else {}


def write(counted: dict[str, dict]) -> None:
    """The page and its data, with these files' counts."""
    counted = {name: found for name, found in sorted((read() | counted).items()) if (ROOT / name).exists()}
    DATA.write_text(_in_lines(counted) + "\n", encoding="utf-8")
    PAGE.write_text(render(counted), encoding="utf-8")


def _in_lines(value: dict | list) -> str:
    """JSON with a line for each row."""
    if isinstance(value, dict):
        return "{" + ",\n".join(f"{json.dumps(key)}: {_in_lines(part)}" for key, part in value.items()) + "}"
    return "[" + ",".join(f"\n{json.dumps(x, ensure_ascii=False)}" for x in value) + "]"


def render(counted: dict[str, dict]) -> str:
    """The page in Markdown."""
    rows = [(*row, name) for name, found in counted.items() for row in found["rows"]]
    notes = [tuple(note) for found in counted.values() for note in found["notes"]]
    order = list(REFERENCES)
    references = sorted({x[0] for x in [*rows, *notes]}, key=lambda name: (order.index(_beginning(name)), name))
    page = [HEAD, "| reference | cases | equal | on purpose | near ties |", "|---|--:|--:|--:|--:|"]
    for reference in references:
        cases, purposely, near = (sum(row[i] for row in rows if row[0] == reference) for i in (2, 3, 4))
        page.append(f"| {reference} | {cases:,} | {cases - purposely - near:,} | {purposely or ''} | {near or ''} |")
    for reference in references:
        own = sorted(row[1:] for row in rows if row[0] == reference)
        page += ["", f"## {reference}", "", *textwrap.wrap(REFERENCES[_beginning(reference)], 140), "", *_table(own)]
        page += _list("Where unspool differs on purpose", sorted(x[2:] for x in notes if x[:2] == (reference, "difference")))
        page += _list("Defects met on the way", sorted(x[2:] for x in notes if x[:2] == (reference, "defect")))
    return "\n".join(page) + "\n"


def _beginning(reference: str) -> str:
    return next(begin for begin in REFERENCES if reference.startswith(begin))


def _table(rows: list[tuple]) -> list[str]:
    lines = ["| method | cases | equal | on purpose | near ties | compared in |", "|---|--:|--:|--:|--:|---|"]
    for method, cases, purposely, near, name in rows:
        equal = cases - purposely - near
        lines.append(f"| {method} | {cases} | {equal} | {purposely or ''} | {near or ''} | [{Path(name).name}](../{name}) |")
    return lines if rows else []


def _list(title: str, notes: list[tuple[str, str]]) -> list[str]:
    return ["", f"### {title}", "", *(f"- **{what}**: {why}." for what, why in notes)] if notes else []
