"""Every processor, strategy and stop is explained, and what is said of it agrees with the code."""

import math
import re
from dataclasses import dataclass, fields, replace

import pytest
from laws.examples import processors, stops, strategies

import unspool as un
from unspool.core.decoder import REGISTRY
from unspool.errors import ParameterError, UnknownName
from unspool.lab import methods as lab
from unspool.lab.examples import Texts, run_method
from unspool.lab.methods import EXAMPLE_PROMPT, GROUPS, known_parts, method, methods, read_docstring

OWN = {name: cls for name, cls in known_parts().items() if cls.__module__.startswith("unspool.")}
KEYS = {"Family", "Formula", "When", "Reference", "Elsewhere", "Example", "Prompt", "Step", "Tokens", "See"}
EXAMPLES = {cls: some[0] for group in (processors(), strategies(), stops()) for cls, some in group.items()}


def test_every_method_is_explained_and_no_other():
    assert set(lab._texts()) == set(OWN), "give each method a section in data/methods.ini, then run scripts/pages"


def missing(name):
    """What is not said of a method, or said wrongly."""
    texts, told = lab._texts()[name], method(name)
    if "Family" not in texts or not told.when:
        yield "its Family or When"
    yield from (f"the meaning of {p.name}" for p in told.parameters if not p.meaning)
    yield from (f"See: {other} is no other method" for other in set(told.see) - (set(OWN) - {name}))
    yield from (f"{key} is no parameter" for key in set(texts) - KEYS - {f.name for f in fields(OWN[name])})
    in_code = set(re.findall(r"\b\d{4}\.\d{5}\b", OWN[name].__doc__ or ""))
    yield from (f"arXiv {n} has no reference" for n in in_code - set(re.findall(r"arXiv (\d{4}\.\d{5})", " ".join(told.references))))
    yield from (f"a citation is not part of the definition: {text}" for text in told.definition if "arXiv" in text)
    yield from (f"no reference: {line}" for line in told.references if not re.match(r".+?(\d{4}\. |\. )", line))


def test_everything_is_said_of_every_method_and_papers_are_those_of_the_docstring():
    assert [f"{name}: {what}" for name in sorted(OWN) for what in missing(name)] == []


def test_aliases_lead_to_the_same_method():
    for cls in OWN.values():
        assert {method(name).name for name in (cls.name, *cls.aliases)} == {cls.name}
    with pytest.raises(UnknownName, match="top_p"):
        method("topp")


def test_families_are_known_and_methods_are_listed_once():
    found = methods()
    assert [m.name for m in found if m.name in OWN] == sorted(OWN, key=[m.name for m in found].index)
    assert len({m.name for m in found}) == len(found)
    assert {m.family for m in found} == set(GROUPS)


def bounds(text):
    """Numbers within and outside a range such as "[0, 1)" or ">= 2"; nothing for ranges that name another parameter."""
    if found := re.fullmatch(r"(>=?) (\d+)", text):
        low = int(found[2])
        return ([low, low + 3], [low - 1]) if found[1] == ">=" else ([], [low])
    if not (found := re.fullmatch(r"([\[(])(-?[\d.]+|-inf), (-?[\d.]+|inf)([\])])", text)):
        return [], []
    low, high = float(found[2]), float(found[3])
    inside = [low] * (found[1] == "[") + [high] * (found[4] == "]")
    outside = [low] * (found[1] == "(") + [high] * (found[4] == ")")
    outside += [low - 0.01] * math.isfinite(low) + [high + 0.01] * math.isfinite(high)
    return inside, outside


def accepted(cls, field, value):
    """Whether an example takes this value; one that is refused beside another field is taken by itself."""
    others = "|".join(f.name for f in fields(cls) if f.name != field) or "(?!)"
    part = EXAMPLES[cls]
    try:
        cls(*getattr(part, fields(cls)[0].name), **{field: value}) if cls.variadic else replace(part, **{field: value})
    except ParameterError as error:
        return "beside another" if re.search(rf"\b({others})\b", str(error)) else False
    return True


def test_ranges_are_those_that_are_checked():
    said = [(cls, p.name, p.range, *bounds(p.range)) for cls in OWN.values() for p in method(cls.name).parameters]
    assert sum(bool(inside or outside) for *_, inside, outside in said) > 50
    wrong = [(cls.name, field, text, v) for cls, field, text, inside, _ in said for v in inside if not accepted(cls, field, v)]
    wrong += [(cls.name, field, text, v) for cls, field, text, _, outside in said for v in outside if accepted(cls, field, v) is True]
    assert not wrong, "these values are not taken as is said"


def test_a_docstring_is_taken_apart():
    text = """Keep the best: p >= x (Nobody et al. 2020, arXiv 2001.00001).

    It may keep one. Somebody and Nobody 2021, arXiv 2101.00001; in a program. And more of it.
    scope: "all" or "some"; window: so many. Then more. mode: what to do.
    """
    paragraphs, told = read_docstring(text, ["scope", "window", "mode", "other"])
    assert paragraphs == ["Keep the best: p >= x.", "It may keep one. And more of it."]
    assert told == {"scope": '"all" or "some"', "window": "so many. Then more.", "mode": "what to do"}


def test_a_part_of_ones_own_is_explained_by_its_docstring(monkeypatch):
    monkeypatch.setattr("unspool.core.decoder.REGISTRY", dict(REGISTRY))

    @dataclass(frozen=True)
    class Halve(un.Processor):
        """Halve all scores. by: how often."""

        by: int = 1

        def process(self, rows, scores, memory=None):
            return scores / 2**self.by

    told = lab.of(Halve)
    assert told.meaning == "Halve all scores."
    assert [(p.name, p.default, p.meaning) for p in told.parameters] == [("by", "1", "how often")]
    found = run_method(told, un.load(), "halve(2) | sample(1)", EXAMPLE_PROMPT, 2)
    assert found.entropy[0] < found.entropy[1]


@pytest.fixture(scope="module")
def bundled():
    return un.load()


@pytest.mark.parametrize("name", sorted(OWN))
def test_every_example_runs_on_the_bundled_model(name, bundled):
    if name in ("regex", "json_schema", "grammar"):
        pytest.importorskip("llguidance")
    told = method(name)
    found = run_method(told, bundled)
    if isinstance(found, Texts):
        assert found.lines[0].label == name
        assert all(line.tokens and math.isfinite(line.logprob) for line in found.lines)
    else:
        assert all(0 <= c.before <= 1 and 0 <= c.after <= 1 for c in found.changes)
        assert [c.rank for c in found.changes] == sorted(c.rank for c in found.changes)
        changes = any(abs(c.before - c.after) > 1e-5 for c in found.changes)
        assert changes or told.family == "plumbing", "an example makes the effect visible"


def test_the_cut_is_shown_where_the_likeliest_all_stay(bundled):
    found = run_method(method("top_k"), bundled, "top_k(50)")
    assert found.kept[1] == 50
    assert [c.rank for c in found.changes][-3:] == [50, 51, 52]
    assert [c.after > 0 for c in found.changes] == [True] * (len(found.changes) - 2) + [False] * 2


def test_a_run_needs_its_method(bundled):
    with pytest.raises(ParameterError, match="no top_p"):
        run_method(method("top_p"), bundled, "top_k(3)")
    with pytest.raises(ParameterError, match="is not among them"):
        run_method(method("top_k"), bundled, "top_k(3) | stop('a')", "Once upon a time", 80)


def test_every_line_of_elsewhere_names_an_engine():
    assert [(m.name, e.engine) for m in methods() for e in m.elsewhere if re.search(r"[_=;]", e.engine)] == []
