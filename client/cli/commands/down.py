"""``jobctl down``."""

from __future__ import annotations

import argparse
import math
import signal
import time
from pathlib import Path

from ....protocol import messages
from ....protocol.errors import InvalidConfig, JobyardError, OutcomeUnknown, SupervisorUnavailable, WaitTimeout
from ....protocol.options import duration_or_none
from ...guard_lock import guarded
from ...processes import Process
from .. import documents, exits
from ..context import Context
from ..parsing import option_value
from ..render import counted

_EXAMPLES = """Returns when the supervisor is gone. With --now running jobs are stopped and queued again,
which counts as no attempt. With --keep they go on by themselves, and the next jobctl up takes them
over with all that they have done meanwhile; those of pools with start = "spawn" are stopped.

examples:
  jobctl down
  jobctl down --timeout 5m || jobctl down --now
  jobctl down --keep"""
_QUIET_S = 1.0  # a wait that is longer is no riddle
_SIGNALS = {"wait": signal.SIGINT, "now": signal.SIGTERM, "keep": signal.SIGUSR1}  # as guard and supervisor take them


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--now",
        action="store_const",
        const="now",
        default="wait",
        dest="mode",
        help="do not wait for running jobs: stop and requeue them",
    )
    how.add_argument(
        "--keep", action="store_const", const="keep", dest="mode", help="leave running jobs for the next jobctl up"
    )
    parser.add_argument("--timeout", metavar="TIME", help="wait no longer; the supervisor goes on stopping")
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    limit_s = option_value(duration_or_none, args.timeout, "--timeout")
    deadline = None if limit_s is None else time.monotonic() + limit_s
    try:
        status: messages.SupervisorStatus = context.request(messages.Status())
    except (SupervisorUnavailable, InvalidConfig) as error:
        _stop_guard(context, context.state_dir, args.mode, deadline, error)
        return _gone(context, None, 0)
    owner = guarded(Path(status.state_dir))
    with Process(status.pid) as supervisor, Process(owner.guard if owner and owner.guard else status.pid) as guard:
        running = _ask(context, args.mode)
        if running and args.mode == "wait":
            context.out.say(f"waiting for {counted(running, 'running job')}")
        _await_end(supervisor, args.mode, deadline)
        _stop_guard(context, Path(status.state_dir), args.mode, deadline, None)
        _await_end(guard, args.mode, deadline)  # one that has let go of its lock still has a moment to live
    return _gone(context, status.pid, running if args.mode == "keep" else 0)


def _ask(context: Context, mode: str) -> int:
    """Ask the supervisor to stop; how many jobs run on. One that stops before it can answer has done what was asked."""
    try:
        reply: messages.Stopping = context.request(messages.Stop(mode))
    except (OutcomeUnknown, SupervisorUnavailable):
        return 0
    return reply.running


def _stop_guard(
    context: Context, state_dir: Path, mode: str, deadline: float | None, unavailable: JobyardError | None
) -> None:
    """See that nothing is left that would start another supervisor.

    Raises:
        JobyardError: ``unavailable``, when there is no guard either.
    """
    owner = guarded(state_dir)
    if owner is None or not owner.guard:
        if isinstance(unavailable, SupervisorUnavailable):
            raise SupervisorUnavailable(f"nothing to stop: {unavailable.message}") from None
        if unavailable is not None:
            raise unavailable
        return
    with Process(owner.guard) as guard:
        guard.send(_SIGNALS[mode])
        if unavailable is not None and not guard.ended(min(_QUIET_S, _left_s(deadline))):
            context.out.say(
                f"the supervisor does not answer; its guard (pid {owner.guard}) was told to stop it and is waited for\n"
                f"if it hangs: kill -9 {owner.supervisor}; another one then does what is left"
            )
        _await_end(guard, mode, deadline)


def _left_s(deadline: float | None) -> float:
    return math.inf if deadline is None else max(0.0, deadline - time.monotonic())


def _await_end(process: Process, mode: str, deadline: float | None) -> None:
    if not process.ended(_left_s(deadline)):
        if mode == "wait":
            raise WaitTimeout("the supervisor is still waiting for running jobs", hint="jobctl down --now")
        raise WaitTimeout("the supervisor has not ended yet, and goes on stopping", hint="jobctl status")


def _gone(context: Context, pid: int | None, kept: int) -> int:
    if context.args.output == "json":
        context.out.document(documents.DOWN, {"pid": pid, "kept": kept})
    elif kept:
        context.out.line(f"stopped; {counted(kept, 'running job')} left for the next jobctl up")
    else:
        context.out.line("stopped")
    return exits.OK
