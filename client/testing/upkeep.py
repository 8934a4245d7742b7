"""What is done to the jobs of an ``InlineClient`` once they are there: changed while they wait, forgotten, explained.

Owns the judgement of these requests. Runs nothing; whoever keeps the jobs carries out what is decided here.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from ...conf.catalog import Catalog
from ...protocol import messages as m
from ...protocol import options, states
from ...protocol.errors import BadArguments, WrongState
from ...protocol.job import JobInfo


def changed(info: JobInfo, request: m.SetJob, catalog: Catalog) -> JobInfo:
    """A job that waits, as the request wants it.

    Raises:
        BadArguments, UnknownQueue, NotAllowed: it cannot be so.
    """
    wanted = options.parse(options.SET_OPTIONS, request.options)
    if not wanted:
        raise BadArguments("nothing is to be changed", hint="one of " + ", ".join(options.SET_OPTIONS))
    changes: dict[str, Any] = {name: wanted[name] for name in ("priority", "queue") if name in wanted}
    if "queue" in wanted:
        catalog.check_queue(info.ref, wanted["queue"])
    if "timeout" in wanted:
        changes["policy"] = dataclasses.replace(info.policy, timeout_s=wanted["timeout"])
    if "delay" in wanted or "at" in wanted:
        changes["run_at"] = wanted["at"] if "at" in wanted else time.time() + wanted["delay"]
    return dataclasses.replace(info, **changes)


def split(found: list[JobInfo], wanted: frozenset[str], what: str) -> tuple[list[JobInfo], list[int]]:
    """The jobs in one of these states, and the ids of the others.

    Raises:
        WrongState: there are no such jobs; ``what`` says why that is none for the first.
    """
    fitting = [info for info in found if info.state in wanted]
    if not fitting:
        first = found[0]
        raise WrongState(
            f"job {first.id} {what}: its state is {first.state}", details={"id": first.id, "state": first.state}
        )
    return fitting, [info.id for info in found if info.state not in wanted]


def prunable(jobs: Mapping[int, JobInfo], request: m.Prune) -> list[int]:
    """The ids of what is to be forgotten; without ``older_s`` and ``states`` nothing, for no retention is over yet."""
    if request.older_s is None and not request.states:
        return []
    before = time.time() - (request.older_s or 0.0)
    return [
        info.id
        for info in jobs.values()
        if info.finished_at is not None
        and info.finished_at <= before
        and (not request.states or info.state in request.states)
    ]


def explain(info: JobInfo) -> m.Explanation:
    """Why a job is in its state, in the words of a supervisor as far as there is anything to say here."""
    cause = _cause(info)
    match info.state:
        case states.SCHEDULED:
            what = f"it is tried again after {cause}" if info.attempts else "its time has not come"
            return _said(info, "retry" if info.attempts else "delay", what, "client.run_waiting()")
        case states.BLOCKED:
            pending = [one for one in info.parents if one.state not in states.FINISHED]
            named = ", ".join(f"{one.id} ({one.state})" for one in pending)
            return m.Explanation(
                info.id, info.state, [m.Reason("parents", f"it waits for job {named}", [one.id for one in pending])]
            )
        case states.RUNNING:
            return _said(info, "running", f"attempt {info.attempt} runs")
        case states.SUCCEEDED:
            return _said(info, "succeeded", f"attempt {info.attempt}")
        case states.CANCELLED:
            return _said(info, "cancelled", info.reason or "somebody asked for it")
    return _said(info, "failed", cause, f"client.retry({info.id})")


def _said(info: JobInfo, code: str, text: str, hint: str = "") -> m.Explanation:
    return m.Explanation(info.id, info.state, [m.Reason(code, text)], hint=hint)


def _cause(info: JobInfo) -> str:
    error = info.attempts[-1].error if info.attempts else None
    return info.reason or "" if error is None else f"{error.type.removeprefix('builtins.')}: {error.message}"
