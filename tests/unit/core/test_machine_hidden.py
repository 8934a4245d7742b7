"""Jobs with values that are hidden: what is kept of them, what is told, and that they run once."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from bench import Bench
from jobyard.protocol.codec import pack_arguments
from jobyard.protocol.errors import WrongState
from jobyard.protocol.job import ErrorInfo
from jobyard.supervisor.core import effects as f
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core import records as r
from jobyard.supervisor.core.snapshot import job_to_wire
from jobyard.supervisor.core.state import Job, State
from jobyard.supervisor.core.transitions import IllegalRecord
from jobyard.supervisor.history import text

CANARY = "canary-3141592653"
SECRET = {"payload": pack_arguments((), {"token": CANARY}), "shown": pack_arguments((), {"token": "***"})}


def dumped(state: State) -> bytes:
    data: bytes = msgpack.packb(list(state.dump()))
    return data


def ended(bench: Bench, kind: str, **given: Any) -> Job:
    job = bench.submit(**SECRET)
    bench.run(job)
    bench.end(job, kind, **given)
    return job


def test_job_runs_with_its_arguments_and_is_shown_without_them() -> None:
    bench = Bench()
    job = bench.submit(**SECRET)
    bench.run(job)
    (order,) = (effect.order for effect in bench.last.durable if isinstance(effect, f.Go))
    assert order.payload == SECRET["payload"]
    assert bench.machine.info(job).kwargs == {"token": "***"}
    assert not text.holds_words(job, CANARY)
    assert text.holds_words(job, "token")


@pytest.mark.parametrize("kind", ["ok", "give_up", "crash", "stopped"])
def test_values_are_dropped_when_the_job_has_ended(kind: str) -> None:
    bench = Bench()
    job = ended(bench, kind)
    while job.state not in ("succeeded", "failed"):
        bench.wait(60)
        bench.run(job)
        assert CANARY.encode() in dumped(bench.state)  # the next attempt needs it
        bench.end(job, kind)
    assert CANARY.encode() not in dumped(bench.state)
    assert bench.machine.info(job).kwargs == {"token": "***"}


def test_values_of_a_job_that_is_cancelled_before_it_ran_are_dropped() -> None:
    bench = Bench()
    job = bench.submit(**SECRET, queue="off")
    bench.ask(e.CancelAsked(None, [job.id], "me"))
    assert CANARY.encode() not in dumped(bench.state)


def test_error_that_repeats_a_value_is_recorded_without_it() -> None:
    bench = Bench()
    error = ErrorInfo("ValueError", f"bad token {CANARY}", f'raise ValueError("{CANARY}")', ("ValueError",))
    job = ended(bench, "give_up", error=error)
    (record,) = (record for record in bench.records if isinstance(record, r.Ended))
    assert record.error == ErrorInfo("ValueError", "bad token ***", 'raise ValueError("***")', ("ValueError",))
    assert job.attempts[-1].error == record.error


def test_job_whose_values_were_dropped_is_not_put_back() -> None:
    bench = Bench()
    job = ended(bench, "give_up")
    refusal = bench.ask(e.RetryAsked(None, job.id, "me"))
    assert isinstance(refusal, WrongState) and "hidden values" in refusal.message and "submit it anew" in refusal.hint
    assert not bench.last.records


def test_job_from_the_history_whose_values_were_dropped_is_not_put_back() -> None:
    bench = Bench()
    archived = msgpack.unpackb(msgpack.packb(job_to_wire(ended(bench, "give_up"))))
    bench.ask(e.RemoveAsked(None, [1]))
    assert CANARY.encode() not in msgpack.packb(archived)
    assert isinstance(bench.ask(e.RetryAsked(None, 1, "me", archived)), WrongState)
    assert not bench.state.jobs


def test_record_that_puts_back_a_job_without_arguments_is_illegal() -> None:
    bench = Bench()
    job = ended(bench, "ok")
    with pytest.raises(IllegalRecord, match="without its arguments"):
        bench.state.apply(r.Requeued(job.id, 1.0, "me"))


def test_job_that_replaces_one_with_the_same_key_has_its_own_values() -> None:
    bench = Bench()
    first = bench.submit(**SECRET, key="k", queue="off")
    other = bench.submit(payload=pack_arguments((), {"token": "another"}), shown=SECRET["shown"], key="k", queue="off",
                         on_duplicate="replace")  # fmt: skip
    assert first.state == "cancelled"
    assert CANARY.encode() not in dumped(bench.state)
    assert b"another" in dumped(bench.state)
    assert other.has_arguments and not first.has_arguments
