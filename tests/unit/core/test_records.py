"""Records and snapshots go to the wire and back unchanged, and a bad one is refused without a change."""

from __future__ import annotations

from pathlib import Path

import msgpack
import pytest
from bench import Bench
from hypothesis import given
from hypothesis import strategies as st
from jobyard.protocol.job import Policy, RetryPolicy, Usage
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core import records as r
from jobyard.supervisor.core.check import check
from jobyard.supervisor.core.snapshot import job_to_wire
from jobyard.supervisor.core.state import State
from jobyard.supervisor.core.transitions import TRANSITIONS, IllegalRecord, mermaid

GOLDEN = Path(__file__).parents[2] / "golden"
STATES_OF_VERSION = {
    1: {1: "running", 2: "running", 3: "scheduled", 5: "queued"},
    2: {
        1: "running",
        2: "running",
        3: "queued",
        5: "queued",
        6: "blocked",
        7: "blocked",
        8: "blocked",
        9: "blocked",
        10: "queued",
        11: "cancelled",
        4: "queued",
    },
}
STATES_OF_VERSION[3] = STATES_OF_VERSION[2]


def busy_bench() -> Bench:
    """A machine that has made a record of every kind."""
    bench = Bench()
    for retry in (RetryPolicy(), RetryPolicy(max_attempts=1, delays_s=(1.0, 2.0), on=("ValueError",))):
        job = bench.submit(policy=Policy(retry=retry, timeout_s=3.0), tags={"a": "b"}, key=str(retry), expires_s=1e6)
        bench.run(job)
        bench.end(job, "error", usage=Usage(1.0, 0.5, 1024, 4096))
        bench.wait(60)
    bench.ask(e.RetryAsked(None, 2, "me"))
    bench.run(bench.state.jobs[2])
    bench.ask(e.CancelAsked(None, [2], "me", "because", 1.0))
    bench.submit(delay_s=9.0)
    bench.ask(e.CancelAsked(None, [bench.submit().id], "me"))
    bench.ask(e.QueueSetAsked(None, ["mail"], "paused"))
    first = bench.submit(queue="off")
    bench.submit(after=[first.id, 3], delay_s=9.0)
    bench.submit(after=[1, first.id], on_parent_failure="run", at=bench.now.wall + 100)
    bench.ask(e.SetAsked(None, [first.id, 3], "me", 7, "mail", 0.0, None, True, 9.0))
    bench.submit(after=[first.id, bench.submit(delay_s=9.0, after=[1]).id])
    bench.step(e.SubmitAsked("weak", [bench.want()], "memory"))
    bench.step(e.ZygoteUp("default", "z9", 3, 3, "boot"), e.ZygoteGone("default", "z9"))
    job_id = next(iter(bench.state.finished))
    archived = msgpack.unpackb(msgpack.packb(job_to_wire(bench.state.jobs[job_id])))
    bench.ask(e.RemoveAsked(None, [job_id]))
    bench.submit(after=[job_id, first.id], archived_parents={job_id: "failed"})
    bench.ask(e.RetryAsked(None, job_id, "me", archived))
    return bench


def test_every_kind_of_record_survives_the_wire() -> None:
    records = busy_bench().records
    assert {type(record) for record in records} == set(r.RECORDS)
    for record in records:
        assert r.from_wire(msgpack.unpackb(msgpack.packb(r.to_wire(record)))) == record


def test_replay_gives_an_equal_state() -> None:
    bench = busy_bench()
    state = State()
    for record in bench.records:
        state.apply(record)
    check(state)
    assert list(state.dump()) == list(bench.state.dump())


def test_snapshot_and_tail_give_an_equal_state() -> None:
    bench = busy_bench()
    for cut in range(len(bench.records)):
        first = State()
        for record in bench.records[:cut]:
            first.apply(record)
        second = State()
        for chunk in first.dump():
            second.load(msgpack.unpackb(msgpack.packb(chunk)))
        check(second)
        for record in bench.records[cut:]:
            second.apply(record)
        check(second)
        assert list(second.dump()) == list(bench.state.dump())


@pytest.mark.parametrize("version", [1, 2, 3])
def test_records_and_snapshots_of_every_version_are_read(version: int) -> None:
    golden = GOLDEN / f"records-v{version}"
    replayed, loaded = State(), State()
    for wire in msgpack.unpackb((golden / "records.msgpack").read_bytes()):
        replayed.apply(r.from_wire(wire))
    for chunk in msgpack.unpackb((golden / "snapshot.msgpack").read_bytes()):
        loaded.load(chunk)
    for state in (replayed, loaded):
        check(state)
    if version == 1:  # its snapshots do not say what was pruned
        loaded.pruned_id, loaded.finish_count = replayed.pruned_id, replayed.finish_count
        loaded.finished = dict(replayed.finished)
    assert list(replayed.dump()) == list(loaded.dump())
    assert {job_id: job.state for job_id, job in loaded.jobs.items()} == STATES_OF_VERSION[version]


def test_this_version_writes_its_golden_records_to_the_byte() -> None:
    bench = busy_bench()
    golden = GOLDEN / f"records-v{r.JOURNAL_VERSION}"
    records = msgpack.packb([r.to_wire(record) for record in bench.records])
    assert records == (golden / "records.msgpack").read_bytes()
    assert msgpack.packb(list(bench.state.dump())) == (golden / "snapshot.msgpack").read_bytes()


@given(st.recursive(st.none() | st.integers() | st.text() | st.binary() | st.floats(), lambda inner: st.lists(inner)))
def test_garbage_is_refused_as_a_bad_record(wire: object) -> None:
    try:
        r.from_wire(wire)
    except r.BadRecord:
        return
    assert isinstance(wire, list) and wire[0] in {kind.TAG for kind in r.RECORDS}


@pytest.mark.parametrize(
    "record",
    [
        r.Started(1, 3, 0.0, "z", 1, 1, 1),
        r.Started(1, 1, 0.0, "z", 1, 1, 1),
        r.Ended(1, 2, 0.0, "ok", "succeeded"),
        r.Ended(7, 1, 0.0, "ok", "succeeded"),
        r.Promoted([1]),
        r.Cancelled([2], 0.0, "me"),
        r.Pruned([2]),
        r.Requeued(2, 0.0, "me"),
        r.CancelRequested(1, 0.0, "me"),
        r.Began(1, "boot", 0.0),
        r.Changed([2, 1], 0.0, "me", 5),
        r.Promoted([2], "scheduled"),
        r.Submitted([r.NewJob(9, "9" * 32, "f", "f", b"", "default", 0, Policy(), 0.0, 0.0, after=[8])]),
        r.Submitted(
            [
                r.NewJob(8, "8" * 32, "f", "f", b"", "default", 0, Policy(), 0.0, 0.0),
                r.NewJob(9, "9" * 32, "f", "f", b"", "default", 0, Policy(), 0.0, 0.0, after=[8]),
            ]
        ),
    ],
)
def test_record_that_does_not_fit_is_refused_and_changes_nothing(record: r.Record) -> None:
    bench = Bench()
    done, running = bench.submit(), bench.submit()
    bench.run(done)
    bench.end(done)
    bench.run(running)
    before = list(bench.state.dump())
    with pytest.raises(IllegalRecord):
        bench.state.apply(record)
    assert list(bench.state.dump()) == before
    check(bench.state)


def test_diagram_has_every_transition() -> None:
    lines = mermaid().splitlines()[1:]
    assert len(lines) == sum(len(afters) for afters in TRANSITIONS.values())
    assert "    queued --> running: Started" in lines
