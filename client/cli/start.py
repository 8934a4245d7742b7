"""The first of jobctl that is loaded: while the rest is, Ctrl-C ends it as it ends any program that has just begun."""

from __future__ import annotations

import signal
from typing import NoReturn


def program() -> NoReturn:
    """The console script ``jobctl``."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # not where it is ignored, as in the background of a script
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from . import main

    signal.signal(signal.SIGINT, before)
    main.program()
