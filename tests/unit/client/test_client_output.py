"""Reading output with and without the supervisor's help; the files are real, the supervisor is a few lines."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobyard.client.output import FOLLOW_PAUSE_S, OutputReader, chunks_between, tail_start
from jobyard.protocol import logfile, outputs
from jobyard.protocol.messages import LOG_BYTES_MAX, LogChunk, LogReply, Logs


class Files:
    """An attempt's output as a writer without streams leaves it, and a supervisor that knows it."""

    def __init__(self, directory: Path, data: bytes, *, inode: int | None = None) -> None:
        self.base = str(directory / "42.1")
        self.path = logfile.data_file(self.base, logfile.HEAD)
        Path(self.path).write_bytes(data)
        self.data = data
        self.live = False
        self.inode = os.stat(self.path).st_ino if inode is None else inode
        self.asked: list[Logs] = []

    def reply(self, request: Logs) -> LogReply:
        self.asked.append(request)
        data = self.data[request.offset : request.offset + min(request.limit, 1000)]
        chunks = [LogChunk(request.offset, "stdout", 1.0, data)] if data else []
        ended = not self.live and not chunks and (request.limit > 0 or request.offset >= len(self.data))
        reached = request.offset + len(data)
        return LogReply(1, chunks, reached, ended, path=self.path, inode=self.inode, size=len(self.data))


def read(files: Files, *, offset: int = 0, follow: bool = False) -> bytes:
    reader, found = OutputReader(42, 1, offset, follow), b""
    for _ in range(1000):
        request = reader.request
        if request is None:
            return found
        for reply in reader.take(files.reply(request)):
            for chunk in reply.chunks:
                assert chunk.offset == offset + len(found)
                found += chunk.data
    raise AssertionError("it asks without end")


DATA = os.urandom(600_000)


def test_what_can_be_read_here_does_not_come_from_the_supervisor(tmp_path: Path) -> None:
    files = Files(tmp_path, DATA)
    assert read(files, follow=True) == DATA
    assert [(one.offset, one.limit) for one in files.asked] == [(0, LOG_BYTES_MAX), (len(DATA), 0)]
    assert read(files, offset=123) == DATA[123:]


def test_another_file_of_that_name_is_not_read(tmp_path: Path) -> None:
    files = Files(tmp_path, DATA[:5000], inode=7)
    Path(files.path).write_bytes(b"not it")
    assert read(files) == DATA[:5000]
    assert all(one.limit == LOG_BYTES_MAX for one in files.asked)


def test_file_that_is_not_there_comes_from_the_supervisor(tmp_path: Path) -> None:
    files = Files(tmp_path, DATA[:5000])
    os.unlink(files.path)
    assert read(files, follow=True) == DATA[:5000]


def test_file_that_is_cut_off_meanwhile_comes_from_the_supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files(tmp_path, DATA[:5000])
    monkeypatch.setattr(outputs, "read", lambda base, offset, upto, limit: outputs.Reading([], offset))
    assert read(files, follow=True) == DATA[:5000]


def test_attempt_that_still_runs_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    files = Files(tmp_path, DATA)
    files.live = True
    assert read(files) == DATA
    assert len(files.asked) == 2


def test_follower_asks_again_after_a_pause_and_a_reader_at_once(tmp_path: Path) -> None:
    files = Files(tmp_path, b"some")
    for follow, pause_s in ((True, FOLLOW_PAUSE_S - 0.005), (False, 0.0)):
        reader = OutputReader(42, 1, follow=follow)
        assert reader.pause_s(100.0) == 0.0
        assert reader.request is not None
        list(reader.take(files.reply(reader.request)))
        assert reader.pause_s(100.005) == pytest.approx(pause_s)
        assert reader.pause_s(200.0) == 0.0


def test_part_of_an_output_is_cut_at_both_ends(tmp_path: Path) -> None:
    files = Files(tmp_path, DATA)
    found = list(chunks_between(files.reply, 42, 1, 500, 400_000))
    assert b"".join(chunk.data for chunk in found) == DATA[500:400_000]


@given(
    lines=st.lists(st.integers(0, 60_000), max_size=30),
    ended=st.booleans(),
    count=st.integers(0, 12),
    size=st.integers(1, 100_000),
)
def test_tail_begins_where_its_lines_do(lines: list[int], ended: bool, count: int, size: int) -> None:
    data = b"".join(b"x" * length + b"\n" for length in lines)
    data = data if ended else data.removesuffix(b"\n")

    def between(low: int, high: int) -> list[LogChunk]:
        edges = [*range(low, high, size), high]
        return [LogChunk(start, "stdout", 0.0, data[start:end]) for start, end in itertools.pairwise(edges)]

    start = tail_start(between, len(data), count)
    whole = data.splitlines(keepends=True)
    assert data[start:] == b"".join(whole[max(0, len(whole) - count) :])
