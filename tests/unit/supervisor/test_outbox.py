"""What may happen before which sync, and what may never overtake what."""

from __future__ import annotations

from typing import Any

from jobyard.supervisor.core.effects import Go, Kill, Order, Reply
from jobyard.supervisor.core.events import Child
from jobyard.supervisor.outbox import KILL_PATIENCE_S, Outbox

CHILD, OTHER = Child("default", "z", 1), Child("default", "z", 2)
GO = Go(CHILD, Order(1, 1, "u", "app:f", b"", 3, 0))
KILL, KILL_OTHER = Kill(CHILD, "cancel", 1.0), Kill(OTHER, "cancel", 1.0)


def make() -> tuple[Outbox, list[Any]]:
    done: list[Any] = []
    return Outbox(done.append), done


def test_kill_does_not_overtake_the_start_of_its_job_when_both_become_durable_at_once() -> None:
    outbox, done = make()
    outbox.add([GO], 1, 0)
    outbox.add_kills([KILL], 2, 0, 100.0)
    outbox.release(2)
    assert done == [GO, KILL]


def test_kill_waits_for_the_start_of_its_job_however_slow_the_disk_is() -> None:
    outbox, done = make()
    outbox.add([GO], 1, 0)
    outbox.add_kills([KILL], 2, 0, 100.0)
    outbox.release_late_kills(100.0 + KILL_PATIENCE_S)
    outbox.release_all_kills()
    assert done == []
    outbox.release(2)
    assert done == [GO, KILL]


def test_kill_of_a_job_that_runs_goes_early_when_the_disk_is_slow() -> None:
    outbox, done = make()
    outbox.add([GO], 1, 0)
    outbox.add_kills([KILL_OTHER], 2, 0, 100.0)
    outbox.release_late_kills(100.0 + KILL_PATIENCE_S / 2)
    assert done == []
    assert outbox.wake_at() == 100.0 + KILL_PATIENCE_S
    outbox.release_late_kills(100.0 + KILL_PATIENCE_S)
    assert done == [KILL_OTHER]


def test_kill_whose_record_is_durable_still_stays_behind_a_start_that_was_not_released_yet() -> None:
    outbox, done = make()
    outbox.add([GO], 1, 0)
    outbox.add_kills([KILL], 1, 1, 100.0)
    assert done == []
    outbox.release(1)
    assert done == [GO, KILL]


def test_nothing_is_told_before_it_is_durable_and_in_order() -> None:
    outbox, done = make()
    first, second = Reply("a", None), Reply("b", None)
    outbox.add([first], 2, 1)
    outbox.add([second], 1, 1)
    assert (done, outbox.starts()) == ([], 0)
    outbox.release(1)
    assert done == []
    outbox.release(2)
    assert done == [first, second]


def test_reply_with_a_reserved_id_waits_for_the_block_and_for_nothing_else() -> None:
    outbox, done = make()
    early, later = Reply("early", None), Reply("later", None)
    outbox.add([GO], 2, 1)
    outbox.add_early([early], 1, 1)
    assert done == [early]
    outbox.add_early([later], 2, 1)
    assert done == [early]
    outbox.release(2)
    assert done == [early, GO, later]
