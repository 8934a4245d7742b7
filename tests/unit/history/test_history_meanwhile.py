"""What the history process answers while others store jobs, forget them, or replace the file: in the middle of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from finished import AT, finished
from jobyard.protocol import schema
from jobyard.protocol.errors import HistoryUnavailable
from jobyard.protocol.history import Stats
from jobyard.protocol.messages import Filter, List
from jobyard.supervisor.history import query, server
from jobyard.supervisor.history.server import Server
from jobyard.supervisor.history.store import HistoryDamaged, Store, locked, set_aside

WITHIN_S = 60.0
COUNT = 20


@pytest.fixture
def asked(path: Path) -> Iterator[Server]:
    """A history process with twenty jobs."""
    with Store.open(path) as store:
        store.archive([finished(number) for number in range(1, COUNT + 1)], COUNT, 0.0)
    answers = Server(path)
    yield answers
    answers.close()


def before(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, act: Callable[[], object]) -> None:
    """Do ``act`` just before the next call of this function."""
    call = getattr(where, name)

    def instead(*given: Any, **named: Any) -> Any:
        monkeypatch.setattr(where, name, call)
        act()
        return call(*given, **named)

    monkeypatch.setattr(where, name, instead)


def replace(path: Path) -> None:
    """What an archivist does that finds the file damaged: another takes its place, with what is in memory."""
    with locked(path):
        set_aside(path)
        with Store.open(path) as store:
            store.archive([finished(7)], 7, 0.0)


def damaged(*_: Any) -> Any:
    raise HistoryDamaged("disk image is malformed")


def test_page_of_which_jobs_are_forgotten_meanwhile_is_whole(
    asked: Server, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page with fewer jobs than it may hold says that there are no more."""

    def forget() -> None:
        with Store.open(path) as other:
            assert len(other.expire(AT + 10 * COUNT, limit=5)) == 5

    body = {"request": schema.to_wire(List(Filter(), 10, sort="oldest")), "highest": COUNT, "count": 11}
    before(monkeypatch, query, "by_ids", forget)
    code, rows = asked.answer("page", body, WITHIN_S)
    assert (code, [row[0] for row in rows]) == ("ok", list(range(1, 12)))
    assert [row[0] for row in asked.answer("page", body, WITHIN_S)[1]] == list(range(6, 17))


def test_jobs_that_are_stored_while_others_are_counted_are_not_counted_beside_the_watermark(
    asked: Server, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor adds what is above the watermark, which would count these twice."""

    def store_more() -> None:
        with Store.open(path) as other:
            other.archive([finished(COUNT + 1)], COUNT + 1, 0.0)

    body = {"request": schema.to_wire(Stats(by=["ref"])), "ids": []}
    before(monkeypatch, query, "stats", store_more)
    for upto in (COUNT, COUNT + 1):
        code, (told, [[_, tally]], _) = asked.answer("stats", body, WITHIN_S)
        assert (code, told, tally[0]) == ("ok", upto, upto)


def test_file_that_is_set_aside_before_it_is_opened_is_as_good_as_none(
    asked: Server, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before(monkeypatch, Store, "open", lambda: set_aside(path))
    assert asked.answer("ids", [7], WITHIN_S) == ("ok", [])
    assert not path.exists()


@pytest.mark.parametrize("when", ["read", "opened"])
def test_only_the_file_that_was_found_damaged_is_set_aside(
    asked: Server, path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Damage may show when it is read or when it is opened; what took its place meanwhile is not lost."""
    if when == "opened":
        monkeypatch.setattr(Store, "_prepare", damaged)
    else:
        asked._verbs["ids"] = damaged
    before(monkeypatch, server, "locked", lambda: (monkeypatch.undo(), replace(path)))
    code, (message, hint) = asked.answer("ids", [7], WITHIN_S)
    assert (code, hint) == (HistoryUnavailable.code, "try again")
    assert message == "the history was damaged (disk image is malformed), and another has taken its place"
    assert asked.answer("jobs", [7], WITHIN_S)[1][0][0] == 7
    assert sorted(one.name for one in path.parent.glob("*.db")) == ["history-damaged-1.db", "history.db"]
