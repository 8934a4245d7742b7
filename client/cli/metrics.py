"""Figures for Prometheus: which there are, and the text format 0.0.4 in which they are written.

Pure: what the supervisor said in, families and text out. Counters begin anew with each supervisor, which Prometheus
expects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from ...protocol import messages, states
from ...protocol.counters import Counted, Distribution
from .render import clean

if TYPE_CHECKING:
    from .shapes_figures import Family, Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_POOL_STATES = ("starting", "up", "failed", "unreachable")


def families(status: messages.SupervisorStatus, counted: Counted) -> list[Family]:
    return [*_of_supervisor(status), *_of_now(status), *_of_queues(counted)]


def text(found: Iterable[Family]) -> str:
    lines: list[str] = []
    for family in found:
        name = f"jobyard_{family['name']}"
        lines += [f"# HELP {name} {_help(family['help'])}", f"# TYPE {name} {family['type']}"]
        lines += [_line(sample) for sample in family["samples"]]
    return "\n".join(lines) + "\n"


def _of_supervisor(status: messages.SupervisorStatus) -> Iterator[Family]:
    yield _family("info", "gauge", "Version of jobyard; always 1.", [({"version": status.version}, 1)])
    yield _family("start_time_seconds", "gauge", "When the supervisor was started.", [({}, status.started_at)])
    yield _family(
        "generation", "gauge", "How many supervisors there were with this journal.", [({}, status.generation)]
    )
    yield _family("durable", "gauge", "1 if the journal can be written, 0 if not.", [({}, status.durable)])
    yield _family("journal_bytes", "gauge", "Size of the journal.", [({}, status.journal_bytes)])
    yield _family("warnings", "gauge", "Warnings that jobctl status shows.", [({}, len(status.warnings))])
    yield _family("requests_refused_total", "counter", "Requests that were refused.", [({}, status.refused)])


def _of_now(status: messages.SupervisorStatus) -> Iterator[Family]:
    counts = [({"state": state}, status.counts.get(state, 0)) for state in states.STATES]
    yield _family("jobs", "gauge", "Jobs by state; of finished ones those that are kept.", counts)
    queued = [
        ({"queue": queue.name, "state": state}, count)
        for queue in status.queues
        for state, count in (("running", queue.running), ("queued", queue.queued), ("scheduled", queue.scheduled))
    ]
    yield _family("queue_jobs", "gauge", "Unfinished jobs by queue and state.", queued)
    open_ = [({"queue": queue.name}, queue.mode == "open") for queue in status.queues]
    yield _family("queue_open", "gauge", "1 if the queue takes jobs and starts them.", open_)
    slots = [({"pool": pool.name}, pool.concurrency) for pool in status.pools]
    yield _family("pool_slots", "gauge", "Jobs that the pool runs at once.", slots)
    running = [({"pool": pool.name}, pool.running) for pool in status.pools]
    yield _family("pool_running", "gauge", "Jobs that run in the pool.", running)
    pools = [({"pool": pool.name, "state": one}, pool.state == one) for pool in status.pools for one in _POOL_STATES]
    yield _family("pool_state", "gauge", "1 for the state that the pool is in.", pools)


def _of_queues(counted: Counted) -> Iterator[Family]:
    queues = counted.queues
    submitted = [({"queue": queue.queue}, queue.submitted) for queue in queues]
    yield _family("jobs_submitted_total", "counter", "Jobs that were accepted.", submitted)
    ended = [
        ({"queue": queue.queue, "state": state}, count)
        for queue in queues
        for state, count in (
            (states.SUCCEEDED, queue.succeeded),
            (states.FAILED, queue.failed),
            (states.CANCELLED, queue.cancelled),
        )
    ]
    yield _family("jobs_finished_total", "counter", "Jobs that finished, by how.", ended)
    attempts = [
        ({"queue": queue.queue, "outcome": outcome}, queue.attempts.get(outcome, 0))
        for queue in queues
        for outcome in states.OUTCOMES
    ]
    yield _family("attempts_total", "counter", "Attempts that ended, by outcome.", attempts)
    cpu = [({"queue": queue.queue}, queue.cpu_s) for queue in queues]
    yield _family("cpu_seconds_total", "counter", "CPU time of attempts that ended.", cpu)
    waits = [(queue.queue, queue.wait) for queue in queues]
    yield _histogram("wait_seconds", "From being due to starting.", counted.bounds_s, waits)
    runs = [(queue.queue, queue.run) for queue in queues]
    yield _histogram("run_seconds", "From the start of an attempt to its end.", counted.bounds_s, runs)


def _family(
    name: str,
    kind: Literal["counter", "gauge"],
    about: str,
    values: Iterable[tuple[dict[str, str], float]],
) -> Family:
    return {"name": name, "type": kind, "help": about, "samples": [_sample(name, *value) for value in values]}


def _histogram(name: str, about: str, bounds_s: list[float], queues: Iterable[tuple[str, Distribution]]) -> Family:
    samples: list[Sample] = []
    for queue, times in queues:
        total = 0
        for bound, count in zip([*(f"{bound:g}" for bound in bounds_s), "+Inf"], times.counts, strict=True):
            total += count
            samples.append(_sample(f"{name}_bucket", {"queue": queue, "le": bound}, total))
        samples.append(_sample(f"{name}_sum", {"queue": queue}, times.sum_s))
        samples.append(_sample(f"{name}_count", {"queue": queue}, total))
    return {"name": name, "type": "histogram", "help": about, "samples": samples}


def _sample(name: str, labels: dict[str, str], value: float) -> Sample:
    return {"name": f"jobyard_{name}", "labels": labels, "value": float(value)}


def _line(sample: Sample) -> str:
    labels = ",".join(f'{name}="{_label(value)}"' for name, value in sample["labels"].items())
    return sample["name"] + (f"{{{labels}}}" if labels else "") + f" {_number(sample['value'])}"


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _label(value: str) -> str:
    """Control characters are made visible here, since readers know no other escapes than these three."""
    return clean(value, "\n").replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _help(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n")
