"""``jobctl process``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ....conf.paths import secure_directory
from ....protocol.errors import from_wire
from ... import guard_lock
from .. import documents, exits, guard
from ..context import Context
from .up import supervisor_command

if TYPE_CHECKING:
    from .. import shapes

_EXAMPLES = """Starts a supervisor, lets it run every job that is due, and ends it. Jobs whose time has not come,
the next attempt of a failed job among them, wait for the next time. Where a supervisor runs
already there is nothing to do. What is logged goes to the log files.

Exit codes: 0 whatever became of the jobs; 2 or more if it could not run them.

examples:
  jobctl process
  * * * * *  cd /srv/app && jobctl process        # a line for crontab"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    if args.socket:
        raise exits.UsageError("--socket says where a supervisor is; process starts one", hint="jobctl process")
    state_dir = context.paths.state_dir
    secure_directory(state_dir)
    errors: list[dict[str, Any]] = []

    def report(said: dict[str, Any]) -> None:
        if "error" in said:
            errors.append(said["error"])

    command = [*supervisor_command(context), "--until-idle", "--quiet"]
    try:
        with guard_lock.GuardLock(state_dir / guard_lock.FILE_NAME) as lock:
            code = guard.Guard(command, lock, report).run()
    except guard_lock.AlreadyGuarded as error:
        return _runs_already(context, error.details["pid"])
    if errors:
        raise from_wire(errors[-1])
    if args.output == "json":
        body: shapes.Process = {"running_pid": None, "exit_code": code}
        context.out.document(documents.PROCESS, body)
    return code


def _runs_already(context: Context, pid: int) -> int:
    if context.args.output == "json":
        body: shapes.Process = {"running_pid": pid, "exit_code": exits.OK}
        context.out.document(documents.PROCESS, body)
    else:
        context.out.say(f"a supervisor runs already (pid {pid}) and starts what is due")
    return exits.OK
