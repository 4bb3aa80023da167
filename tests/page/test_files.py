"""The page's files: small, plain, and such that nothing that a model wrote can become markup or a script."""

import json
import re
import shutil
import subprocess
from collections import Counter

import pytest

from unspool.page.files import bundle, index, page_file, shell
from unspool.serve.errors import Refused
from unspool.views.heat_tokens import SCALES

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed, which runs the page's modules here")


@pytest.fixture(scope="module")
def modules():
    from importlib.resources import files

    return {f.name: f.read_text(encoding="utf-8") for f in files("unspool.page").joinpath("static").iterdir() if f.name.endswith(".js")}


def run_module(tmp_path, code, given=None):
    """What a module prints under node, given the page's modules beside it."""
    from importlib.resources import files

    for f in files("unspool.page").joinpath("static").iterdir():
        if f.name.endswith(".js"):
            (tmp_path / f.name).write_text(f.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    (tmp_path / "driver.js").write_text(code, encoding="utf-8")
    ran = subprocess.run([NODE, "driver.js"], input=given, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_page_is_small():
    from importlib.resources import files

    sizes = {f.name: len(f.read_bytes()) for f in files("unspool.page").joinpath("static").iterdir() if f.is_file()}
    assert sum(sizes.values()) < 300_000, sizes
    assert {name.rpartition(".")[2] for name in sizes} <= {"js", "css", "html"}


@needs_node
def test_the_page_colours_as_the_heat_view_does(tmp_path):
    code = """
globalThis.document = { getElementById: () => null, documentElement: {} };
const { SCALES } = await import("./textview.js");
console.log(JSON.stringify(Object.entries(SCALES).map(([by, scale]) => [by, scale.limits, scale.heats, scale.labels.length])));
"""
    found = {by: rest for by, *rest in json.loads(run_module(tmp_path, code))}
    assert found == {by: [list(scale.limits), list(scale.heats), len(scale.labels)] for by, scale in SCALES.items()}


def test_nothing_reads_text_as_markup_or_code(modules):
    for name, code in modules.items():
        plain = re.sub(r"//.*", "", code)
        found = re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|srcdoc", plain)
        assert not found, (name, found)
        assert "http://" not in plain.replace("http://www.w3.org/2000/svg", ""), name
        assert "https://" not in plain, name


def test_one_name_stands_for_one_thing_in_all_modules(modules):
    """All modules become one script in a shared file."""
    names = Counter()
    for code in modules.values():
        names.update(re.findall(r"^(?:export )?(?:async )?(?:function\*?|const|let|class) (\w+)", code, re.M))
    for code in modules.values():
        for some in re.findall(r"^(?:const|let) \[([^\]]+)\]", code, re.M):
            names.update(re.findall(r"\w+", some))
    assert [name for name, count in names.items() if count > 1] == []


def test_imports_are_written_so_that_modules_can_be_joined(modules):
    for name, code in modules.items():
        for line in re.findall(r"^import .*|^export (?!(?:async )?(?:function|const|class) ).*", code, re.M):
            assert re.fullmatch(r'import \{[^}]*\} from "\./[\w-]+\.js";', line), (name, line)
        for names, source in re.findall(r'^import \{([^}]*)\} from "\./([\w-]+\.js)";', code, re.M):
            for one in names.split(","):
                assert re.search(rf"^export (?:async )?(?:function\*?|const|class) {one.strip()}\b", modules[source], re.M), (name, one)
                assert len(re.findall(rf"\b{one.strip()}\b", code)) > 1, f"{name} imports {one} and does not use it"


@pytest.mark.parametrize("first", ["main", "widget"])
def test_the_joined_script_is_whole(modules, tmp_path, first):
    """Of the page, and of a notebook's widget: all that is reached from the first module, and nothing else."""
    script, reached, open_ = bundle(first), set(), {f"{first}.js"}
    while open_:
        reached |= open_
        open_ = {name for one in open_ for name in re.findall(r'from "\./([\w-]+\.js)";$', modules[one], re.M)} - reached
    assert {"treeview.js", "textview.js", "stepsview.js"} < reached
    assert not re.search(r"^(import|export)\b", script, re.M)
    for module, code in modules.items():
        for name in re.findall(r"^export (?:async )?(?:function\*?|const|class) (\w+)", code, re.M):
            found = re.search(rf"^(?:async )?(?:function\*?|const|class) {name}\b", script, re.M)
            assert bool(found) is (module in reached), (module, name)
    if NODE:
        (tmp_path / "joined.mjs").write_text(script, encoding="utf-8")
        ran = subprocess.run([NODE, "--check", "joined.mjs"], capture_output=True, text=True, cwd=tmp_path, check=False)
        assert ran.returncode == 0, ran.stderr


def test_a_shared_file_asks_nobody():
    page = shell()
    assert "{record}" in page
    assert page.count("<script") == 2
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert "connect-src" not in page
    assert "default-src 'none'" in page
    assert '<meta name="token" content="">' in page
    assert page.index("{record}") < page.index('<script type="module">'), "the page's script puts a record where it first finds its place"
    assert index("abc").count("abc") == 1


@pytest.mark.parametrize("name", ["", "x", "x.py", "a/b.js", "..", "../files.py", ".js", "main.js/"])
def test_only_the_pages_files_are_handed_out(name):
    with pytest.raises(Refused):
        page_file(name)


@needs_node
def test_both_languages_say_all(tmp_path):
    code = "globalThis.document = { documentElement: {} };\n"
    code += 'const { KEYS, missingWords } = await import("./words.js");\n'
    code += "console.log(JSON.stringify([missingWords(), KEYS.every((k) => k.length === 3)]));"
    assert run_module(tmp_path, code).strip() == "[[],true]"


@needs_node
def test_every_word_that_is_asked_for_is_known(modules, tmp_path):
    asked = {name for code in modules.values() for name in re.findall(r'\bt\("(\w+)"\)', code)}
    known = set(re.findall(r"\b(\w+): \"", modules["words.js"]))
    assert asked <= known, asked - known


@needs_node
def test_bytes_become_the_text_that_python_shows(tmp_path):
    """Every split of hard texts, and bytes that are no text: as `visible` and `unfinished` of the program."""
    import json
    import random

    from unspool.text import unfinished, visible

    rng = random.Random(3)
    whole = [text.encode() for text in ("naïve 옛날 👑", "a\x00b\u202ec", "\ufeffx", "e\u0301\u200d")]
    some = [data[:cut] for data in whole for cut in range(len(data) + 1)] + [data[cut:] for data in whole for cut in range(len(data) + 1)]
    some += [bytes(rng.randrange(256) for _ in range(rng.randrange(6))) for _ in range(4000)]
    edges = [0xE0, 0xED, 0xF0, 0xF4, 0xC2, 0x80, 0x9F, 0xA0, 0x8F, 0x90, 0xBF, 0x41]
    some += [bytes(rng.choice(edges) for _ in range(rng.randrange(6))) for _ in range(4000)]
    code = """
import { fromHex, unfinished, visible } from "./bytes.js";
import { readFileSync } from "node:fs";
const hex = (data) => [...data].map((byte) => byte.toString(16).padStart(2, "0")).join("");
console.log(JSON.stringify(JSON.parse(readFileSync(0)).map((one) => [visible(fromHex(one)), hex(unfinished(fromHex(one)))])));
"""
    told = json.loads(run_module(tmp_path, code, json.dumps([data.hex() for data in some])))
    for data, found in zip(some, told, strict=True):
        assert found == [visible(data), unfinished(data).hex()], data


@needs_node
def test_what_is_written_into_a_shared_page_ends_no_element(tmp_path):
    code = """
globalThis.document = { getElementById: () => null };
const { embedded, quoted, pythonText } = await import("./share.js");
const hard = ["</script><script>alert(1)</script>", "<!--", "\\u2028", "it's", "\\u202e", "a\\nb"];
console.log(JSON.stringify([hard.map(embedded), hard.map(quoted), hard.map(pythonText)]));
"""
    import json
    import shlex

    embedded, quoted, python = json.loads(run_module(tmp_path, code))
    hard = ["</script><script>alert(1)</script>", "<!--", "\u2028", "it's", "\u202e", "a\nb"]
    assert all(not re.search("[<>&\u2028]", one) for one in embedded)
    assert [json.loads(one) for one in embedded] == hard
    assert [shlex.split(one)[0] for one in quoted] == hard
    assert [eval(one) for one in python] == hard
    assert "\u202e" not in python[4]
