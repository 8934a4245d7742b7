"""The files of an attempt's output: their names, and the layout of the index beside each.

Owns what the log writer and its readers (``outputs.py``) must agree on. An output is one sequence of bytes, all streams
together in the order of their arrival. Its beginning is kept in the *head* file, its end in two *tail* files that are
used by turns; what lies between was dropped. Each file holds the raw bytes and has an index: one record for each piece
of it, and for each piece that the disk refused, which is in no file. The first record of an index says where its file
begins, and all are in order, so that a reader need not read it from its beginning.
"""

from __future__ import annotations

import struct

STREAMS = ("stdout", "stderr", "logging")
HEAD = ""
TAILS = (".t0", ".t1")
# Position in the output, position in the file, length, stream, 0 or the errno with which the disk refused it, time
# (seconds since the epoch).
RECORD = struct.Struct("<QQIBxHd")
LENGTH_MAX = (1 << 32) - 1
IDS_PER_DIRECTORY = 1000


def name(job_id: int, attempt: int) -> str:
    """Path of an attempt's output below the output directory, without suffix."""
    return f"{job_id // IDS_PER_DIRECTORY}/{job_id}.{attempt}"


def data_file(base: str, part: str) -> str:
    return f"{base}{part}.log"


def index_file(base: str, part: str) -> str:
    return f"{base}{part}.idx"
