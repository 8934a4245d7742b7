"""Where the supervisor's own log goes: standard error, a file for everything, and a file for errors and refusals."""

from __future__ import annotations

import logging
import sys
from logging.handlers import WatchedFileHandler

from ..conf.paths import Paths
from ..conf.settings import LoggingSettings

FORMAT = "%(asctime)s %(levelname)-7s %(message)s"


def set_up(settings: LoggingSettings, paths: Paths, *, quiet: bool = False) -> None:
    """Begin to log; replaces what an earlier call set up. Files that a rotation moved away are made anew.

    Args:
        quiet: to the files only.

    Raises:
        OSError: the log file cannot be written; then nothing is changed.
    """
    root = logging.getLogger("jobyard")
    general = _LogFile(paths.supervisor_log, encoding="utf-8", errors="backslashreplace")
    general.setFormatter(logging.Formatter(FORMAT))
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(settings.level.upper())
    root.propagate = False
    if not quiet:
        root.addHandler(_terminal())
    root.addHandler(general)
    errors = _LogFile(paths.error_log, encoding="utf-8", errors="backslashreplace", delay=True)
    errors.setLevel(settings.error_level.upper())
    errors.setFormatter(logging.Formatter(FORMAT))
    root.addHandler(errors)


class _LogFile(WatchedFileHandler):
    """A log that cannot be written, because the disk is full or its directory is gone, is no reason to end."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the name is logging's)
        """There is nowhere left to tell of it."""


def _terminal() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    if sys.stderr.isatty():
        import colorlog  # only for a terminal

        handler.setFormatter(colorlog.ColoredFormatter("%(log_color)s" + FORMAT))
    else:
        handler.setFormatter(logging.Formatter(FORMAT))
    return handler
