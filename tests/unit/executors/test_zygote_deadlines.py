"""Deadlines and their order."""

from __future__ import annotations

import random

from jobyard.supervisor.executors.zygote.deadlines import Deadlines


def test_deadlines_come_due_in_order_and_once() -> None:
    deadlines = Deadlines()
    for number, at in enumerate([5.0, 1.0, 3.0, 3.0]):
        deadlines.set(("hard", number), at)
    assert deadlines.next_at() == 1.0
    assert deadlines.due(0.9) == []
    assert deadlines.due(3.0) == [("hard", 1), ("hard", 2), ("hard", 3)]
    assert deadlines.due(3.0) == [] and deadlines.next_at() == 5.0 and len(deadlines) == 1


def test_deadline_that_is_set_again_moves() -> None:
    deadlines = Deadlines()
    deadlines.set(("stall", 1), 1.0)
    deadlines.set(("stall", 1), 9.0)
    assert deadlines.due(5.0) == [] and deadlines.get(("stall", 1)) == 9.0
    deadlines.set(("stall", 1), 2.0)
    assert deadlines.due(5.0) == [("stall", 1)] and deadlines.due(10.0) == []


def test_dropped_deadline_never_comes() -> None:
    deadlines = Deadlines()
    deadlines.set(("hard", 1), 1.0)
    deadlines.drop(("hard", 1))
    deadlines.drop(("hard", 2))
    assert deadlines.next_at() is None and deadlines.due(100.0) == []


def test_deadlines_of_jobs_that_ended_early_do_not_pile_up() -> None:
    deadlines = Deadlines()
    for number in range(10_000):
        deadlines.set(("hard", number), 3600.0 + number)
        deadlines.drop(("hard", number))
    assert len(deadlines._heap) < 200


def test_deadlines_agree_with_a_plain_dictionary() -> None:
    generator = random.Random(7)
    deadlines, model = Deadlines(), {}
    for now in range(2000):
        key = ("any", generator.randrange(50))
        if generator.random() < 0.3:
            deadlines.drop(key)
            model.pop(key, None)
        else:
            model[key] = float(now + generator.randrange(100))
            deadlines.set(key, model[key])
        due = deadlines.due(float(now))
        assert set(due) == {one for one, at in model.items() if at <= now}
        assert [model[one] for one in due] == sorted(model[one] for one in due)
        model = {one: at for one, at in model.items() if at > now}
        assert deadlines.next_at() == min(model.values(), default=None)
