"""Where the supervisor's own log goes: standard error, a file for everything, and a file for errors and refusals.

Owns handlers and files, and that a file may be moved away at any time. What lines look like is ``log_formats.py``'s.
"""

from __future__ import annotations

import logging
import os
import sys
from logging.handlers import WatchedFileHandler
from pathlib import Path

from ..conf.paths import Paths
from ..conf.settings import LoggingSettings
from . import log_formats

_ROOT = "jobyard"


def set_up(settings: LoggingSettings, paths: Paths, *, env: str = "local", quiet: bool = False) -> None:
    """Begin to log; replaces what an earlier call set up. Files that a rotation moved away are made anew.

    Args:
        env: the name of the environment, for formats that show it.
        quiet: to the files only.

    Raises:
        OSError: the log file cannot be written; then nothing is changed.
    """
    root = logging.getLogger(_ROOT)
    general = _LogFile(paths.supervisor_log, settings)
    errors = _LogFile(paths.error_log, settings, delay=True)
    errors.setLevel(settings.error_level.upper())
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(settings.level.upper())
    root.propagate = False
    if not quiet:
        root.addHandler(logging.StreamHandler(sys.stderr))
    root.addHandler(general)
    root.addHandler(errors)
    use_format(settings.format, env)


def use_format(log_format: str, env: str) -> None:
    """Write the lines that follow in this format, wherever they go."""
    formatter = log_formats.formatter(log_format, env)
    for handler in logging.getLogger(_ROOT).handlers:
        on_terminal = not isinstance(handler, _LogFile) and sys.stderr.isatty() and "NO_COLOR" not in os.environ
        handler.setFormatter(log_formats.coloured(formatter) if on_terminal else formatter)


class _LogFile(WatchedFileHandler):
    """A file that is begun anew when it was moved away, or when it is large, if the settings say how large.

    A log that cannot be written, because the disk is full or its directory is gone, is no reason to end.
    """

    def __init__(self, path: Path, settings: LoggingSettings, *, delay: bool = False) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace", delay=delay)
        self._bytes_max, self._keep = settings.max_bytes, settings.keep_files

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
            if self._bytes_max is not None and os.stat(self.baseFilename).st_size >= self._bytes_max:
                self._rotate()
        except OSError:
            self.handleError(record)

    def _rotate(self) -> None:
        """Rename NAME to NAME.1, and each NAME.n to the next; the oldest goes. The next line begins a new file."""
        for number in range(self._keep - 1, -1, -1):
            older = f"{self.baseFilename}.{number}" if number else self.baseFilename
            if os.path.exists(older):
                os.replace(older, f"{self.baseFilename}.{number + 1}")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the name is logging's)
        """There is nowhere left to tell of it."""
