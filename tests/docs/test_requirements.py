"""``docs/requirements.md`` keeps its word: every phrase has a test that is there, and none is doubled or gone."""

from __future__ import annotations

import re
from collections import Counter

from proofs import ROOT, missing, rows, sections

PAGE = ROOT / "docs" / "requirements.md"
STATED = re.compile(r"^(\d+) rows?\.$", re.MULTILINE)
LATER = {
    "complex scheduling",
    "a dashboard for administrators, optional",
    "it shows active jobs, their status and retry count",
    "it shows a job's log, execution time and parameters",
    "it cancels running jobs",
    "at `127.0.0.1:8000/admin/background-jobs`",
    "no dashboard (a limitation there)",
    "a web dashboard to see and manage jobs",
    "a page that makes a sample job",
    "a page that runs jobs",
    "a list of jobs, with details at a click",
    "the dashboard asks for no password (admitted)",
    "a control panel: list, parameters, status, cancel",
    "the dashboard is not done (admitted)",
}


def test_every_row_names_tests_that_exist():
    wanting = [f"{row.section}: {row.name}" for row in rows(PAGE) if not row.tests and row.name not in LATER]
    assert wanting == []
    assert [why for row in rows(PAGE) for test in row.tests if (why := missing(test))] == []


def test_only_what_is_known_to_come_later_is_without_a_test():
    assert {row.name for row in rows(PAGE) if row.proof == "later"} == LATER


def test_every_row_says_what_jobyard_does():
    assert [row.name for row in rows(PAGE) if not row.says] == []


def test_no_row_is_doubled():
    count = Counter((row.section, row.name.casefold()) for row in rows(PAGE))
    assert [key for key, times in count.items() if times > 1] == []


def test_no_row_has_gone_missing():
    counted = Counter(row.section for row in rows(PAGE))
    stated = {section: int(found[1]) for section, text in sections(PAGE).items() if (found := STATED.search(text))}
    assert len(stated) == 6, "five documents, and where they disagree"
    assert stated == counted
