"""What was stored, and is sent again because its reply was lost: nothing of it is refused or stored twice."""

from __future__ import annotations

import dataclasses
from typing import Any

from bench import RULES, Bench
from jobyard.protocol.errors import DuplicateJob, OutcomeUnknown
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core.rules import Limits, Rules


def again(wanted: list[e.Wanted]) -> e.SubmitAsked:
    return e.SubmitAsked(None, [dataclasses.replace(one, resent=True) for one in wanted])


def told(reply: Any) -> list[tuple[int, bool]]:
    return [(one.id, one.existing) for one in reply.jobs]


def batch_with_a_stand_in(bench: Bench) -> list[e.Wanted]:
    """Job 1 has the key and stands for the second of a batch, whose first is job 2."""
    bench.submit(key="k")
    wanted = [bench.want(queue="mail"), bench.want(queue="off", key="k", on_duplicate="return")]
    assert told(bench.ask(e.SubmitAsked(None, wanted))) == [(2, False), (1, True)]
    return wanted


def test_batch_that_is_sent_again_replaces_none_of_its_own_jobs() -> None:
    bench = Bench()
    wanted = [bench.want(queue="off", key="k", on_duplicate="replace") for _ in range(2)]
    bench.step(e.SubmitAsked("first", wanted))
    bench.step(e.SubmitAsked("again", [dataclasses.replace(one, resent=True) for one in wanted]))
    assert [(one.id, one.existing) for one in bench.replies["first"].jobs] == [(1, False), (1, True)]
    assert [(one.id, one.existing) for one in bench.replies["again"].jobs] == [(1, True), (1, True)]
    assert bench.state.jobs[1].state == "queued"


def test_limit_that_was_lowered_refuses_nothing_that_is_stored() -> None:
    bench = Bench()
    wanted = [bench.want() for _ in range(3)]
    bench.step(e.SubmitAsked("first", wanted))
    bench.machine.rules = dataclasses.replace(RULES, limits=dataclasses.replace(RULES.limits, unfinished_jobs=2))
    assert told(bench.ask(again(wanted))) == [(1, True), (2, True), (3, True)]
    bench.machine.rules = dataclasses.replace(RULES, limits=dataclasses.replace(RULES.limits, unfinished_bytes=1))
    assert told(bench.ask(again(wanted))) == [(1, True), (2, True), (3, True)]


def test_job_that_stood_for_one_of_the_batch_stands_for_it_again_also_in_a_queue_that_drains() -> None:
    bench = Bench()
    wanted = batch_with_a_stand_in(bench)
    bench.ask(e.QueueSetAsked(None, ["off"], "draining"))
    assert told(bench.ask(again(wanted))) == [(2, True), (1, True)]


def test_work_of_a_job_that_stood_for_one_of_the_batch_and_has_ended_is_not_done_once_more() -> None:
    bench = Bench()
    wanted = batch_with_a_stand_in(bench)
    first = bench.state.jobs[1]
    bench.run(first)
    bench.end(first)
    count = len(bench.state.jobs)
    reply = bench.ask(again(wanted))
    assert isinstance(reply, OutcomeUnknown) and "which job stood for f" in reply.message
    assert len(bench.state.jobs) == count


def test_job_of_the_batch_that_the_history_has_makes_it_a_stored_one_too() -> None:
    bench = Bench()
    wanted = [bench.want(archived_id=1), bench.want(key="k", on_duplicate="return")]
    assert isinstance(bench.ask(again(wanted)), OutcomeUnknown)
    assert not bench.state.jobs


def test_batch_that_was_not_stored_is_stored_when_it_is_sent_again() -> None:
    bench = Bench()
    bench.submit(key="k")
    wanted = [bench.want(), bench.want(key="k", on_duplicate="return")]
    assert told(bench.ask(again(wanted))) == [(2, False), (1, True)]


def test_key_that_another_job_has_by_now_does_not_refuse_what_the_history_may_have() -> None:
    """It could not be asked: the job was stored, has ended and left memory, and its key is free for others."""
    bench = Bench(Rules(limits=Limits(finished_jobs=0, unarchived_bytes=0)))
    want = bench.want(key="k", on_duplicate="raise")
    bench.ask(e.SubmitAsked(None, [want]))
    bench.run(bench.state.jobs[1])
    bench.end(bench.state.jobs[1])
    bench.t += 1
    bench.submit(key="k")
    assert isinstance(bench.ask(again([want])), OutcomeUnknown)
    bench.t += 1
    assert isinstance(bench.ask(again([bench.want(key="k", on_duplicate="raise")])), DuplicateJob), "newer"
