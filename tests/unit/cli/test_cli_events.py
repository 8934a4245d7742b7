"""``jobctl events``: what is asked for, and each form of a notice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jobyard.protocol.errors import SupervisorUnavailable
from jobyard.protocol.job import Progress
from jobyard.protocol.notices import KINDS, EventFilter, Events, EventsReply, Notice

Run = Callable[..., Any]
NOON = 1_790_856_000.0  # as in conftest.py


def notice(seq: int = 812, kind: str = "started", job_id: int | None = 42, **rest: Any) -> Notice:
    of_job = {"ref": "jobs:hello", "name": "hello", "queue": "default", "state": "running"} if job_id else {}
    return Notice(3, seq, NOON, kind, job_id, **{**of_job, **rest})


@pytest.fixture
def following(supervisor: Any) -> list[Any]:
    """Notices (or an error at last) that a follower gets; what it was asked for is put at the front."""
    coming: list[Any] = []

    def events(since: Any = None, **wanted: Any) -> Iterator[Notice]:
        found = list(coming)
        coming.insert(0, (since, wanted["job"], wanted["queue"], wanted["kinds"]))
        for one in found:
            if isinstance(one, Exception):
                raise one
            yield one

    supervisor.events = events
    return coming


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (notice(attempt=2), "started          job 42 hello, attempt 2"),
        (notice(kind="submitted"), "submitted        job 42 hello"),
        (notice(kind="submitted", run_at=NOON), "submitted        job 42 hello, for 2026-10-01 12:00:00"),
        (
            notice(kind="ended", attempt=1, outcome="error", text="ValueError: no"),
            "ended            job 42 hello, attempt 1 error: ValueError: no",
        ),
        (notice(kind="retry_scheduled", run_at=NOON), "retry_scheduled  job 42 hello, for 2026-10-01 12:00:00"),
        (notice(kind="progress", progress=Progress(3, 10, "rows")), "progress         job 42 hello, 3 of 10 rows"),
        (notice(kind="progress", progress=Progress(0.5)), "progress         job 42 hello, 0.5"),
        (notice(kind="queue_paused", job_id=None, queue="mail"), "queue_paused     queue mail"),
        (notice(kind="pruned", job_id=None, ids=[1, 2]), "pruned           2 jobs"),
        (notice(kind="refused", job_id=None, text="submit: no"), "refused          submit: no"),
        (notice(kind="events_truncated", job_id=None, text="lost"), "events_truncated  lost"),
    ],
)
def test_each_kind_is_one_line(jobctl: Run, following: list[Any], told: Notice, line: str) -> None:
    following.append(told)
    ended = jobctl("events")
    assert (ended.code, ended.out, ended.err) == (0, f"2026-10-01 12:00:00  3:812     {line}\n", "")


def test_hostile_text_cannot_forge_a_line_or_drive_the_terminal(jobctl: Run, following: list[Any]) -> None:
    following.append(notice(kind="failed", name="x\x1b[2J", text="a\nb\rc\u202ed"))
    out = jobctl("events").out
    assert out.count("\n") == 1
    assert "job 42 x\\x1b[2J: a\\nb\\rc\\u202ed" in out


def test_lines_of_json_have_every_key(jobctl: Run, following: list[Any]) -> None:
    following += [notice(), notice(813, "progress", progress=Progress(1, 2, "x", NOON))]
    first, second = [json.loads(line) for line in jobctl("events", "-o", "jsonl").out.splitlines()]
    assert first == {
        "epoch": 3,
        "seq": 812,
        "at": "2026-10-01T12:00:00.000000Z",
        "kind": "started",
        "job_id": 42,
        "ref": "jobs:hello",
        "name": "hello",
        "queue": "default",
        "state": "running",
        "attempt": 0,
        "outcome": None,
        "run_at": None,
        "text": None,
        "progress": None,
        "ids": [],
    }
    assert second["progress"] == {"done": 1, "total": 2, "text": "x", "at": "2026-10-01T12:00:00.000000Z"}
    assert first.keys() == second.keys()


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ([], (None, None, None, None)),
        (["--since", "812"], (812, None, None, None)),
        (["--since", "3:812"], ((3, 812), None, None, None)),
        (["--since", "oldest", "--queue", "mail"], ("oldest", None, "mail", None)),
        (["--job", "42"], ("oldest", 42, None, None)),
        (["--job", "42", "--since", "7"], (7, 42, None, None)),
        (["--kind", "failed,cancelled", "--kind", "Started"], (None, None, None, ["failed", "cancelled", "started"])),
    ],
)
def test_what_is_asked_for(jobctl: Run, following: list[Any], words: list[str], asked: tuple[Any, ...]) -> None:
    jobctl("events", *words)
    assert following[0] == asked


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--since", "yesterday"], "--since 'yesterday' is not the number of an event"),
        (["--since", "-1"], "since"),
        (["--since", "1:2:3"], "'1:2:3'"),
        (["--kind", "fail"], "there is no kind of event 'fail'"),
        (["--job", "1-x"], "'1-x' is not a job id"),
        (["--job", "1,2"], "names 2 jobs"),
        (["-o", "id"], "invalid choice: 'id'"),
    ],
)
def test_mistakes_are_told_with_the_value_itself(jobctl: Run, words: list[str], said: str) -> None:
    ended = jobctl("events", *words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


def test_json_is_what_is_kept_in_one_value_without_waiting(jobctl: Run, supervisor: Any) -> None:
    pages = {
        None: EventsReply(3, 812, [notice(812)], "/e", 8, more=True),
        812: EventsReply(3, 813, [notice(813)], "/e", 8),
    }
    supervisor.answers[Events] = lambda request: pages[request.seq]
    found = jobctl("events", "--json", "--queue", "mail").json
    assert (found["schema"], found["epoch"], found["seq"]) == ("jobctl.events/1", 3, 813)
    assert [one["seq"] for one in found["events"]] == [812, 813]
    assert supervisor.asked(Events) == [
        Events(oldest=True, filter=EventFilter(queue="mail")),
        Events(3, 812, filter=EventFilter(queue="mail")),
    ]


def test_supervisor_that_goes_away_is_a_stop_and_one_that_is_not_there_is_none(
    jobctl: Run, supervisor: Any, following: list[Any]
) -> None:
    following += [notice(), SupervisorUnavailable("no supervisor answers")]
    ended = jobctl("events")
    assert (ended.code, ended.out.count("\n")) == (7, 1)
    assert "the supervisor stopped" in ended.err

    def refuse(*_: Any, **__: Any) -> Iterator[Notice]:
        raise SupervisorUnavailable("no supervisor answers")

    supervisor.events = refuse  # type: ignore[attr-defined]
    assert jobctl("events").code == 3


def test_help_names_every_kind(jobctl: Run) -> None:
    out = jobctl("events", "--help").out
    assert [kind for kind in KINDS if kind not in out] == []
    assert max(map(len, out.splitlines())) <= 100
