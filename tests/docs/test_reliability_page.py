"""docs/reliability.md names every row of the plan that has a test, and its table is made by tests/plan.py."""

from __future__ import annotations

import re
from pathlib import Path

import plan

TESTS = Path(__file__).parents[1]


def test_every_row_with_a_test_is_on_the_page():
    page = plan.PAGE.read_text(encoding="utf-8")
    marks = {
        row
        for path in TESTS.rglob("test_*.py")
        for row in re.findall(r"mark\.tier\(\"(T\d+)", path.read_text(encoding="utf-8"))
    }
    assert len(marks) > 10
    assert [row for row in sorted(marks) if f"\n| {row} |" not in page] == []


def test_counts_of_one_thing_are_added_up_and_the_largest_of_a_maximum_stays():
    lines = [
        {"row": "T5", "tier": "N", "what": "a full disk", "at": 1, "cycles": 2, "lost": 0, "s_max": 1.5},
        {"row": "T5", "tier": "N", "what": "a full disk", "at": 2, "cycles": 3, "lost": 0, "s_max": 0.5},
    ]
    assert plan.table(plan.merged(lines)).splitlines()[2:] == ["| T5 | a full disk | cycles 5, lost 0, s max 1.5 |"]


def test_page_has_a_place_for_the_table():
    page = plan.PAGE.read_text(encoding="utf-8")
    assert page.count(plan.BEGIN) == page.count(plan.END) == 1
