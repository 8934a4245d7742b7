"""Asking before something is done to many jobs at once."""

from __future__ import annotations

import sys

from .context import Context
from .exits import UsageError


def confirm(context: Context, deed: str) -> None:
    """Return if ``--yes`` was given or the user agrees.

    Raises:
        UsageError: the user does not, or there is nobody to ask.
    """
    if context.args.yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(f"refusing to {deed} without being told so", hint="add --yes")
    context.out.stderr.write(f"{deed}? [y/N] ")
    context.out.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was done")
