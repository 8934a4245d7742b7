"""What people are shown of jobs, supervisor and catalogue. Pure: messages in, text out; ``render.py`` escapes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...protocol import messages, states
from ...protocol.errors import ProtocolError
from ...protocol.job import AttemptInfo, ErrorInfo, JobInfo, Parent, Policy
from . import documents
from .render import Column, counted, duration, indent, moment, plain_table, short_moment, size

VALUE_CHARS_MAX = 2000  # of an argument or a result; --json has all of it
NOTE_CHARS_MAX = 100
REASON_CHARS_MAX = 500
FAMILY_SHOWN = 5
_STOPPED = (states.TIMEOUT, states.STALLED, states.CANCELLED_ATTEMPT)  # asked to, and killed if that did not help

STATE_STYLES = {
    states.RUNNING: "cyan",
    states.SUCCEEDED: "green",
    states.FAILED: "bold red",
    states.CANCELLED: "yellow",
    states.SCHEDULED: "blue",
    states.BLOCKED: "dim",
}

JOB_COLUMNS = (
    Column("ID", right=True),
    Column("STATE", styles=STATE_STYLES),
    Column("JOB", cuts=True),
    Column("QUEUE"),
    Column("TRY", right=True),
    Column("CREATED"),
    Column("TOOK", right=True),
    Column("NOTE"),
)
_ATTEMPT_COLUMNS = (
    Column("NO", right=True),
    Column("STARTED"),
    Column("TOOK", right=True),
    Column("CPU", right=True),
    Column("PEAK MEMORY", right=True),
    Column("PID", right=True),
    Column("OUTCOME"),
)


def job_row(info: JobInfo, now: float) -> list[str]:
    return [
        str(info.id),
        info.state,
        info.ref,
        info.queue,
        tries(info),
        short_moment(info.created_at, now),
        _took(info, now),
        _shorten(note(info, now), NOTE_CHARS_MAX),
    ]


RETRY_COLUMNS = (
    Column("ID", right=True),
    Column("JOB", cuts=True),
    Column("STATUS", styles={"running": "cyan", "completed": "green", "failed": "bold red"}),
    Column("ATTEMPT", right=True),
    Column("NEXT"),
    Column("LAST ERROR"),
)


def retry_row(info: JobInfo, now: float) -> list[str]:
    """Attempts as they are counted: those that were lost or put off are left out."""
    due = f"in {duration(max(0.0, info.run_at - now))}" if info.state == states.SCHEDULED else "-"
    said = (documents.last_error(info) or "").strip().partition("\n")[0]
    return [str(info.id), info.ref, info.status, tries(info), due, _shorten(said, NOTE_CHARS_MAX)]


def tries(info: JobInfo) -> str:
    """Which of its attempts a job is at; those that do not count (lost, put off) are left out."""
    return f"{info.spent + (info.state == states.RUNNING)}/{info.max_attempts}"


def took(started_at: float | None, ended_at: float | None, now: float) -> str:
    return "-" if started_at is None else duration(max(0.0, (ended_at or now) - started_at))


def _took(info: JobInfo, now: float) -> str:
    """All its attempts and the pauses between them, or "-" where none runs and another may follow."""
    over_or_running = info.finished_at or info.state == states.RUNNING
    return took(info.started_at, info.finished_at, now) if over_or_running else "-"


def note(info: JobInfo, now: float) -> str:
    """The one thing worth saying of a job in its state."""
    last = info.last_attempt
    if info.state == states.RUNNING:
        return "being cancelled" if info.cancel_requested else progress(info)
    if info.state == states.SCHEDULED:
        due = f"in {duration(max(0.0, info.run_at - now))}"
        return f"again {due}, after: {outcome(last, info.policy)}" if last else f"starts {due}"
    if info.state == states.BLOCKED:
        return f"waits for {_family([one for one in info.parents if one.state not in states.FINISHED])}"
    if info.state == states.FAILED:
        return outcome(last, info.policy) if last else info.reason or ""
    return info.reason or "" if info.state == states.CANCELLED else ""


def progress(info: JobInfo) -> str:
    said = info.progress
    if said is None:
        return ""
    done = f"{said.done:g}" if said.total is None else f"{said.done:g}/{said.total:g}"
    return f"{done} {said.text}".rstrip()


def outcome(attempt: AttemptInfo, policy: Policy) -> str:
    """How an attempt ended, in words."""
    if attempt.outcome is None:
        return "running"
    if attempt.outcome == states.ERROR and attempt.error is not None:
        return _error(attempt.error)
    words = {
        states.EXITED: f"its process ended with exit code {attempt.exit_code} and no result",
        states.SIGNALLED: f"its process was killed by {attempt.signal}",
        states.OOM: "its process was killed for want of memory",
        states.TIMEOUT: f"ran into its timeout{_limit(policy.timeout_s)}",
        states.STALLED: f"gave no sign of life for its stall timeout{_limit(policy.stall_timeout_s)}",
    }.get(attempt.outcome, attempt.outcome)
    if attempt.outcome == states.EXITED and attempt.exit_code == states.CUT_OFF:
        words = f"its process could not send its result ({states.CUT_OFF_CAUSE})"
    if attempt.outcome in _STOPPED and attempt.signal == "SIGKILL":
        words += " and was killed"
    return f"{words} ({attempt.reason})" if attempt.reason else words


def _limit(seconds: float | None) -> str:
    return "" if seconds is None else f" of {duration(seconds)}"


def reason(attempt: AttemptInfo, policy: Policy) -> str:
    """``outcome``, short enough to be said in passing."""
    return _shorten(outcome(attempt, policy), REASON_CHARS_MAX)


def _error(error: ErrorInfo) -> str:
    kind = error.type.removeprefix("builtins.").removeprefix("jobyard.protocol.errors.") or "error"
    first = error.message.strip().partition("\n")[0]
    return f"{kind}: {first}" if first else kind


def _family(members: Sequence[Parent | JobInfo], count: int = 0) -> str:
    """Jobs with their states, the first of them where there are many; ``count`` is how many there are in all."""
    shown = [f"{one.id} ({one.state})" for one in members[:FAMILY_SHOWN]]
    rest = max(count, len(members)) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _anyway(info: JobInfo) -> str:
    return "; runs however they end" if info.parents and info.on_parent_failure == "run" else ""


def job_details(info: JobInfo, now: float, children: Sequence[JobInfo] = ()) -> str:
    """Everything that is known about one job; ``children`` are the first of those that wait or waited for it."""
    facts = [
        ("job", info.ref if info.name == info.ref else f"{info.ref}  ({info.name})"),
        ("arguments", call(info)),
        ("queue", f"{info.queue}  ({f'pool {info.pool}, ' if info.pool else ''}priority {info.priority})"),
        ("created", moment(info.created_at)),
        ("due", moment(info.run_at) if info.state == states.SCHEDULED else ""),
        ("started", moment(info.started_at) if info.started_at else ""),
        ("finished", moment(info.finished_at) if info.finished_at else ""),
        ("took", _took(info, now).removeprefix("-")),
        ("expires", moment(info.expires_at) if info.expires_at else ""),
        (
            "attempts",
            tries(info).replace("/", " of ") + (f", lost {counted(info.losses, 'time')}" if info.losses else ""),
        ),
        ("limits", _limits(info)),
        ("key", info.key or ""),
        ("tags", ", ".join(f"{key}={value}" for key, value in info.tags.items())),
        ("parent", str(info.parent) if info.parent else ""),
        ("after", _family(info.parents) + _anyway(info)),
        ("needed by", _family(children, info.children_count)),
        ("progress", progress(info)),
        ("note", note(info, now) if info.state != states.RUNNING or info.cancel_requested else ""),
        *(("warning", text) for text in info.warnings),
        ("result", _result(info)),
        ("log", (info.last_attempt.log or "") if info.last_attempt else ""),
        ("code", info.last_attempt.code_version if info.last_attempt else ""),
        ("uid", info.uid),
    ]
    lines = [f"job {info.id}  {info.state}" + ("" if info.durable else "  (not yet on disk)")]
    lines += [f"  {label:<11}{_one_line(value)}" for label, value in facts if value]
    if info.attempts:
        rows = [[_one_line(cell) for cell in _attempt_row(item, info.policy, now)] for item in info.attempts]
        lines += ["", indent(plain_table(_ATTEMPT_COLUMNS, rows), "  ")]
    if info.error is not None and info.last_attempt is not None:
        number, raised = info.last_attempt.number, info.last_attempt.outcome == states.ERROR
        heading = f"error of attempt {number}:" if raised else f"attempt {number} was stopped here:"
        lines += ["", f"  {heading}", indent(info.error.traceback.rstrip() or _error(info.error))]
    return "\n".join(lines)


def _attempt_row(attempt: AttemptInfo, policy: Policy, now: float) -> list[str]:
    usage = attempt.usage
    about = "~" if usage and usage.approximate else ""
    return [
        str(attempt.number),
        moment(attempt.started_at),
        took(attempt.started_at, attempt.ended_at, now),
        about + duration(usage.cpu_user_s + usage.cpu_system_s) if usage else "-",
        about + size(usage.peak_rss_bytes) if usage else "-",
        str(attempt.pid or "-"),
        _shorten(outcome(attempt, policy), NOTE_CHARS_MAX),
    ]


def _limits(info: JobInfo) -> str:
    policy = info.policy
    named = (
        ("timeout", policy.timeout_s),
        ("soft timeout", policy.soft_timeout_s),
        ("stall timeout", policy.stall_timeout_s),
    )
    return ", ".join(f"{name} {duration(value)}" for name, value in named if value is not None)


def call(info: JobInfo) -> str:
    """The arguments as they would be written in Python."""
    args, kwargs = documents.arguments(info)
    if args is None or kwargs is None:
        return "(cannot be decoded)"
    words = [_value(item) for item in info.args] + [f"{name}={_value(item)}" for name, item in info.kwargs.items()]
    return ", ".join(words) or "none"


def _result(info: JobInfo) -> str:
    if info.state != states.SUCCEEDED:
        return ""
    try:
        return _value(info.result)
    except ProtocolError:
        return "(cannot be decoded)"


def _value(value: Any) -> str:
    try:
        return _shorten(repr(value), VALUE_CHARS_MAX)
    except ValueError:  # an integer too long to be written in decimal
        return _shorten(repr(documents.plain(value)), VALUE_CHARS_MAX)


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _one_line(text: str) -> str:
    """Keeps a value from looking like further lines of the details."""
    return text.replace("\r", "\\r").replace("\n", "\\n")


QUEUE_COLUMNS = (
    Column("QUEUE"),
    Column("MODE", styles={"paused": "yellow", "draining": "yellow"}),
    Column("POOL"),
    Column("LIMIT", right=True),
    Column("RUNNING", right=True),
    Column("QUEUED", right=True),
    Column("SCHEDULED", right=True),
    Column("BLOCKED", right=True),
)
POOL_COLUMNS = (
    Column("POOL"),
    Column("STATE", styles={"up": "green", "failed": "bold red", "unreachable": "bold red"}),
    Column("SLOTS", right=True),
    Column("RUNNING", right=True),
    Column("READY", right=True),
    Column("PID", right=True),
    Column("PROBLEM"),
)


def status_head(reply: messages.SupervisorStatus, now: float) -> str:
    state = "stopping: running jobs end, nothing new is started" if reply.stopping else "running"
    facts = [
        (
            "supervisor",
            f"{state}  (pid {reply.pid}, version {reply.version}, up {duration(max(0.0, now - reply.started_at))})",
        ),
        ("config", reply.config),
        ("state", f"{reply.state_dir}  (journal {size(reply.journal_bytes)})"),
        ("socket", reply.socket),
        (
            "jobs",
            ", ".join(f"{reply.counts[name]} {name}" for name in states.STATES if reply.counts.get(name)) or "none",
        ),
        ("refused", counted(reply.refused, "request") if reply.refused else ""),
        ("storage", "" if reply.durable else "the journal cannot be written: nothing new is accepted"),
    ]
    return "\n".join(f"{label:<12}{_one_line(value)}" for label, value in facts if value)


def queue_row(queue: messages.QueueStatus) -> list[str]:
    limit = "-" if queue.concurrency is None else str(queue.concurrency)
    counts = (queue.running, queue.queued, queue.scheduled, queue.blocked)
    return [queue.name, queue.mode, queue.pool, limit, *map(str, counts)]


def pool_row(pool: messages.PoolStatus) -> list[str]:
    problem = pool.problem or (
        f"{counted(pool.retiring, 'older zygote')} left with running jobs" if pool.retiring else ""
    )
    return [
        pool.name,
        pool.state,
        str(pool.concurrency),
        str(pool.running),
        str(pool.spare),
        str(pool.pid or "-"),
        problem,
    ]


def signature(entry: messages.CatalogEntry) -> str:
    """The call as the function's ``def`` line has it."""
    words: list[str] = []
    before = ""
    for parameter in entry.parameters:
        if before == "positional" and parameter.kind != "positional":
            words.append("/")
        if parameter.kind == "named" and before not in ("named", "args"):
            words.append("*")
        words.append(_parameter(parameter))
        before = parameter.kind
    if before == "positional":
        words.append("/")
    return f"{entry.ref}({', '.join(words)})"


def _parameter(parameter: messages.Parameter) -> str:
    word = {"args": "*", "kwargs": "**"}.get(parameter.kind, "") + parameter.name
    if parameter.annotation is not None:
        word += f": {parameter.annotation}"
    if parameter.default is not None:
        word += f" = {parameter.default}" if parameter.annotation is not None else f"={parameter.default}"
    return word


def catalog_entry(entry: messages.CatalogEntry) -> str:
    about = [f"pool {entry.pool}"]
    if entry.aliases:
        about.insert(0, "alias " + ", ".join(entry.aliases))
    if entry.file:
        about.append(f"{entry.file}:{entry.line}")
    lines = [("async " if entry.is_async else "") + signature(entry)]
    if entry.doc:
        lines.append(f"    {_one_line(entry.doc)}")
    return "\n".join([*lines, "    " + "  ".join(about)])


def problem(item: messages.CatalogProblem) -> str:
    return f"{item.what} (pool {item.pool})\n" + indent(item.why)
