"""How much is run, with and without `--all`; the count of what was compared with references, and its page (helpers/parity.py)."""

import os
from collections import Counter
from importlib.metadata import version
from importlib.util import find_spec

import pytest
from helpers import parity

COUNTED = pytest.StashKey[dict[str, dict]]()
PARTLY = pytest.StashKey[set[str]]()
"""Files of tests of which some did not run to a good end."""


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="run each law over the next larger set of decoders, and compare pages")
    parser.addoption("--share", type=int, help="every third decoder of a law, every twelfth of what --all adds: others by each number")
    parser.addoption("--write-parity", action="store_true", help="write docs/parity.md from what this run compares")


def pytest_configure(config):
    config.stash[COUNTED], config.stash[PARTLY] = {}, set()
    os.environ.pop("COLUMNS", None)                                      # which those who run tests side by side set
    config.addinivalue_line("markers", "over(which, backends, draws): a law over a set of decoders, see laws/covering.py")
    config.addinivalue_line("markers", "with_all: runs with --all only")


def pytest_generate_tests(metafunc):
    if mark := metafunc.definition.get_closest_marker("over"):
        from helpers.tables import BACKENDS
        from laws.covering import ALONE, ALWAYS, names

        which = {"kinds": "pairs", "pairs": "all"}[mark.args[0]] if metafunc.config.getoption("all") else mark.args[0]
        found, share = names(which, mark.kwargs["draws"]), metafunc.config.getoption("share")
        if share is not None:
            usual = dict.fromkeys(names(mark.args[0], mark.kwargs["draws"]))
            some = {name for every, of in ((3, usual), (12, found)) for i, name in enumerate(of) if i % every == share % every}
            found = [name for name in found if name in some or name in ALWAYS]
        if mark.kwargs["backends"]:
            metafunc.parametrize(("backend", "name"), [(b, name) for b in BACKENDS for name in (found if b == "numpy" else ALONE)])
        else:
            metafunc.parametrize("name", found)


def pytest_collection_modifyitems(config, items):
    left = [item for item in items if config.getoption("all") or not item.get_closest_marker("with_all")]
    if len(left) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("with_all")])
        items[:] = left


def pytest_deselected(items):
    for item in items:
        item.config.stash[PARTLY].add(item.location[0])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if not report.passed:
        item.config.stash[PARTLY].add(item.location[0])
    return report


def ran_whole(config, name: str) -> bool:
    """Whether every test of a file ran, with all that it compares with."""
    part_asked = any("::" in argument and name in argument for argument in config.args)
    alone = config.getoption("lf", False) or not getattr(config, "workerinput", {}).get("whole_files", True)
    return not (part_asked or alone or name in config.stash[PARTLY]) and bool(find_spec("torch")) and pinned("transformers")


def pinned(package: str) -> bool:
    """Whether the release that is here is the one that the page is about."""
    wanted = f"{package}=={version(package)}" if find_spec(package) else ""
    return wanted in (parity.ROOT / "requirements" / "test.txt").read_text(encoding="utf-8").split()


@pytest.fixture(scope="module")
def tally(request):
    """Counts a file's comparisons, tally(method) or tally(method, "near tie"); the page must say the same."""
    config, name = request.config, request.node.nodeid
    found = parity.Tally(request.module.REFERENCE)
    yield found
    config.stash[COUNTED][name] = found.as_json()
    if ran_whole(config, name) and not config.getoption("write_parity"):
        wrong = parity.differences(found.as_json(), parity.read().get(name, {"rows": [], "notes": []}))
        if wrong:
            pytest.fail("\n  ".join([f"docs/parity.md is not what was compared; write it with `{parity.WRITE}`:", *wrong]), pytrace=False)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """Where tests run side by side, a worker needs to know whether it has every test of a file."""
    node.workerinput["whole_files"] = node.config.getoption("dist") == "loadfile"


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """What a worker counted."""
    counted, partly = getattr(node, "workeroutput", {}).get("parity", ({}, ()))
    node.config.stash[COUNTED] |= counted
    node.config.stash[PARTLY] |= {*partly}


def pytest_sessionfinish(session):
    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput["parity"] = config.stash[COUNTED], sorted(config.stash[PARTLY])
    elif config.getoption("write_parity"):
        parity.write({name: found for name, found in config.stash[COUNTED].items() if ran_whole(config, name)})


def pytest_terminal_summary(terminalreporter, config):
    totals: dict[str, Counter] = {}
    for found in config.stash[COUNTED].values():
        for reference, _, cases, purposely, near in found["rows"]:
            totals.setdefault(reference, Counter()).update(cases=cases, unequal=purposely + near)
    for reference, n in sorted(totals.items()):
        terminalreporter.write_line(f"parity: {reference}, {n['cases'] - n['unequal']} of {n['cases']} equal")
