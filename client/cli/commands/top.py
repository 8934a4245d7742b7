"""``jobctl top``."""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from typing import NoReturn

from ....protocol.errors import SupervisorUnavailable, WaitTimeout
from .. import documents, exits, look, views
from ..context import Context
from ..render import Output

REFRESH_S = 1.0
_LEAVE = frozenset(b"qQ\x1b\x04")
_EXAMPLES = """q leaves. What is shown is asked for once a second while the terminal is open. Without a terminal
one look is printed. MEMORY is what the job's processes hold now, shared pages counted in each.

examples:
  jobctl top
  jobctl top --json | python -m json.tool"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    out = context.out
    first = look.take(context)
    if args.output == "json":
        out.document(documents.TOP, look.document(first))
    elif not out.terminal or os.environ.get("TERM") == "dumb":
        _print(out, first)
    else:
        _live(context, first)
    return exits.OK


def _print(out: Output, seen: look.Look) -> None:
    out.block(look.heading(seen))
    if seen.jobs:
        out.line()
        out.table(look.COLUMNS, [look.row(job, seen.at) for job in seen.jobs])
    out.line()
    out.table(views.QUEUE_COLUMNS, [views.queue_row(queue) for queue in seen.status.queues])
    out.line()
    out.table(views.POOL_COLUMNS, [views.pool_row(pool) for pool in seen.status.pools])


def _live(context: Context, seen: look.Look) -> None:
    from rich.live import Live

    from ..screen import console_for, picture

    console = console_for(context.out)
    absent = ""
    with _keys() as keys, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(picture(seen, console.size.height, absent), refresh=True)
            if _leaves(keys):
                return
            try:
                seen, absent = look.take(context, timeout_s=REFRESH_S), ""
            except (SupervisorUnavailable, WaitTimeout) as error:
                absent = error.message


def _leaves(keys: int | None) -> bool:
    """Wait for a key or the next look; whether the user wants to go."""
    ready = select.select([] if keys is None else [keys], [], [], REFRESH_S)[0]
    if not ready or keys is None:
        return False
    typed = os.read(keys, 64)
    return not typed or typed[0] in _LEAVE


@contextlib.contextmanager
def _keys() -> Iterator[int | None]:
    """The terminal's descriptor, giving each key as it is pressed, as it was before at the end; None without one."""

    def leave(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, leave)
    try:
        if sys.stdin is None or not sys.stdin.isatty():
            yield None
            return
        fd = sys.stdin.fileno()
        modes = termios.tcgetattr(fd)
        try:
            tty.setcbreak(fd)
            yield fd
        finally:
            termios.tcsetattr(fd, termios.TCSADRAIN, modes)
    finally:
        signal.signal(signal.SIGTERM, before)
