"""``jobctl restart``."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from ....conf import loader
from ....protocol import messages
from ....protocol.errors import SupervisorUnavailable, WaitTimeout, WrongState
from ....protocol.options import duration
from ...guard_lock import OUTPUT_NAME, Guarded, guarded, has_ended
from ...processes import Process
from .. import documents, exits, guard
from ..context import Context
from ..parsing import option_value
from ..render import counted
from .up import READY_TIMEOUT, tail

_EXAMPLES = """For a new version of jobyard, or settings that need a new start. Running jobs are taken over with
log, result and time limits; requests wait meanwhile and are answered by the new supervisor. It is
started as the present one was, by the jobctl up that runs. For the code of jobs: jobctl reload.

examples:
  jobctl restart"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    parser.add_argument(
        "--timeout", metavar="TIME", default=READY_TIMEOUT, help=f"wait no longer (default: {READY_TIMEOUT})"
    )
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    deadline = time.monotonic() + option_value(duration, args.timeout, "--timeout")
    if not context.names_socket:
        _ = context.loaded  # a config with mistakes would leave nobody to take the jobs over
    status, owner = _present(context, deadline)
    if context.names_socket:
        loader.load(Path(status.config), environ=context.environ, env_name=args.env, overrides=args.set)
    state_dir = Path(status.state_dir)
    with Process(status.pid) as former, Process(owner.guard) as guarding:
        guarding.send(guard.RESTART)
        if not former.ended(max(0.0, deadline - time.monotonic())):
            raise WaitTimeout("the supervisor has not stopped yet", hint="jobctl status")
        now: messages.SupervisorStatus = _await_ready(context, guarding, state_dir, deadline)
    running = now.counts.get("running", 0)
    if args.output == "json":
        context.out.document(documents.RESTARTED, {"pid": now.pid, "former_pid": status.pid, "running": running})
    else:
        jobs = counted(running, "job")
        context.out.line(f"jobyard is ready: pid {now.pid} in the place of {status.pid}, {jobs} running")
    return exits.OK


def _present(context: Context, deadline: float) -> tuple[messages.SupervisorStatus, Guarded]:
    """The supervisor to replace, and its guard. A restart that is under way, after a crash perhaps, is waited for."""
    while True:
        try:
            status: messages.SupervisorStatus = context.request(messages.Status())
        except SupervisorUnavailable:
            if guarded(context.state_dir) is None or time.monotonic() >= deadline:
                raise
            continue
        owner = guarded(Path(status.state_dir))
        if owner is not None and owner.supervisor == status.pid:
            return status, owner
        if owner is None or not has_ended(status.pid):
            raise WrongState(
                f"nothing would start another supervisor in the place of {status.pid}: it was not started by jobctl up",
                hint="restart it with what has started it, such as systemctl; or jobctl down --keep, then jobctl up -d",
            )


def _await_ready(context: Context, guarding: Process, state_dir: Path, deadline: float) -> messages.SupervisorStatus:
    """The new supervisor's status, once it takes jobs."""
    while True:
        left_s = max(0.0, deadline - time.monotonic())
        try:
            context.request(messages.Catalog(), timeout=left_s)  # answered when it knows what may run
            status: messages.SupervisorStatus = context.request(messages.Status())
            return status
        except SupervisorUnavailable:
            output = state_dir / OUTPUT_NAME
            why = tail(output) if output.exists() else "jobctl up has said why where it runs"
            if guarding.ended(0):
                raise SupervisorUnavailable(f"the new supervisor could not start: {why}", hint="jobctl up") from None
            if time.monotonic() >= deadline:
                raise SupervisorUnavailable(
                    f"the new supervisor has not started yet, and is tried again: {why}", hint="jobctl status"
                ) from None
