"""Every case that is listed is in a test, every number in a test is listed, and the page says both."""

import runpy

from helpers.field import TESTS, cases, marked


def test_every_case_is_in_a_test():
    assert not cases().keys() - marked().keys(), "these cases have no test: mark one with pytest.mark.field"


def test_every_number_is_a_case():
    assert not marked().keys() - cases().keys(), "say in tests/data/field-cases.ini what these are"


def test_cases_say_what_they_are():
    assert len(cases()) == 75
    for number, case in cases().items():
        assert case.case, number
        assert case.here, number


def test_the_page_is_made_of_them():
    made = runpy.run_path(str(TESTS.parent / "docs" / "make_field_cases.py"))
    assert made["PAGE"].read_text(encoding="utf-8") == made["page"](), "write it again with python docs/make_field_cases.py"
