"""Word of a disk without room for the journal's reserve: what is said of it, and one line of the log at each change.

Owns the text and the figures in it. Whether there is room is the journal's to know, what follows from it the desk's.
"""

from __future__ import annotations

import logging
import os
import shutil

from ..protocol.errors import StorageUnavailable
from .journal.reserve import RESERVE_BYTES

log = logging.getLogger("jobyard")
HINT = "free space there; jobyard goes on by itself"


class Room:
    """One per supervisor. ``directory`` is the journal's."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = directory
        self._low = False

    def mind(self, low: bool) -> None:
        """Tell the log when it becomes too little, and when it is enough again."""
        if low != self._low:
            self._low = low
            log.warning("%s", self.shortage() if low else f"the disk of {self._directory} has room again")

    def shortage(self) -> str:
        """What is wrong, with directory and figures."""
        kept = f"jobyard keeps {_mib(RESERVE_BYTES)} for the jobs that are there"
        return f"the disk of {self._directory} is almost full ({self._free()}, and {kept}): nothing new is accepted"

    def check(self, low: bool) -> None:
        """Raises StorageUnavailable while it is too little."""
        if low:
            raise StorageUnavailable(self.shortage(), hint=HINT)

    def _free(self) -> str:
        try:
            return f"{_mib(shutil.disk_usage(self._directory).free)} are free"
        except OSError as error:
            return f"what is free cannot be told: {error.strerror}"


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.1f} MiB"
