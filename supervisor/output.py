"""Where the output of attempts is, and what of it answers a request.

Owns the names below the output directory; how the files are read is ``protocol/outputs.py``'s. A look takes a bounded
time whatever the length of the output, since the loop takes it.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..protocol import logfile, outputs
from ..protocol.errors import StorageUnavailable
from ..protocol.messages import LOG_BYTES_MAX, LogReply, Logs

Directory = str | os.PathLike[str]


def base(output_dir: Directory, job_id: int, attempt: int) -> str:
    """The path of an output's files, without suffix."""
    return os.path.join(output_dir, logfile.name(job_id, attempt))


def path(output_dir: Directory, job_id: int, attempt: int) -> Path:
    """The file with the output, or with its beginning if it is long; it exists only if something was printed."""
    return Path(logfile.data_file(base(output_dir, job_id, attempt), logfile.HEAD))


def reply(output_dir: Directory, request: Logs, attempt: int, live: bool) -> LogReply:
    """What there is of an attempt's output; what the disk refused of it is left to be told.

    Args:
        live: it is running, so that more may come.

    Raises:
        StorageUnavailable: it is there, and cannot be read.
    """
    try:
        return _reply(output_dir, request, attempt, live)
    except OSError as error:
        message = f"the output of job {request.id}, attempt {attempt}, cannot be read: {error.strerror}"
        raise StorageUnavailable(message, hint=f"look at the disk of {output_dir}") from None


def _reply(output_dir: Directory, request: Logs, attempt: int, live: bool) -> LogReply:
    files = base(output_dir, request.id, attempt)
    size = outputs.size(files, settled=not live)
    limit = min(request.limit, LOG_BYTES_MAX)
    reading = outputs.Reading([], request.offset)
    if limit > 0:
        reading = outputs.read(files, request.offset, size, limit)
    over = not reading.chunks if limit > 0 else request.offset >= size
    return LogReply(
        attempt=attempt,
        chunks=reading.chunks,
        next_offset=reading.reached,
        ended=not live and over,
        dropped_bytes=reading.dropped_bytes,
        path=str(path(output_dir, request.id, attempt)),
        inode=outputs.inode(files),
        size=size,
    )
