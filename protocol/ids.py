"""Identifiers: the client-made ``uid`` of a submit, job ids, and names of queues and pools.

A ``uid`` is 32 hexadecimal digits: 48 bits of wall-clock milliseconds, then 80 random bits (the layout of RFC 9562
version 7 without its fixed bits). The time lets the supervisor tell a submit it never saw from one that was pruned.
"""

from __future__ import annotations

import os
import re
import time

UID_PATTERN = re.compile(r"[0-9a-f]{32}\Z")
JOB_ID_MAX = 2**63 - 1
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


def new_uid() -> str:
    """A fresh uid for one submit."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


def uid_time(uid: str) -> float:
    """Wall-clock seconds at which the client made ``uid``."""
    return int(uid[:12], 16) / 1000


def is_uid(text: str) -> bool:
    return UID_PATTERN.match(text) is not None


def is_name(text: str) -> bool:
    """Whether ``text`` may name a queue, a pool or an alias."""
    return NAME_PATTERN.match(text) is not None


def attempt_id(job_id: int, attempt: int) -> str:
    """The name of one attempt everywhere it is spoken of: ``42.1``."""
    return f"{job_id}.{attempt}"
