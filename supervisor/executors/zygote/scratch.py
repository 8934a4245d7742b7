"""The scratch directories of attempts: where they lie, and their removal, which has a process of its own."""

from __future__ import annotations

import os


def path(root: str, job_id: int, attempt: int) -> str:
    return os.path.join(root, f"{job_id}.{attempt}")


def remove(root: str, job_id: int, attempt: int, known: set[int]) -> None:
    """Start removing one; the process that does it is added to ``known``. What cannot be removed stays."""
    try:
        pid = os.fork()
    except OSError:
        return
    if pid:
        known.add(pid)
        return
    try:
        import shutil

        shutil.rmtree(path(root, job_id, attempt), ignore_errors=True)
    finally:
        os._exit(0)
