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
    if sys.stdin is None or not sys.stdin.isatty() or not context.out.stderr.isatty():
        raise UsageError(f"refusing to {deed} without being told so", hint="add --yes")
    context.out.stderr.write(f"{deed}? [y/N] ")
    context.out.stderr.flush()
    answer = ""
    try:
        answer = sys.stdin.readline()
    except UnicodeDecodeError:  # whatever it says, it is not yes
        answer = "\n"
    finally:
        if not answer.endswith("\n"):  # by Ctrl-D or Ctrl-C
            context.out.stderr.write("\n")
    if answer.strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was done")
