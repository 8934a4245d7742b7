"""Log records as lines of text: time, level and environment around the message, as each format has them.

Owns that a record never becomes text that could forge another line or move a cursor. The words about jobs are
``told.py``'s.
"""

from __future__ import annotations

import json
import logging
import time

from ..protocol.text import clean
from .told import JSON, PLAIN, JobLine

_SECONDS = "%Y-%m-%d %H:%M:%S"


def formatter(log_format: str, env: str) -> logging.Formatter:
    """What makes lines of records in one of ``options.LOG_FORMATS``; ``env`` names the environment in them."""
    if log_format == JSON:
        return _Json(env)
    return _Text("%(asctime)s %(levelname)-7s %(message)s" if log_format == PLAIN else _channel(env))


def coloured(inner: logging.Formatter) -> logging.Formatter:
    """The same lines in the colours of their levels, for a terminal."""
    return _Coloured(inner)


def _channel(env: str) -> str:
    return f"[%(asctime)s] {env}.%(levelname)s: %(message)s"


class _Text(logging.Formatter):
    def __init__(self, line: str) -> None:
        super().__init__(line, datefmt=_SECONDS if line.startswith("[") else None)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the name is logging's)
        if not record.message.isprintable():  # few are not, and to look is much less work than to clean
            record.message = clean(record.message, "\n").replace("\n", "\n    ")
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:  # noqa: N802 (the name is logging's)
        return clean(super().formatException(ei), "\n\t")  # type: ignore[arg-type]


class _Json(logging.Formatter):
    """One object to a line; everything that is not ASCII is escaped."""

    def __init__(self, env: str) -> None:
        super().__init__()
        self._env = env

    def format(self, record: logging.LogRecord) -> str:
        line = record.msg if isinstance(record.msg, JobLine) else None
        info = dict(line.info) if line else {"logger": record.name}
        if record.exc_info:
            info["traceback"] = self.formatException(record.exc_info)
        return json.dumps(
            {
                "job_name": line.name if line else None,
                "status": line.status if line else record.getMessage(),
                "log_type": record.levelname.lower(),
                "additional_info": info,
                "timestamp": time.strftime(_SECONDS, time.localtime(record.created)),
                "environment": self._env,
            }
        )


class _Coloured(logging.Formatter):
    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        import colorlog  # only for a terminal
        from colorlog.escape_codes import escape_codes, parse_colors

        self._inner = inner
        self._starts = {level: parse_colors(colours) for level, colours in colorlog.default_log_colors.items()}
        self._end = escape_codes["reset"]

    def format(self, record: logging.LogRecord) -> str:
        return f"{self._starts.get(record.levelname, '')}{self._inner.format(record)}{self._end}"
