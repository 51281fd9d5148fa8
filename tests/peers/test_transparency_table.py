"""The table of deviations in docs/transparency.md, and the cases that pin them, are the same."""

import re

import pytest

from support.sidecar import PROJECT
from support.transparency.http1 import CASES as HTTP1
from support.transparency.http2 import CASES as HTTP2

DOCUMENT = PROJECT / "docs/transparency.md"
ROW = re.compile(r"^\| `([^`]+)` \|(.+)\|$", re.M)
COLUMNS = 6
RFC = re.compile(r"\d{4}, \d+(\.\d+)*")
CASES = [*HTTP1, *HTTP2]


def rows():
    """The rows of the tables of deviations, by name."""
    _, _, text = DOCUMENT.read_text().partition("## What deviates")
    found = [
        [match[1], *(cell.strip() for cell in match[2].split("|"))] for match in ROW.finditer(text)
    ]
    assert len({row[0] for row in found}) == len(found), "a deviation has two rows"
    return found


def pinned():
    """The titles of the cases that pin each deviation, by its name."""
    titles = {}
    for case in CASES:
        for deviation in case.deviations:
            titles.setdefault(deviation.name, set()).add(case.title)
    return titles


def test_every_case_has_a_title_of_its_own():
    for cases in (HTTP1, HTTP2):
        assert len({case.title for case in cases}) == len(cases)


def test_the_tables_are_as_wide_as_they_were():
    plain = [case for case in CASES if not case.deviations]
    assert len(plain) >= 150
    assert len(HTTP1) >= 110
    assert len(HTTP2) >= 50


def test_every_deviation_of_a_case_has_a_row():
    assert pinned().keys() <= {row[0] for row in rows()}


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_every_row_is_whole_and_has_its_test(row):
    assert len(row) == COLUMNS, row
    assert all(row), row
    name, _, _, _, rfc, shown_by = row
    assert RFC.search(rfc), rfc
    path, _, function = shown_by.partition("::")
    if function:
        assert re.search(rf"\b(fn|def) {function}\(", (PROJECT / path).read_text()), shown_by
    else:
        assert shown_by in pinned().get(name, ()), f"no case of this title deviates by {name!r}"
