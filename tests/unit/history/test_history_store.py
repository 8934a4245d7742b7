"""The history's file: what is stored once stays once, what is forgotten is gone, and what is damaged is kept aside."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from finished import AT, finished
from jobyard.protocol.errors import HistoryUnavailable
from jobyard.protocol.history import Stats
from jobyard.supervisor.core.snapshot import job_from_wire, job_to_wire
from jobyard.supervisor.core.state import Job
from jobyard.supervisor.history import query
from jobyard.supervisor.history.series import HOUR_S, Series, grouped
from jobyard.supervisor.history.store import HistoryDamaged, Store, locked, set_aside
from msgpack import unpackb

ALWAYS = 0.0


def ids(history: Store) -> list[int]:
    return [row[0] for row in history.database.execute("SELECT id FROM jobs ORDER BY id")]


def tables(history: Store) -> list[set[int]]:
    """Ids in each table that holds something of a job."""
    return [
        {row[0] for row in history.database.execute(f"SELECT {column} FROM {table}")}
        for table, column in (("jobs", "id"), ("wires", "id"), ("texts", "rowid"))
    ]


def counts(history: Store, by: tuple[str, ...] = ("hour", "ref", "queue")) -> Any:
    return query.stats(history.database, Stats(list(by)))


def recount(jobs: Iterable[Job]) -> Any:
    series = Series()
    for job in jobs:
        series.submitted(job)
        series.ended(job)
    return grouped(series.tallies.items(), ("hour", "ref", "queue"))


def test_job_comes_back_as_it_was(history: Store) -> None:
    job = finished(7, "failed", args=("a", b"\x00", 1.5), error="no", key="k", tags={"user": "7"}, parent=3)
    assert history.archive([job], 1, ALWAYS) == 1
    [(job_id, wire)] = query.by_ids(history.database, [7])
    again = job_from_wire(unpackb(wire))
    assert job_id == 7
    assert job_to_wire(again) == job_to_wire(job)
    assert (again.attempts, again.tags, again.payload) == (job.attempts, job.tags, job.payload)


def test_what_is_stored_again_changes_nothing(history: Store) -> None:
    jobs = [finished(number, "failed" if number % 3 else "cancelled") for number in range(1, 1200)]
    assert history.archive(jobs, 1199, ALWAYS) == 1199
    before = counts(history)
    assert history.archive(jobs, 1199, ALWAYS) == 0
    assert counts(history) == before == recount(jobs)
    assert tables(history) == [set(range(1, 1200))] * 3


def test_job_that_was_put_back_and_ended_again_is_stored_anew_and_counted_once(history: Store) -> None:
    history.archive([finished(1, "failed", args=("first",), tags={"a": "b"})], 1, ALWAYS)
    history.archive([finished(1, "succeeded", args=("second",), attempt=2, finished_at=AT + 99)], 2, ALWAYS)
    [tally] = counts(history, ()).values()
    assert (tally.submitted, tally.states) == (1, {"succeeded": 1})
    assert tables(history) == [{1}] * 3
    assert not history.database.execute("SELECT * FROM tags").fetchall()
    assert [row[0] for row in history.database.execute("SELECT arguments FROM texts")] == ["second"]


def test_job_of_another_journal_with_the_same_id_takes_the_place(history: Store) -> None:
    history.archive([finished(1, uid="a" * 32)], 1, ALWAYS)
    history.archive([finished(1, uid="b" * 32)], 1, ALWAYS)
    assert query.ids_of_uids(history.database, ["a" * 32, "b" * 32]) == {"b" * 32: 1}
    [tally] = counts(history, ()).values()
    assert tally.submitted == 2


def test_watermark_goes_with_the_jobs(history: Store) -> None:
    assert query.archived_upto(history.database) == 0
    history.archive([finished(1)], 17, ALWAYS)
    assert query.archived_upto(history.database) == 17


def test_jobs_beyond_the_retention_are_not_stored_again(history: Store) -> None:
    jobs = [finished(number) for number in range(1, 11)]
    history.archive(jobs, 10, ALWAYS)
    before = jobs[5].finished_at
    assert before is not None
    assert history.expire(before) == dict.fromkeys(range(1, 6), 1)
    assert history.archive(jobs, 10, before) == 0
    assert ids(history) == [6, 7, 8, 9, 10]


def test_the_oldest_are_forgotten_first_and_so_many_at_a_time(history: Store) -> None:
    history.archive([finished(number, finished_at=AT + 100 - number) for number in range(1, 11)], 10, ALWAYS)
    assert list(history.expire(AT + 1000, limit=4)) == [10, 9, 8, 7]
    assert ids(history) == [1, 2, 3, 4, 5, 6]
    assert tables(history) == [{1, 2, 3, 4, 5, 6}] * 3


def test_jobs_that_were_put_back_are_not_forgotten_for_what_they_were(history: Store) -> None:
    history.archive([finished(number) for number in range(1, 7)], 6, ALWAYS)
    assert query.count_old(history.database, AT + 1000, [], [1, 3, 99]) == 4
    assert list(history.prune(AT + 1000, [], 2, [], {1, 3})) == [2, 4]
    assert list(history.expire(AT + 1000, {1, 3})) == [5, 6]
    assert ids(history) == [1, 3]
    history.archive([finished(1, attempt=2, finished_at=AT + 2000)], 7, ALWAYS)
    [tally] = counts(history, ()).values()
    assert (tally.submitted, tally.states) == (6, {"succeeded": 6})


def test_hours_beyond_the_retention_are_forgotten_and_the_whole_is_still_counted(history: Store) -> None:
    history.archive([finished(1), finished(2, created_at=AT + 5 * HOUR_S)], 2, ALWAYS)
    history.expire(AT + 4 * HOUR_S)
    assert len(counts(history, ("hour",))) == 1
    [tally] = counts(history, ()).values()
    assert tally.submitted == 2


def test_pruned_jobs_are_gone_and_stay_counted(history: Store) -> None:
    history.archive([finished(number, "failed" if number % 2 else "succeeded") for number in range(1, 9)], 8, ALWAYS)
    before = counts(history)
    at = history.database.execute("SELECT finished_at FROM jobs WHERE id = 6").fetchone()[0]
    assert [query.count_old(history.database, at, states) for states in ([], ["failed"], ["cancelled"])] == [6, 3, 0]
    assert list(history.prune(at, ["failed"], 2, [8])) == [1, 3]
    assert ids(history) == [2, 4, 5, 6, 7]
    assert list(history.prune(at, [], 9, [])) == [2, 4, 5, 6]
    assert counts(history) == before


def test_removed_jobs_are_gone_if_all_are_there(history: Store) -> None:
    history.archive([finished(number, tags={"n": str(number)}, after=[7]) for number in (1, 2, 3)], 3, ALWAYS)
    assert history.remove([2, 9], [1]) == ({}, [9])
    assert ids(history) == [1, 2, 3]
    assert history.remove([2], [3, 9]) == ({2: 1}, [])
    assert query.children(history.database, 7) == [1]
    assert tables(history) == [{1}] * 3
    assert history.database.execute("SELECT id FROM tags").fetchall() == [(1,)]


def test_failure_in_the_middle_stores_nothing(history: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    history.archive([finished(1)], 1, ALWAYS)

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(history, "_add", fail)
    with pytest.raises(HistoryUnavailable, match="disk I/O error"):
        history.archive([finished(2)], 2, ALWAYS)
    assert ids(history) == [1]
    assert query.archived_upto(history.database) == 1


def test_full_disk_is_named_and_what_was_there_stays(history: Store) -> None:
    history.archive([finished(1)], 1, ALWAYS)
    pages = history.database.execute("PRAGMA page_count").fetchone()[0]
    history.database.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(HistoryUnavailable, match="full"):
        history.archive([finished(number, args=("x" * 3000,)) for number in range(2, 200)], 200, ALWAYS)
    assert ids(history) == [1]
    history.database.execute("PRAGMA max_page_count = 1000000")
    assert history.archive([finished(2)], 2, ALWAYS) == 1


@pytest.mark.parametrize("rubbish", [b"not a database at all" * 100, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_file_that_is_no_history_is_damaged(path: Path, rubbish: bytes) -> None:
    path.write_bytes(rubbish)
    with pytest.raises(HistoryDamaged):
        Store.open(path)


def test_page_that_was_overwritten_is_damaged(path: Path) -> None:
    with Store.open(path) as history:
        history.archive([finished(number, args=("x" * 500,)) for number in range(1, 300)], 300, ALWAYS)
    data = bytearray(path.read_bytes())
    data[8192:-8192] = b"\xa5" * (len(data) - 16384)
    path.write_bytes(data)
    with pytest.raises(HistoryDamaged), Store.open(path) as history:
        history.archive([finished(number) for number in range(1, 300)], 300, ALWAYS)


def test_history_of_a_newer_version_is_left_alone(path: Path) -> None:
    with Store.open(path) as history:
        history.database.execute("PRAGMA user_version = 99")
    with pytest.raises(HistoryUnavailable, match="version 99"):
        Store.open(path)
    assert path.exists()


def test_history_is_not_made_by_looking(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Store.open(path, create=False)
    assert not path.exists()


def test_what_is_set_aside_is_kept_under_a_new_name_each_time(path: Path) -> None:
    for number in (1, 2):
        path.write_bytes(b"x")
        path.with_name("history.db-wal").write_bytes(b"y")
        assert set_aside(path) == path.with_name(f"history-damaged-{number}.db")
        assert path.with_name(f"history-damaged-{number}.db-wal").read_bytes() == b"y"
    assert sorted(one.name for one in path.parent.iterdir())[:2] == ["history-damaged-1.db", "history-damaged-1.db-wal"]


def test_one_writes_at_a_time(path: Path) -> None:
    with locked(path), pytest.raises(HistoryUnavailable, match="another process"), locked(path):
        pass
    with locked(path):
        pass


def test_job_that_was_put_back_is_counted_as_what_became_of_it_last_in_the_hour_of_that(history: Store) -> None:
    first = finished(1, "failed")
    history.archive([first, finished(2, "failed")], 2, ALWAYS)
    again = finished(1, "succeeded", attempt=2, finished_at=AT + HOUR_S)
    history.archive([again], 3, ALWAYS)
    ((_, whole),) = counts(history, ()).items()
    assert (whole.submitted, dict(+whole.states)) == (2, {"failed": 1, "succeeded": 1})
    assert sum(whole.run.counts.values()) == 3, "all attempts were made"
    by_hour = sorted(counts(history, ("hour",)).items())
    assert [(tally.submitted, dict(tally.states)) for _, tally in by_hour] == [
        (2, {"failed": 1}),
        (0, {"succeeded": 1}),
    ]
    history.expire(AT + 3 * HOUR_S, {1})
    history.archive([finished(1, "failed", attempt=3, finished_at=AT + 5 * HOUR_S)], 4, ALWAYS)
    [whole] = counts(history, ()).values()
    assert (whole.submitted, whole.states) == (2, {"failed": 2}), "also if the hour of its former end is forgotten"
