"""Every view shows every record: of all strategies, at all levels, live and saved, whole or damaged, as text and as safe HTML."""

import contextlib
import json
import random
import re
from html.parser import HTMLParser

import pytest
from helpers.tables import Letters, table
from laws.examples import stops, strategies

import unspool as un
from unspool.record.step import LEVELS
from unspool.views import plot
from unspool.views.heat import Heat
from unspool.views.heat_text import draw_growing_heat, draw_heat
from unspool.views.heat_tokens import BY, BY_WORDS
from unspool.views.particles import STRATEGY, Particles
from unspool.views.particles_picture import particles_form
from unspool.views.particles_text import draw_particles
from unspool.views.report import generated
from unspool.views.results import draw_output, draw_score
from unspool.views.table import StepTable
from unspool.views.terminal import Paint, display_width
from unspool.views.tree import Tree
from unspool.views.tree_text import draw_growing_tree, draw_tree
from unspool.views.why import Why
from unspool.views.why_bars import draw_before_after

DECODERS = {str(s): s for some in strategies().values() for s in some} | {
    f"sample(2) | {stop}": un.Sample(2) | stop for some in stops().values() for stop in some[:1]
}
EVIL = ["<script>alert(1)</script>", "a&b\u202e", "\x1b[31m", '"><img src=x>', "한\n`", "end"]


class Evil(Letters):
    """Tokens that are markup, controls and quotes."""

    def name_of(self, token):
        return EVIL[token]


def model(seed=3):
    return un.LanguageModel(table(seed), Evil())


def drawn(trace, width=40):
    """What every view that the trace's level allows makes of it for a terminal."""
    paint, plain = Paint(True), Paint(False)
    rich = trace.level in ("choices", "stages")
    for number in range(1, len(trace.hypotheses[0]) + 1):
        for by in BY if rich else BY[:2]:
            heat = Heat.from_trace(trace, by, number=number)
            yield from (draw_heat(heat, width, plain), draw_growing_heat(heat, width, plain, 9))
            assert draw_heat(heat, width, paint)
            if by in BY_WORDS:
                yield draw_heat(heat.by_words(), width, plain)
    tree = Tree.from_trace(trace, pruned=rich)
    yield from (draw_tree(tree, width, plain), draw_growing_tree(tree, width, plain, 9))
    if STRATEGY in trace.recipe.get("decoder", "") and len(trace.prompts) == 1:
        yield draw_particles(Particles.from_trace(trace), width, plain)
    if rich:
        yield StepTable.from_trace(trace, all=True, processed=True).to_text(0, plain)
        assert StepTable.from_trace(trace).to_text(width, paint)
    if trace.level == "stages":
        for step in range(len(trace.hypotheses[0][0].tokens)):
            why = Why.from_trace(trace, step + 1)
            yield from (why.draw(width, plain), draw_before_after(why, width, plain))


def pages(trace):
    """What every view makes of it as HTML: pages, and pieces for notebooks."""
    rich = trace.level in ("choices", "stages")
    tree, heat = Tree.from_trace(trace, pruned=rich), Heat.from_trace(trace)
    yield from (tree.to_form("html"), tree._repr_html_(), heat.to_html(), heat._repr_html_(), trace._repr_html_())
    if STRATEGY in trace.recipe.get("decoder", ""):
        yield particles_form(Particles.from_trace(trace), "html")
    if rich:
        yield StepTable.from_trace(trace)._repr_html_()
    if trace.level == "stages":
        yield Why.from_trace(trace)._repr_html_()


class Reader(HTMLParser):
    """Reads HTML and holds on to what must not be there."""

    VOID = ("meta", "br", "circle", "path")

    def __init__(self, text):
        super().__init__()
        self.open, self.wrong = [], []
        self.feed(text)
        self.close()
        self.wrong += self.open

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        if tag in ("script", "img", "link", "iframe", "object", "embed", "base", "form"):
            self.wrong.append(tag)
        self.wrong += [name for name, _ in attributes if name.startswith("on") or name in ("src", "href", "srcset", "action")]

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            self.wrong += [] if self.open and self.open.pop() == tag else [f"/{tag}"]


def is_safe(text):
    """Whole HTML without scripts, and without anything from elsewhere."""
    assert Reader(text).wrong == []
    assert not re.search(r"url\(|@import|javascript:", text)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert not set(text) & {"\x1b", "\u202e", "\x00"}
    assert "prefers-color-scheme: dark" in text


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("level", LEVELS[1:])
def test_every_view_shows_every_record(name, level, tmp_path):
    lm = model()
    output = lm.generate("abe", DECODERS[name], max_new_tokens=4, level=level, choices=4)
    output.trace.save(tmp_path / "trace.jsonl")
    saved = un.Trace.load(tmp_path / "trace.jsonl")
    texts = list(drawn(saved))
    assert texts == list(drawn(output.trace))
    for text in texts:
        assert not set(text) & {"\x1b", "\u202e", "\x00"}
    for text in [*pages(saved), output._repr_html_(), output.best._repr_html_()]:
        is_safe(text)
    assert list(pages(saved)) == list(pages(output.trace))


DYING = {
    "at once": "allowed(1) | banned(1) | sample(2)",
    "later": "no_repeat_ngram(1) | allowed(1, 2, 3) | sample(2)",
    "as beams": "no_repeat_ngram(1) | allowed(1, 2, 3) | beam(2)",
    "in a search": "no_repeat_ngram(1) | allowed(1, 2, 3) | exact(2)",
}
NO_TEXT = "and this run came to none"


@pytest.mark.parametrize("name", DYING)
@pytest.mark.parametrize("level", LEVELS[1:])
def test_of_a_run_without_a_text_every_view_shows_what_there_is_or_says_so_in_one_line(name, level, tmp_path):
    lm = model()
    outputs = lm.generate(["ae", "be"], DYING[name], max_new_tokens=6, level=level)
    assert [output.sequences for output in outputs] == [[], []]
    dead = outputs[0]
    dead.trace.save(tmp_path / "trace")
    saved, plain = un.Trace.load(tmp_path / "trace"), Paint(False)
    assert saved.hypotheses == [[]]
    rich = level in ("choices", "stages")
    for trace in (saved, dead.trace):
        tree = Tree.from_trace(trace, pruned=rich)
        assert tree.died
        assert len(tree.roots) > 0 or name == "at once"
        assert "no text came of it" in draw_tree(tree, 40, plain)
        assert "no text came of it" in draw_tree(tree, 0, plain)
        assert draw_growing_tree(tree, 40, plain, 9)
        is_safe(tree.to_form("html"))
        assert all(tree.to_form(form) for form in ("svg", "json", "dot", "mermaid"))
        is_safe(trace._repr_html_())
        assert "no text" in trace._repr_html_()
        if rich:
            assert len(StepTable.from_trace(trace, all=True)) > 0 or name == "at once"
        refused = [StepTable.from_trace] if rich else []
        refused += [Heat.from_trace, *([Why.from_trace, plot.entropy, lambda t: plot.kept({"x": t})] if level == "stages" else [])]
        for view in refused:
            with pytest.raises(un.DeadEnd, match=NO_TEXT) as error:
                view(trace)
            assert "\n" not in str(error.value)
    for text in (dead._repr_html_(), outputs._repr_html_()):
        is_safe(text)
        assert "no hypothesis is left" in text
    assert "no text: no hypothesis is left" in draw_output(dead, 40, plain).replace("\n", " ")
    for form in ("json", "jsonl", "csv", "md", "html"):
        assert "no hypothesis is left" in generated(outputs, form).replace("\\", "")


@pytest.mark.parametrize("width", [20, 31, 80])
def test_no_line_is_wider_than_the_screen(width):
    trace = model().generate("abe", "top_k(4) | top_p(0.9) | beam(3)", max_new_tokens=4, level="stages").trace
    steps = StepTable.from_trace(trace, all=True, processed=True)
    for text in [t for t in drawn(trace, width) if not t.startswith(("Step", "Input"))]:
        assert all(display_width(line) <= width for line in text.splitlines()), text
    assert steps.to_text(20)


WIDE = [" " + "Donaudampfschiff" * 6, " " + "한국어" * 25, " " * 90, "=-" * 45, " a\tb\nc" * 9, "end"]


class Wide(Letters):
    """Tokens wider than a screen: without a space, of wide characters, of spaces alone, of lines."""

    def name_of(self, token):
        return WIDE[token]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_tokens_wider_than_the_screen_break_no_line_and_keep_their_numbers(width):
    lm = un.LanguageModel(table(3), Wide())
    trace = lm.generate("abd", "temperature(0.8) | top_k(4) | beam(3)", max_new_tokens=4, level="stages", choices=5).trace
    score = un.LanguageModel(table(3), Wide()).score([0, 1], [2, 3, 4])
    for text in [*drawn(trace, width), draw_score(score, width, Paint(False))]:
        if not text.startswith("Step"):
            assert all(display_width(line) <= width for line in text.splitlines()), text
    listed = draw_heat(Heat.from_trace(trace), width, Paint(False)).split("\n\n")[-1]
    assert len(re.findall(r"… \d+\.\d%", listed)) >= 2, "alternatives with their probabilities"
    assert "␣␣␣" in draw_tree(Tree.from_trace(trace), width, Paint(False)), "a token of spaces is seen"


@pytest.mark.parametrize("name", DECODERS)
def test_the_record_can_be_seen_while_it_grows(name):
    run = model().stream("abe", DECODERS[name], max_new_tokens=4, level="choices", choices=4)
    for _ in run:
        record = run.so_far()
        if record.hypotheses[0]:
            assert all(list(drawn(record)))
    assert run.so_far().hypotheses == [run.output.trace.hypotheses[0]]


def test_lists_and_scores_show_themselves():
    lm = model()
    outputs = lm.generate(["abe", "b"], "sample(2)", max_new_tokens=3)
    scores = un.LanguageModel(table(3), Letters()).score(["ab", "b"], ["cab", "d"])
    for text in (outputs._repr_html_(), scores._repr_html_(), scores[0]._repr_html_(), lm.steps("abe", n=2)._repr_html_()):
        is_safe(text)
    assert (outputs, scores) == ([*outputs], [*scores])


# --- files that are not what they were ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "trace.jsonl"
    model().generate("abe", "top_k(4) | beam(2)", max_new_tokens=3, level="stages").trace.save(path)
    return path.read_text(encoding="utf-8").splitlines(keepends=True)


def read(path, text):
    path.write_text(text, encoding="utf-8")
    return un.Trace.load(path)


def test_a_torn_file_is_refused_in_one_line(lines, tmp_path):
    whole = "".join(lines)
    assert read(tmp_path / "t", whole.removesuffix("\n")).prompts
    for end in range(0, len(whole) - 1, 97):
        with pytest.raises(un.UnspoolError) as error:
            read(tmp_path / "t", whole[:end])
        assert "\n" not in str(error.value)
    with pytest.raises(un.UnspoolError, match=r"damaged one: line 3 is no JSON"):
        read(tmp_path / "t", "".join([*lines[:2], "{{\n", *lines[3:]]))


@pytest.mark.parametrize(("number", "words"), [(3, "newer unspool wrote it: update"), (0, "record it again"), ("1", "record it again")])
def test_another_format_says_what_to_do(lines, tmp_path, number, words):
    head = json.loads(lines[0]) | {"unspool_trace": number}
    with pytest.raises(un.UnspoolError, match=words):
        read(tmp_path / "t", "".join([json.dumps(head) + "\n", *lines[1:]]))


def test_fields_that_a_later_version_adds_are_passed_over(lines, tmp_path):
    def more(value):
        if isinstance(value, dict):
            return {k: v if k in ("tokens", "names", "columns", "dropped") else more(v) for k, v in value.items()} | {"later": 1}
        return [more(v) for v in value] if isinstance(value, list) else value

    found = read(tmp_path / "t", "".join(json.dumps(more(json.loads(line))) + "\n" for line in lines))
    assert list(drawn(found)) == list(drawn(read(tmp_path / "t", "".join(lines))))


def places(value, path=()):
    """Where the values of a JSON document are."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def changed(value, path, how):
    """A document with one value removed or replaced."""
    if not path:
        return how
    value = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1 and how is None:
        del value[path[0]]
    else:
        value[path[0]] = changed(value[path[0]], path[1:], how)
    return value


def test_a_damaged_file_is_refused_or_shown_but_never_a_traceback(lines, tmp_path):
    rng, documents = random.Random(0), [json.loads(line) for line in lines]
    for _ in range(150):
        i = rng.randrange(len(documents))
        path = rng.choice(list(places(documents[i])))
        how = rng.choice([None, "x", 7, -1, [], {}, [[1]], 1e400, True, "\u202e"])
        broken = [*documents]
        broken[i] = changed(documents[i], path, how)
        with contextlib.suppress(un.UnspoolError):
            trace = read(tmp_path / "t", "".join(json.dumps(d) + "\n" for d in broken))
            assert all(list(drawn(trace)))
            assert all(list(pages(trace)))
