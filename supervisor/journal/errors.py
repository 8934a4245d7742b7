"""What can be wrong with a journal that is there but cannot be used."""

from __future__ import annotations

from pathlib import Path

from ...protocol.errors import StorageUnavailable


class JournalDamaged(StorageUnavailable):
    """Something that was safely stored cannot be read any more, so starting would silently lose it.

    Attributes:
        file: the damaged or missing file.
        offset: where in it, in bytes.
        group: the first group that is lost, where that is known.
    """

    def __init__(self, file: Path, offset: int, group: int | None, problem: str) -> None:
        self.file, self.offset, self.group = file, offset, group
        super().__init__(
            f"the journal is damaged: {file}, byte {offset}: {problem}",
            hint="jobctl journal repair, which keeps all that is intact and puts the old files aside",
            details={"file": str(file), "offset": offset, "group": group},
        )


class JournalTooNew(StorageUnavailable):
    """The journal was written by a newer version."""

    def __init__(self, file: Path, version: int, known: int) -> None:
        super().__init__(
            f"{file} was written by a newer jobyard: journal version {version}, this one reads up to {known}",
            hint="start the newer version again",
            details={"file": str(file), "version": version, "known": known},
        )
