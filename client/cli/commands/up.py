"""``jobctl up``."""

from __future__ import annotations

import argparse
import json
import os
import select
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from ....conf.paths import secure_directory, unusable
from ....protocol.errors import SupervisorUnavailable, WaitTimeout, from_wire
from ....protocol.options import LOG_FORMATS, duration
from ... import guard_lock
from .. import documents, exits, guard
from ..context import Context
from ..parsing import option_value

READY_TIMEOUT = "2m"
_TAIL_LINES = 5
_EXAMPLES = """In the foreground it runs until Ctrl-C, which lets running jobs end; a second Ctrl-C stops them
and puts them back into their queue. A supervisor that crashes is started again, and no accepted
job is lost. As a service of systemd (Type=notify) it becomes the supervisor, which systemd
starts again.

examples:
  jobctl up
  jobctl up -d
  jobctl up --dev
  jobctl up --log-format json
  jobctl up --env production --set pools.default.concurrency=8"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    parser.add_argument("-d", "--detach", action="store_true", help="run in the background; return when it is ready")
    parser.add_argument("--dev", action="store_true", help="load a pool's code again when a source file has changed")
    parser.add_argument("--fence", action="store_true", help="end jobs that an earlier supervisor left running")
    parser.add_argument("--log-format", choices=LOG_FORMATS, help="what the lines of its log look like")
    parser.add_argument("--until-idle", action="store_true", help="end when nothing is due, as jobctl process does")
    parser.add_argument(
        "--timeout",
        metavar="TIME",
        default=READY_TIMEOUT,
        help=f"with -d wait no longer than this (default: {READY_TIMEOUT})",
    )
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    if args.socket:
        raise exits.UsageError(
            "--socket says where a supervisor is, not where one is to be",
            hint=f"jobctl up --set supervisor.socket={shlex.quote(args.socket)}",
        )
    timeout_s = option_value(duration, args.timeout, "--timeout")
    state_dir = context.paths.state_dir
    secure_directory(state_dir)
    command = supervisor_command(context)
    if args.dev:
        command.append("--dev")
    if args.until_idle:
        command.append("--until-idle")
    if args.log_format:
        command += ["--set", f"logging.format={args.log_format}"]
    if args.detach:
        return _detached(context, command, state_dir, timeout_s)
    return _foreground(context, command, state_dir)


def _first(context: Context) -> list[str]:
    """What holds for this start alone, not when the guard starts a supervisor again."""
    return ["--fence"] if context.args.fence else []


def supervisor_command(context: Context) -> list[str]:
    """The command line of a supervisor for this config, ``--env`` and ``--set`` included."""
    args = context.args
    command = [sys.executable, "-P", "-m", "jobyard.supervisor", "--config", str(context.loaded.settings.file)]
    if args.env:
        command += ["--env", args.env]
    for override in args.set:
        command += ["--set", override]
    return command


def _foreground(context: Context, command: list[str], state_dir: Path) -> int:
    def report(said: dict[str, Any]) -> None:
        if "error" in said:
            context.out.error(from_wire(said["error"]))
        else:
            context.out.say(f"jobyard is ready (pid {said.get('pid')}); stop it with Ctrl-C or jobctl down")
            _warn(context, said)

    context.out.flush()
    with guard_lock.GuardLock(state_dir / guard_lock.FILE_NAME) as lock:
        if "NOTIFY_SOCKET" in context.environ:  # the service manager is the guard, and this the process that it watches
            os.execve(command[0], [*command, *_first(context)], dict(context.environ))
        hangup_stops = sys.stdin is not None and sys.stdin.isatty()
        return guard.Guard(command, lock, report, first=_first(context), hangup_stops=hangup_stops).run()


def _detached(context: Context, command: list[str], state_dir: Path, timeout_s: float) -> int:
    output = state_dir / guard_lock.OUTPUT_NAME
    ours, theirs = os.pipe()
    try:
        child = _start_guard([*command, "--quiet"], _first(context), state_dir, output, theirs)
    finally:
        os.close(theirs)
    try:
        said = _first_line(ours, timeout_s)
    except WaitTimeout:
        _leave(child)
        raise
    except KeyboardInterrupt:
        _leave(child)
        context.out.say("interrupted; the supervisor goes on starting\ntry: jobctl status, or jobctl down")
        return exits.INTERRUPTED
    finally:
        os.close(ours)
    if "error" in said:
        context.out.error(from_wire(said["error"]))
        return child.wait()
    if not said:
        code = child.wait()
        raise SupervisorUnavailable(
            f"the supervisor ended before it was ready (exit code {code}): {tail(output)}", hint=f"less {output}"
        )
    _leave(child)
    _print_ready(context, said, output)
    return exits.OK


def _start_guard(
    command: list[str], first: list[str], state_dir: Path, output: Path, ready_fd: int
) -> subprocess.Popen[bytes]:
    guarding = [sys.executable, "-P", "-m", guard.__name__, "--ready-fd", str(ready_fd)]
    guarding += ["--lock", str(state_dir / guard_lock.FILE_NAME), *(f"--first={one}" for one in first), "--", *command]
    try:
        fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unusable(output, error) from None
    try:
        return subprocess.Popen(
            guarding,
            stdin=subprocess.DEVNULL,
            stdout=fd,
            stderr=fd,
            pass_fds=[ready_fd],
            start_new_session=True,
            cwd=state_dir,
        )
    finally:
        os.close(fd)


def _leave(child: subprocess.Popen[bytes]) -> None:
    """The guard stays when this process goes; without a return code Popen would warn that nobody waited for it."""
    child.returncode = exits.OK


def _first_line(fd: int, timeout_s: float) -> dict[str, Any]:
    """What the guard reports first; empty if it ended without a word.

    Raises:
        WaitTimeout: nothing came in time.
    """
    if not select.select([fd], [], [], timeout_s)[0]:
        raise WaitTimeout("the supervisor has started but was not ready in time", hint="jobctl status")
    line = b""
    while not line.endswith(b"\n") and (data := os.read(fd, guard.LINE_BYTES_MAX)):
        line += data
    said = json.loads(line) if line else {}
    return said if isinstance(said, dict) else {}


def tail(output: Path) -> str:
    """The last lines that supervisor and guard wrote there."""
    lines = output.read_text("utf-8", "backslashreplace").splitlines()
    return " | ".join(line.strip() for line in lines[-_TAIL_LINES:]) or "it wrote nothing"


def _print_ready(context: Context, said: dict[str, Any], output: Path) -> None:
    config = str(context.loaded.settings.file)
    if context.args.output == "json":
        body = {"pid": said.get("pid"), "socket": said.get("socket"), "config": config, "output": str(output)}
        context.out.document(documents.UP, body)
    else:
        context.out.line(f"jobyard is ready: pid {said.get('pid')}, config {config}")
    _warn(context, said)


def _warn(context: Context, said: dict[str, Any]) -> None:
    """What the supervisor found wrong that did not keep it from starting."""
    for warning in said.get("warnings", ()):
        context.out.say(f"warning: {warning}")
