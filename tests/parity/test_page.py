"""The page of parity is what the tests counted when it was written; that it still is, each file of tests checks for itself."""

from helpers import parity


def test_page_is_written_from_its_data():
    assert parity.PAGE.read_text(encoding="utf-8") == parity.render(parity.read())


def test_every_file_it_names_is_there():
    assert parity.read()
    assert [name for name in parity.read() if not (parity.ROOT / name).is_file()] == []


def test_a_difference_is_noticed():
    tally = parity.Tally("transformers 5")
    tally("top_k")
    tally("top_k", "near tie")
    tally.difference("ties", "why")
    found = tally.as_json()
    assert found["rows"] == [["transformers 5", "top_k", 2, 0, 1]]
    assert not parity.differences(found, {**found, "rows": [["transformers 5", "top_k", 2, 0, 0]]}), "near ties depend on the machine"
    tally("top_k")
    assert len(parity.differences(tally.as_json(), found)) == 2
    assert len(parity.differences({**found, "notes": []}, found)) == 1
