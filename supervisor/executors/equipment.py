"""What every executor waits with: a loop, a timer in it, and a mailbox. All of them are there, or none is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from ..clock import MONOTONIC, Timer
from .mailbox import Mailbox
from .zygote.loop import Loop


def equipment(time_passed: Callable[[int], None]) -> tuple[Loop, Timer, Mailbox]:
    """Made together, since an executor that cannot be had is tried again and again, and must not leave anything open.

    Args:
        time_passed: called when the timer fires.

    Raises:
        OSError: there are not enough descriptors.
    """
    with ExitStack() as made:
        loop = Loop()
        made.callback(loop.close)
        timer = Timer(MONOTONIC)
        made.callback(timer.close)
        mailbox = Mailbox(loop)
        made.callback(mailbox.close)
        fd = timer.fileno()
        assert fd is not None
        loop.watch(fd, time_passed)
        made.pop_all()
    return loop, timer, mailbox
