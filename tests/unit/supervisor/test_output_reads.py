"""A follower of output whose disk fails, or whose file another machine removes (ESTALE), is told; the loop goes on."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from pathlib import Path

import pytest
from desk_bench import DeskBench
from jobyard.protocol import logfile
from jobyard.protocol import messages as m
from jobyard.protocol.errors import StorageUnavailable
from jobyard.supervisor import output
from jobyard.supervisor.unwritten import Unwritten

STALE = OSError(errno.ESTALE, os.strerror(errno.ESTALE))
PRINTED = logfile.RECORD.pack(0, 0, 5, 0, 0, 1.0)


@pytest.fixture
def printed(tmp_path: Path) -> Path:
    """The output directory, with what attempt 1 of job 1 has printed."""
    base = output.base(tmp_path, 1, 1)
    os.makedirs(os.path.dirname(base))
    Path(logfile.data_file(base, logfile.HEAD)).write_bytes(b"hello")
    Path(logfile.index_file(base, logfile.HEAD)).write_bytes(PRINTED)
    return tmp_path


def fail_from(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    pread, reads = os.pread, itertools.count()

    def read(fd: int, count: int, at: int) -> bytes:
        if next(reads) >= number:
            raise STALE
        return pread(fd, count, at)

    monkeypatch.setattr(os, "pread", read)


def test_follower_is_told_why_the_output_cannot_be_read(printed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = DeskBench()
    bench.output_dir = str(printed / "later")
    bench.ask(m.Submit([m.Submission(uid="1" * 32, ref="jobs:add", payload=b"", arg_count=0, kwarg_names=[])]))
    bench.feed(m.pack_request("1", m.Logs(1, follow=True)))
    assert not bench.turn(), "there is none yet"
    bench.output_dir = str(printed)
    fail_from(monkeypatch, 4)  # when it is known that there is some
    bench.desk.log_grown(1)
    ((_, answer),) = bench.turn()
    assert answer["error"]["code"] == StorageUnavailable.code
    assert answer["error"]["message"] == "the output of job 1, attempt 1, cannot be read: Stale file handle"


@pytest.mark.parametrize("number", range(8))
def test_failure_at_any_read_is_no_error_of_the_loop(
    printed: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fail_from(monkeypatch, number)
    with contextlib.suppress(StorageUnavailable):
        assert output.reply(printed, m.Logs(1, 1), 1, live=False).chunks in (
            [],
            [m.LogChunk(0, "stdout", 1.0, b"hello")],
        )


def test_what_is_on_record_of_a_loss_is_not_told_if_it_cannot_be_read(
    printed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Path(logfile.index_file(output.base(printed, 1, 1), logfile.HEAD))
    index.write_bytes(PRINTED + logfile.RECORD.pack(5, 5, 10, 0, errno.ENOSPC, 2.0))
    assert str(Unwritten().loss_on_record(printed, 1, 1)).startswith("10 bytes of its output could not be written")
    fail_from(monkeypatch, 2)  # when it is known how much that is, and not yet why
    assert Unwritten().loss_on_record(printed, 1, 1) is None
