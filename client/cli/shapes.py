"""The shape of everything that jobctl prints for programs, as types. ``schemas.py`` makes JSON Schemas of them.

Nothing here runs when a verb does: ``documents.py`` names these types for the type checker alone. All keys are always
present; a new key may be added, none changes its meaning under the same schema number.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from ...protocol import messages
from .shapes_figures import Metrics, Stats
from .shapes_keys import Keys, NewKey, Revoked
from .shapes_told import Events, Logs, Progress, Time, Why


class Error(TypedDict):
    """What a job raised."""

    type: str
    message: str
    traceback: str


class Attempt(TypedDict):
    """One attempt; what is not known yet is null."""

    number: int
    started_at: Time | None
    ended_at: Time | None
    outcome: str | None
    exit_code: int | None
    signal: str | None
    reason: str | None
    error: Error | None
    cpu_user_s: float | None
    cpu_system_s: float | None
    peak_rss_bytes: int | None
    base_rss_bytes: int | None
    usage_approximate: bool | None
    wait_s: float
    pid: int | None
    host: str | None
    pool: str | None
    code_version: str | None
    log: str | None


class Retry(TypedDict):
    """When and how often a failed job is tried again."""

    max_attempts: int
    delays_s: list[float]
    backoff: float
    max_delay_s: float | None
    jitter: float
    on: list[str]
    give_up_on: list[str]


class Parent(TypedDict):
    """A job that another one waits for, or waited for."""

    id: int
    state: str


class Job(TypedDict):
    """All that is known of one job; also one line of ``-o jsonl``. Values that cannot be decoded are null."""

    id: int
    uid: str
    ref: str
    name: str
    state: str
    status: str
    queue: str
    pool: str
    priority: int
    args: list[Any] | None
    kwargs: dict[str, Any] | None
    result: Any
    error: Error | None
    attempt: int
    spent: int
    max_attempts: int
    losses: int
    created_at: Time | None
    run_at: Time | None
    started_at: Time | None
    finished_at: Time | None
    expires_at: Time | None
    timeout_s: float | None
    soft_timeout_s: float | None
    stall_timeout_s: float | None
    grace_s: float
    on_lost: str
    retry: Retry
    cancel_requested: bool
    reason: str | None
    key: str | None
    tags: dict[str, str]
    parent: int | None
    parents: list[Parent]
    on_parent_failure: str
    children_count: int
    progress: Progress | None
    attempts: list[Attempt]
    durable: bool
    warnings: list[str]


class Jobs(TypedDict):
    """Jobs; ``more`` says that others match. ``incomplete``: why jobs that have left memory are missing; else null."""

    jobs: list[Job]
    more: bool
    incomplete: str | None


class Accepted(TypedDict):
    """One submitted job; ``existing``: its key was taken, and this is the job that has it."""

    id: int
    uid: str
    existing: bool


class Submitted(TypedDict):
    """What ``submit`` stored."""

    jobs: list[Accepted]


class Cancelled(TypedDict):
    """Ids of jobs that are or will be cancelled, and of those that had finished before."""

    cancelled: list[int]
    finished: list[int]


class Retried(TypedDict):
    """Ids of jobs that are in their queue again."""

    ids: list[int]


class RetryRow(TypedDict):
    """A row of the retry table."""

    id: int
    ref: str
    name: str
    queue: str
    status: str
    state: str
    attempt: int
    max_attempts: int
    next_run_at: Time | None
    last_error: str | None


class Retries(TypedDict):
    """Jobs that were or will be tried again. ``incomplete`` is as of jobs."""

    retries: list[RetryRow]
    more: bool
    incomplete: str | None


class LogFormat(TypedDict):
    """The format of the supervisor's log that is in force."""

    format: str


class MadeJob(TypedDict):
    """The files that ``make-job`` wrote to, and the alias."""

    module: str
    config: str
    alias: str


class Status(TypedDict):
    """What runs, what waits, and what is wrong."""

    pid: int
    version: str
    generation: int
    started_at: Time | None
    config: str
    state_dir: str
    socket: str
    stopping: bool
    durable: bool
    counts: dict[str, int]
    refused: int
    queues: list[messages.QueueStatus]
    pools: list[messages.PoolStatus]
    journal_bytes: int
    warnings: list[str]


class Ping(TypedDict):
    """Who answers."""

    pid: int
    version: str
    ready: bool
    generation: int


class Catalog(TypedDict):
    """What may be submitted, and what is allowed but cannot be used."""

    jobs: list[messages.CatalogEntry]
    problems: list[messages.CatalogProblem]


class QueueMode(TypedDict):
    """The queues that were set, and their mode now."""

    mode: str
    queues: list[str]


class Queues(TypedDict):
    """Queues as they are now."""

    queues: list[messages.QueueStatus]


class Pools(TypedDict):
    """Pools as they are now."""

    pools: list[messages.PoolStatus]


class Recycled(TypedDict):
    """The pool that gets a fresh zygote."""

    pool: str


class Config(TypedDict):
    """The settings in force by key path, and where each comes from."""

    file: str
    settings: dict[str, Any]
    origins: dict[str, str]


class ConfigCheck(TypedDict):
    """A config without mistakes."""

    file: str
    warnings: list[str]


class Init(TypedDict):
    """The files that were written."""

    written: list[str]


class Up(TypedDict):
    """The supervisor that is ready."""

    pid: int | None
    socket: str | None
    config: str
    output: str


class Down(TypedDict):
    """The supervisor that is gone; null if only its guard was there. ``kept``: running jobs that were left running."""

    pid: int | None
    kept: int


class Restarted(TypedDict):
    """The supervisor that took over from the one with ``former_pid``; ``running`` jobs run in it."""

    pid: int
    former_pid: int
    running: int


class Reloaded(TypedDict):
    """Whether the config is another one now."""

    changed: bool
    warnings: list[str]


class Process(TypedDict):
    """``running_pid``: a supervisor runs anyway, so nothing was to be done. ``exit_code`` is the supervisor's own."""

    running_pid: int | None
    exit_code: int


class Running(TypedDict):
    """A job that runs; ``rss_bytes`` is the memory of its processes now, null if that cannot be seen from here."""

    id: int
    ref: str
    queue: str
    attempt: int
    started_at: Time | None
    elapsed_s: float
    pid: int | None
    rss_bytes: int | None
    progress: Progress | None


class Top(TypedDict):
    """One look at everything that runs."""

    at: Time | None
    counts: dict[str, int]
    running: list[Running]
    more: bool
    queues: list[messages.QueueStatus]
    pools: list[messages.PoolStatus]
    warnings: list[str]


class Journal(TypedDict):
    """What ``journal check`` and ``journal repair`` found; ``changed`` are files that a repair replaced."""

    verdict: Literal["ok", "torn_tail", "damaged", "unreadable"]
    segments: int
    records: int
    problems: list[str]
    changed: list[str]
    aside: str | None


class Compacted(TypedDict):
    """What ``journal compact`` did. ``upto``: the last segment that the snapshot takes the place of; ``archived``: how
    many finished jobs were new to the history; ``trouble``: what did not go well, though the rest did."""

    upto: int
    before_bytes: int
    after_bytes: int
    archived: int
    trouble: str | None


class Check(TypedDict):
    """One thing that was looked at. ``advice`` says what to do, and is empty where nothing is to be done."""

    name: str
    verdict: Literal["ok", "warn", "fail"]
    text: str
    advice: str


class Checks(TypedDict):
    """``ok``: nothing failed."""

    ok: bool
    checks: list[Check]


class ErrorBody(TypedDict):
    """``code`` is stable; ``hint`` says what to do and may be empty."""

    code: str
    message: str
    hint: str
    details: dict[str, Any]


class ErrorLine(TypedDict):
    """The one line on standard error when a command fails with ``--json``; standard output is empty then."""

    error: ErrorBody


class IdLine(TypedDict):
    """One line of ``-o jsonl`` where a verb tells ids."""

    id: int


# Documents are one JSON value that begins with its schema; lines stand alone.
class Changed(TypedDict):
    """Waiting jobs that were changed, and those that do not wait any more."""

    ids: list[int]
    others: list[int]


class Removed(TypedDict):
    """Finished jobs that were removed, and those that have not ended."""

    ids: list[int]
    others: list[int]


class Pruned(TypedDict):
    """How many finished jobs were removed, or with ``dry_run`` would be."""

    count: int
    dry_run: bool


DOCUMENTS: dict[str, type] = {
    "jobctl.jobs/1": Jobs,
    "jobctl.submitted/1": Submitted,
    "jobctl.cancelled/1": Cancelled,
    "jobctl.retried/1": Retried,
    "jobctl.logs/1": Logs,
    "jobctl.status/1": Status,
    "jobctl.ping/1": Ping,
    "jobctl.catalog/1": Catalog,
    "jobctl.queue-mode/1": QueueMode,
    "jobctl.queues/1": Queues,
    "jobctl.pools/1": Pools,
    "jobctl.recycled/1": Recycled,
    "jobctl.config/1": Config,
    "jobctl.config-check/1": ConfigCheck,
    "jobctl.init/1": Init,
    "jobctl.up/1": Up,
    "jobctl.down/1": Down,
    "jobctl.restarted/1": Restarted,
    "jobctl.reloaded/1": Reloaded,
    "jobctl.process/1": Process,
    "jobctl.stats/1": Stats,
    "jobctl.metrics/1": Metrics,
    "jobctl.top/1": Top,
    "jobctl.checks/1": Checks,
    "jobctl.journal/1": Journal,
    "jobctl.compacted/1": Compacted,
    "jobctl.events/1": Events,
    "jobctl.retries/1": Retries,
    "jobctl.log-format/1": LogFormat,
    "jobctl.made-job/1": MadeJob,
    "jobctl.changed/1": Changed,
    "jobctl.removed/1": Removed,
    "jobctl.pruned/1": Pruned,
    "jobctl.why/1": Why,
    "jobctl.keys/1": Keys,
    "jobctl.new-key/1": NewKey,
    "jobctl.revoked/1": Revoked,
}
LINES: dict[str, type] = {"job": Job, "accepted": Accepted, "id": IdLine, "error": ErrorLine}
