"""Trees show what the record holds, in every form, whatever the texts and sizes."""

import json
import xml.etree.ElementTree as xml
from html.parser import HTMLParser

import pytest
from helpers.tables import Letters, table

import unspool as un
from unspool.views.terminal import Paint, display_width
from unspool.views.tree import Tree
from unspool.views.tree_html import MOST_LINES
from unspool.views.tree_nodes import FINISHED, KEPT, PRUNED, Node, walk
from unspool.views.tree_picture import TreePicture
from unspool.views.tree_text import draw_tree

DECODERS = ["greedy", "beam(2)", "beam(4, n=3)", "sample(5)", "exact(2)", "contrastive_search(3)"]


@pytest.fixture(scope="module", params=DECODERS)
def output(request):
    lm = un.LanguageModel(table(3), Letters())
    return lm.generate("abc", request.param, max_new_tokens=5, level="choices")


def number_of_nodes(tree):
    return sum(node.count for node, _, _ in tree.walk())


def test_every_node_and_every_pruned_candidate_is_there(output):
    tree = Tree.from_trace(output.trace)
    steps = output.trace.steps
    dropped = sum(len(s.dropped["tokens"]) for s in steps if s.dropped)
    assert number_of_nodes(tree) == sum(map(len, steps)) + dropped
    assert sum(n.count for n, _, _ in tree.walk() if n.state == PRUNED) == dropped
    assert number_of_nodes(Tree.from_trace(output.trace, pruned=False)) == sum(map(len, steps))


def test_the_best_path_spells_the_best_text(output):
    best = [node for node, _, _ in Tree.from_trace(output.trace).walk() if node.best]
    assert [node.token for node in best] == output.tokens
    assert sum(node.logprob for node in best) == pytest.approx(output.logprob)
    assert best[-1].state == FINISHED or any(n.state == KEPT for n in best)


def test_exact_search_shows_what_it_bounded_away():
    trace = un.LanguageModel(table(3), Letters()).generate("abc", "exact(2)", max_new_tokens=5, level="choices").trace
    bounded = [n for n, _, _ in Tree.from_trace(trace).walk() if n.why == "bounded"]
    assert bounded
    assert max(n.score for n in bounded) <= trace.hypotheses[0][-1].score


def test_a_text_of_thousands_of_tokens_is_a_tree_too():
    model = table(5, end_tokens=())
    model.context = 2000
    trace = un.LanguageModel(model, Letters(specials=())).record("a", "bcd" * 400)                # deeper than Python's stack
    tree = Tree.from_trace(trace)
    assert number_of_nodes(tree) == 1200
    assert len(json.loads(tree.to_json())["nodes"]) == sum(1 for _ in tree.walk())
    assert draw_tree(tree, 20, Paint(False), most=0).count("\n") > 1200


def test_parents_stand_before_their_children(output):
    nodes = json.loads(Tree.from_trace(output.trace).to_json())["nodes"]
    assert all(n["parent"] is None or n["parent"] < i for i, n in enumerate(nodes))
    assert any(n["parent"] is None for n in nodes)


def test_a_saved_trace_gives_the_same_tree(output, tmp_path):
    output.trace.save(tmp_path / "trace.jsonl")
    again = Tree.from_trace(un.Trace.load(tmp_path / "trace.jsonl"))
    assert again.to_json() == Tree.from_trace(output.trace).to_json()


def test_pictures_are_whole(output):
    tree = Tree.from_trace(output.trace)
    root = xml.fromstring(tree.to_svg())
    paths = [e for e in root.iter() if e.tag.endswith("path")]
    assert len(paths) == sum(1 for _ in tree.walk())
    assert tree.to_mermaid().count("-->") == len(paths)
    assert tree.to_dot().count("->") == len(paths)
    assert json.loads(tree.to_json())["prompt"] == "abc"


def test_a_picture_is_as_high_as_its_fullest_column_needs_and_no_two_lines_cross(output):
    tree = Tree.from_trace(output.trace)
    picture, columns = TreePicture(tree.roots, "abc", ""), {}
    for node, depth, parent in tree.walk():
        x, y = picture.place[id(node)]
        columns.setdefault(depth, []).append(y)
        assert x == picture.x(depth)
        assert y >= (picture.place[id(parent)][1] if parent else 0)
        assert not node.best or y == picture.y(0)
        assert picture.end_of(node)[0] <= picture.x(depth + 1)
    assert all(sorted(set(lines)) == lines for lines in columns.values())  # in the tree's order, each on a line of its own
    fullest = max(map(len, columns.values()))
    assert max(max(lines) for lines in columns.values()) < picture.y(2 * fullest)


class Lines(HTMLParser):
    """The lines of a page's tree: how deep they are within others, what kind they are of, their text, log-prob and score."""

    def __init__(self, page):
        super().__init__()
        self.open, self.found = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        kind = dict(attributes).get("class") or tag
        if kind.startswith("row ") and kind != "row head":
            self.found.append((self.open.count("ways"), kind.split()[1], tag == "summary", []))
        self.open += [] if tag == "meta" else [kind]

    def handle_startendtag(self, tag, attributes):
        pass                                                              # of the picture

    def handle_endtag(self, tag):
        self.open.pop()

    def handle_data(self, text):
        if self.open and self.open[-1] in ("w", "n") and self.found:
            self.found[-1][3].append(text)


def best_of(roots):
    return "".join(node.text for node, _, _ in walk(roots) if node.best)


def test_a_page_has_every_node_once_and_the_best_way_is_seen_without_opening_anything(output):
    tree = Tree.from_trace(output.trace)
    lines = Lines(tree.to_form("html")).found
    assert sorted("".join(words[0] for *_, words in lines)) == sorted(node.text for node, _, _ in tree.walk())  # a letter for each token
    assert "".join(words[0] for _, kind, _, words in lines if kind == "best") == best_of(tree.roots)
    assert all(depth == 0 for depth, kind, _, _ in lines if kind == "best")
    assert f'<span class="new">{best_of(tree.roots)}</span>' in tree.to_form("html")
    assert tree._repr_html_().count('class="row ') == len(lines) + 1


def test_a_line_of_a_page_says_its_log_prob_and_its_score():
    output = un.LanguageModel(table(3), Letters()).generate("abc", "greedy", max_new_tokens=3, level="choices")
    ((depth, kind, opens, words),) = Lines(Tree.from_trace(output.trace).to_form("html")).found
    assert (depth, kind, opens) == (0, "best", False)
    assert words == ["".join(map(Letters().name_of, output.tokens)), f"{output.logprob:.2f}", f"{output.best.score:.2f}"]


def test_a_page_of_too_many_nodes_is_cut_and_says_so():
    leaves = [Node("x", i, -1.0, -1.0, PRUNED, "pruned") for i in range(3 * MOST_LINES)]
    tree = Tree("a", [Node("b", 0, -1.0, -1.0, KEPT, best=True), *leaves])
    page = tree.to_form("html")
    lines = page.count('class="row ') - 1
    assert MOST_LINES <= lines <= MOST_LINES + 1
    assert f"and {3 * MOST_LINES + 1 - lines} more nodes: -o json has all" in page
    assert "too many for a picture" in page
    assert "<svg" not in page


@pytest.mark.parametrize("width", [20, 40, 80])
def test_the_terminals_lines_fit(output, width):
    text = draw_tree(Tree.from_trace(output.trace), width, Paint(False))
    assert all(display_width(line) <= width for line in text.splitlines())
    assert "\x1b" not in text
    assert "\x1b[" in draw_tree(Tree.from_trace(output.trace), width, Paint(True))


DYING = {
    "allowed(1) | banned(1) | beam(2)": ["abc", "no text came of it: nothing followed the prompt"],
    "no_repeat_ngram(1) | allowed(4) | sample(2)": [
        "abc",
        "└─ e",
        "no text came of it: nothing followed the last token of any branch",
        "1 kept",
        "numbers: the score so far",
    ],
}


@pytest.mark.parametrize("decoder", DYING)
def test_the_tree_of_a_run_without_a_text_says_how_far_it_came_and_explains_no_more_than_it_shows(decoder):
    output = un.LanguageModel(table(3), Letters()).generate(["abc"], decoder, max_new_tokens=4, level="choices")[0]
    tree = Tree.from_trace(output.trace)
    lines = draw_tree(tree, 80, Paint(False)).splitlines()
    assert [line for line in lines if "─" not in line] == [line for line in DYING[decoder] if "─" not in line]
    assert len(lines) == len(DYING[decoder])
    assert DYING[decoder][-3 if tree.roots else -1] in tree.to_form("html")
    assert ("■" in tree.to_form("html"), "✗" in tree.to_form("html")) == (False, False)


class Nasty(Letters):
    def name_of(self, token):
        return ["<script>", "a&b", "\x1b[31m", "\u202eevil", '"quote"', "end"][token]

    def encode(self, text):
        return [1, 2, 3]


def test_markup_and_controls_are_data():
    tree = Tree.from_trace(un.LanguageModel(table(4), Nasty()).generate("x", "beam(3)", max_new_tokens=4, level="choices").trace)
    svg = tree.to_svg()
    assert "<script>" not in svg
    assert "\x1b" not in svg
    xml.fromstring(svg)
    assert "\x1b" not in draw_tree(tree, 80, Paint(False))
    assert "<script>" not in tree.to_mermaid()


def test_ten_thousand_nodes_are_drawn_and_counted():
    lm = un.LanguageModel(table(5, end_tokens=()), Letters(specials=()))
    tree = Tree.from_trace(lm.generate("abc", "sample(100)", max_new_tokens=120, level="choices").trace)
    assert number_of_nodes(tree) == 12_000
    text = draw_tree(tree, 80, Paint(False))
    assert len(text.splitlines()) < 410
    assert "more nodes" in text
    xml.fromstring(tree.to_svg())
    pytest.importorskip("resvg_py")
    with pytest.raises(un.ParameterError, match="million pixels"):
        tree.to_png()


def test_a_trace_that_holds_too_little_says_how_to_record_more():
    trace = un.LanguageModel(table(3), Letters()).generate("abc", "beam(2)", max_new_tokens=3).trace
    with pytest.raises(un.UnspoolError, match="level='choices'"):
        Tree.from_trace(trace)


@pytest.mark.parametrize("decoder", ["mbr(4)", "best_of(3, n=2)"])
def test_texts_that_were_chosen_have_the_score_they_were_chosen_by(decoder):
    output = un.LanguageModel(table(3), Letters()).generate("abc", decoder, max_new_tokens=4, level="choices")
    tree = Tree.from_trace(output.trace)
    chosen = [node for node, _, _ in tree.walk() if node.returned]
    assert {node.score for node in chosen} == {s.score for s in output.sequences}
    assert sum(node.best for node in chosen) == 1
    text = draw_tree(tree, 80, Paint(False))
    assert f"{output.sequences[0].score:.2f}" in next(line for line in text.splitlines() if line.endswith("returned"))
    assert "of returned texts" in text
    assert all("returned" in tree.to_form(form) for form in ("svg", "html", "json"))


def test_a_tree_without_a_choice_over_whole_texts_marks_none(output):
    tree = Tree.from_trace(output.trace)
    assert not any(node.returned for node, _, _ in tree.walk())
    assert "returned" not in draw_tree(tree, 80, Paint(False))
