"""The shapes of what jobs and the supervisor tell as it happens: output, progress, notices. See ``shapes.py``."""

from __future__ import annotations

from typing import Annotated, TypedDict

Time = Annotated[str, "date-time"]  # RFC 3339 in UTC


class Progress(TypedDict):
    """How far a running job says it is."""

    done: float
    total: float | None
    text: str
    at: Time | None


class LogLine(TypedDict):
    """One line of output; also one line of ``-o jsonl``. ``level`` is null but for records of ``logging``."""

    at: Time | None
    stream: str
    level: str | None
    text: str


class Output(TypedDict):
    """The output of one attempt. ``dropped_bytes`` were over the cap, ``unwritten_bytes`` refused by the disk."""

    id: int
    attempt: int
    path: str | None
    ended: bool
    printed_bytes: int
    dropped_bytes: int
    unwritten_bytes: int
    unwritten_why: str | None
    lines: list[LogLine]


class Logs(TypedDict):
    """The output of each attempt that was asked for."""

    outputs: list[Output]


class Event(TypedDict):
    """A notice of the status stream; also one line of ``jobctl events -o jsonl``."""

    epoch: int
    seq: int
    at: Time | None
    kind: str
    job_id: int | None
    ref: str | None
    name: str | None
    queue: str | None
    state: str | None
    attempt: int
    outcome: str | None
    run_at: Time | None
    text: str | None
    progress: Progress | None
    ids: list[int]


class Events(TypedDict):
    """Notices that are kept, and the position after them."""

    epoch: int
    seq: int
    events: list[Event]


class Reason(TypedDict):
    """One thing that holds a job up, or that became of it."""

    code: str
    text: str
    jobs: list[int]
    seconds: float | None


class Explanation(TypedDict):
    """Why a job is in its state; also one line of ``-o jsonl``. ``text`` is the reasons as a sentence."""

    id: int
    state: str
    reasons: list[Reason]
    position: int | None
    hint: str
    text: str


class Why(TypedDict):
    """Why jobs are in their states."""

    jobs: list[Explanation]
