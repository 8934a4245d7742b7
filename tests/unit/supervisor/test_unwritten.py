"""What the supervisor knows of output that the disk refused."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from jobyard.protocol import logfile
from jobyard.supervisor import output, unwritten
from jobyard.supervisor.core.events import OutputRefused
from jobyard.supervisor.unwritten import LASTING_S, Unwritten

Refuse = Callable[..., OutputRefused]


@pytest.fixture
def refused(tmp_path: Path) -> Refuse:
    """Builds the event for an attempt of a job."""

    def build(job_id: int = 7, size: int = 80, why: int = errno.ENOSPC) -> OutputRefused:
        return OutputRefused(output.base(tmp_path, job_id, 1), size, why)

    return build


def test_loss_of_an_attempt_says_how_much_and_why(tmp_path: Path, refused: Refuse) -> None:
    known = Unwritten()
    assert known.loss(tmp_path, 7, 1) is None
    known.note(refused(size=80), 0.0)
    known.note(refused(size=12_345), 1.0)
    assert str(known.loss(tmp_path, 7, 1)) == "12,345 bytes of its output could not be written: No space left on device"
    assert known.loss(tmp_path, 7, 2) is None and known.loss(tmp_path, 8, 1) is None


def test_loss_that_cannot_be_counted_is_told_all_the_same(tmp_path: Path, refused: Refuse) -> None:
    known = Unwritten()
    known.note(refused(size=0, why=errno.EROFS), 0.0)
    assert str(known.loss(tmp_path, 7, 1)) == "its output could not be written: Read-only file system"


def test_log_is_told_once_however_many_jobs_there_are(refused: Refuse, caplog: pytest.LogCaptureFixture) -> None:
    known = Unwritten()
    for number in range(1, 2000):
        known.note(refused(number), number * 0.1)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "0/1.1.log: No space left on device" in record.getMessage()


def test_log_is_told_again_when_it_begins_again(refused: Refuse, caplog: pytest.LogCaptureFixture) -> None:
    known = Unwritten()
    for at in (0.0, LASTING_S - 1, 2 * LASTING_S - 2, 4 * LASTING_S):
        known.note(refused(), at)
    assert len(caplog.records) == 2


def test_status_warns_while_it_lasts(refused: Refuse) -> None:
    known = Unwritten()
    assert known.warning(0.0) is None
    known.note(refused(), 5.0)
    said = known.warning(5.0 + LASTING_S - 1)
    assert said is not None and "0/7.1.log: No space left on device" in said
    assert known.warning(5.0 + LASTING_S) is None


def test_what_is_remembered_is_bounded(tmp_path: Path, refused: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unwritten, "KEPT", 3)
    known = Unwritten()
    for number in range(1, 6):
        known.note(refused(number), 0.0)
    assert [bool(known.loss(tmp_path, number, 1)) for number in range(1, 6)] == [False, False, True, True, True]


def test_what_an_earlier_supervisor_heard_of_is_read_from_the_disk(tmp_path: Path, refused: Refuse) -> None:
    known = Unwritten()
    assert known.loss_on_record(tmp_path, 7, 1) is None
    base = output.base(tmp_path, 7, 1)
    Path(base).parent.mkdir()
    Path(logfile.data_file(base, logfile.HEAD)).touch()
    Path(logfile.index_file(base, logfile.HEAD)).write_bytes(logfile.RECORD.pack(0, 0, 55, 0, errno.ENOSPC, 1.0))
    assert "55 bytes" in str(known.loss_on_record(tmp_path, 7, 1)) and known.loss(tmp_path, 7, 1) is None
    known.note(refused(size=99), 0.0)
    assert "99 bytes" in str(known.loss_on_record(tmp_path, 7, 1))
