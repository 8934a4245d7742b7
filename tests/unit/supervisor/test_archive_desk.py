"""Questions to the history that are overtaken: jobs leave memory between its look and its answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from desk_bench import DeskBench
from jobyard.protocol import messages as m
from jobyard.protocol.history import Stats
from jobyard.supervisor.archive_desk import ROUNDS_MAX
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core import records as r
from jobyard.supervisor.history.series import Tally

Answer = Callable[[Any], None]


class Bench(DeskBench):
    """Jobs that were cancelled, and a history whose questions are kept until the test answers."""

    def __init__(self, jobs: int) -> None:
        super().__init__()
        self.questions: list[Answer] = []
        self.history.ask = lambda verb, body, now, answer, once=False: self.questions.append(answer)
        one = {"ref": "jobs:add", "payload": b"", "arg_count": 0, "kwarg_names": []}
        for number in range(1, jobs + 1):
            self.ask(m.Submit([m.Submission(uid=f"{number:032x}", **one)]))
            self.ask(m.Cancel([number]))

    def leave(self, number: int) -> None:
        """The archivist has stored all up to this one, and it leaves memory."""
        self.machine.eviction.archived(e.Archived(number, number))
        self.machine.state.apply(r.Pruned([number]))

    def look(self, count: int) -> list[Any]:
        """What a history answers that holds so many jobs."""
        tally = Tally(submitted=count)
        tally.states["cancelled"] += count
        return [count, [[[None, None, None], tally.to_wire()]] if count else [], []]


@pytest.mark.parametrize("leave", [0, 2])
def test_jobs_that_leave_memory_while_the_history_counts_are_counted(leave: int) -> None:
    bench = Bench(3)
    bench.feed(m.pack_request("1", Stats([])))
    assert not bench.turn()
    seen = bench.look(0)
    for number in range(1, leave + 1):
        bench.leave(number)
    bench.questions.pop()(seen)
    if leave:
        bench.questions.pop()(bench.look(leave))
    ((_, answer),) = bench.turn()
    (row,) = answer["ok"]["rows"]
    assert (row["submitted"], row["states"], answer["ok"]["incomplete"]) == (3, {"cancelled": 3}, None)
    assert not bench.questions


def test_count_that_is_overtaken_each_time_ends_and_says_so() -> None:
    bench = Bench(ROUNDS_MAX)
    bench.feed(m.pack_request("1", Stats([])))
    assert not bench.turn()
    for number in range(1, ROUNDS_MAX + 1):
        bench.leave(number)
        bench.questions.pop()(bench.look(number - 1))
    ((_, answer),) = bench.turn()
    assert answer["ok"]["incomplete"] == "jobs leave memory faster than they are counted"
    assert not bench.questions
