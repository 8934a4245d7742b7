"""The log writer's files, and their reader: caps, gaps, and what a killed writer leaves."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jobyard.protocol import logfile, outputs
from jobyard.protocol.messages import LOG_CHUNKS_MAX, LogChunk
from jobyard.supervisor import output, output_pruner
from jobyard.supervisor.executors.zygote.writer import Output


class Pipe:
    def __init__(self) -> None:
        self.read, self.write = os.pipe()
        os.set_blocking(self.read, False)

    def put(self, data: bytes) -> None:
        os.write(self.write, data)

    def close(self) -> None:
        os.close(self.read)
        os.close(self.write)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def base(directory: Path) -> str:
    return str(directory / logfile.name(7, 2))


def take(out: Output, pipe: Pipe, data: bytes, stream: int = 0) -> None:
    """Print ``data`` and have it written."""
    for start in range(0, len(data), 60_000):
        pipe.put(data[start : start + 60_000])
        while True:
            try:
                assert out.take(pipe.read, stream)
            except BlockingIOError:
                break


def size(directory: Path) -> int:
    return outputs.size(base(directory), settled=True)


def read(directory: Path, offset: int = 0, limit: int = 1 << 20) -> tuple[list[LogChunk], int, int]:
    """Chunks, position after them, bytes dropped."""
    reading = outputs.read(base(directory), offset, size(directory), limit)
    return reading.chunks, reading.reached, reading.dropped_bytes


def read_all(directory: Path) -> tuple[bytes, int, int]:
    data, position, dropped = b"", 0, 0
    while True:
        chunks, reached, missing = read(directory, position)
        data += b"".join(chunk.data for chunk in chunks)
        dropped += missing
        if reached == position:
            return data, position, dropped
        position = reached


def test_paths_are_spread_over_directories(tmp_path: Path) -> None:
    assert output.path(tmp_path, 12_345, 3) == tmp_path / "12" / "12345.3.log"


def test_missing_output_is_empty(tmp_path: Path) -> None:
    assert read(tmp_path) == ([], 0, 0)
    assert read(tmp_path, 500, 100) == ([], 500, 0)
    assert size(tmp_path) == 0


def test_streams_keep_their_order(tmp_path: Path, pipe: Pipe) -> None:
    out = Output(base(tmp_path), 1 << 20)
    for stream, data in [(0, b"one"), (2, b"two"), (1, b"three"), (0, b"four")]:
        take(out, pipe, data, stream)
    out.close()
    chunks, reached, dropped = read(tmp_path)
    assert [(chunk.stream, chunk.data) for chunk in chunks] == [
        ("stdout", b"one"),
        ("logging", b"two"),
        ("stderr", b"three"),
        ("stdout", b"four"),
    ]
    assert (reached, dropped) == (15, 0) and out.end == 15


def test_end_of_a_pipe_is_told(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(write)
    out = Output(base(tmp_path), 1 << 20)
    assert not out.take(read, 0)
    out.close()
    os.close(read)


@pytest.mark.parametrize("total", [10_000, 17_000, 20_000, 40_000, 123_456])
def test_head_and_tail_are_kept_within_the_cap(tmp_path: Path, pipe: Pipe, total: int) -> None:
    cap = 32_768
    out = Output(base(tmp_path), cap)
    data = os.urandom(total)
    for start in range(0, total, 1000):
        take(out, pipe, data[start : start + 1000])
    out.close()
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.*")) <= cap + 3 * logfile.RECORD.size
    chunks, reached, dropped = read(tmp_path)
    assert reached == total and sum(len(chunk.data) for chunk in chunks) + dropped == total
    assert all(chunk.data == data[chunk.offset : chunk.offset + len(chunk.data)] for chunk in chunks)
    assert chunks[0].offset == 0 and chunks[-1].offset + len(chunks[-1].data) == total
    assert (dropped > 0) == (total > 20_000)


def test_reading_on_from_inside_what_was_dropped_goes_on_after_it(tmp_path: Path, pipe: Pipe) -> None:
    out = Output(base(tmp_path), 32_768)
    for _ in range(200):
        take(out, pipe, b"x" * 1000)
    out.close()
    chunks, reached, dropped = read(tmp_path, 100_000, 1 << 30)
    assert chunks[0].offset == 100_000 + dropped and dropped > 0 and reached == 200_000


@given(
    pieces=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3000)), min_size=1, max_size=40),
    cut=st.integers(0, 200),
    lost=st.integers(0, 60),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_writer_that_is_killed_anywhere_is_followed_by_one_that_goes_on(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[int, int]], cut: int, lost: int
) -> None:
    directory = tmp_path_factory.mktemp("killed")
    pipe = Pipe()
    expected = b""
    out = Output(base(directory), 1 << 20)
    for stream, length in pieces:
        data = os.urandom(length)
        expected += data
        take(out, pipe, data, stream)
    index = Path(logfile.index_file(base(directory), logfile.HEAD))
    whole = index.stat().st_size
    os.truncate(index, max(0, whole - lost))  # killed before the last records, or in the middle of one
    after = Output(base(directory), 1 << 20)
    after.resume()
    assert after.end == len(expected)
    more = b"m" * cut or b"n"
    take(after, pipe, more, 1)
    after.close()
    out.close()
    assert read_all(directory) == (expected + more, len(expected) + len(more), 0)
    pipe.close()


def test_writer_goes_on_in_the_tail(tmp_path: Path, pipe: Pipe) -> None:
    out = Output(base(tmp_path), 32_768)
    for number in range(60):
        take(out, pipe, b"%03d" % number * 300)
    after = Output(base(tmp_path), 32_768)
    after.resume()
    assert after.end == out.end
    out.close()
    for number in range(60, 120):
        take(after, pipe, b"%03d" % number * 300)
    after.close()
    text, reached, dropped = read_all(tmp_path)
    assert reached == 120 * 900 and len(text) + dropped == reached and text.endswith(b"119" * 300)


def test_tail_whose_renewal_was_interrupted_is_left_out(tmp_path: Path, pipe: Pipe) -> None:
    out = Output(base(tmp_path), 32_768)
    for _ in range(60):
        take(out, pipe, b"x" * 900)
    out.close()
    before = size(tmp_path)
    older = min(logfile.TAILS, key=lambda part: Path(logfile.index_file(base(tmp_path), part)).read_bytes()[:8][::-1])
    os.truncate(logfile.index_file(base(tmp_path), older), 0)
    text, reached, dropped = read_all(tmp_path)
    assert reached == before and len(text) + dropped == before


def test_disk_that_refuses_costs_only_what_comes_meanwhile(
    tmp_path: Path, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Output(base(tmp_path), 1 << 20)
    take(out, pipe, b"before")
    with monkeypatch.context() as patch:
        patch.setattr(os, "splice", full)
        take(out, pipe, b"meanwhile")
    take(out, pipe, b"after")
    with monkeypatch.context() as patch:
        patch.setattr(os, "splice", full)
        take(out, pipe, b"at the end")
    assert out.end == 6 + 9 + 5 + 10 and out.kept == 6 + 9 + 5
    out.close()
    assert read_all(tmp_path) == (b"beforeafter", 6 + 9 + 5 + 10, 0), "no limit was reached"
    assert (out.unwritten, out.errno) == (9 + 10, errno.ENOSPC)
    assert outputs.refused(base(tmp_path)) == (9 + 10, errno.ENOSPC)
    assert size(tmp_path) == 6 + 9 + 5 + 10
    assert read(tmp_path, 10, 3)[1:] == (18, 0), "reading begins within what was refused"


def test_what_was_refused_is_told_from_what_was_over_the_cap(
    tmp_path: Path, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Output(base(tmp_path), 32_768)
    take(out, pipe, b"x" * 100_000)
    with monkeypatch.context() as patch:
        patch.setattr(os, "splice", full)
        take(out, pipe, b"y" * 50_000)
    take(out, pipe, b"z" * 1_000)
    out.close()
    text, reached, dropped = read_all(tmp_path)
    assert reached == 151_000 and len(text) + dropped == 101_000 and text.endswith(b"z" * 1_000)
    assert outputs.refused(base(tmp_path)) == (50_000, errno.ENOSPC)


def test_disk_that_refuses_from_the_beginning_is_written_to_as_soon_as_it_takes_something(
    tmp_path: Path, pipe: Pipe
) -> None:
    root = tmp_path / "output"
    root.write_text("in the way")
    out = Output(str(root / logfile.name(7, 2)), 1 << 20)
    take(out, pipe, b"lost")
    assert (out.unwritten, out.errno, out.kept) == (4, errno.ENOTDIR, 0)
    root.unlink()
    take(out, pipe, b"kept")
    out.close()
    chunks, reached, dropped = read(root)
    assert [(chunk.offset, chunk.data) for chunk in chunks] == [(4, b"kept")]
    assert (reached, dropped) == (8, 0) and outputs.refused(base(root)) == (4, errno.ENOTDIR)


def test_end_that_was_refused_is_on_record_if_the_disk_takes_word_of_it(tmp_path: Path, pipe: Pipe) -> None:
    root = tmp_path / "output"
    root.write_text("in the way")
    taken, refused = (Output(str(root / logfile.name(job_id, 2)), 1 << 20) for job_id in (7, 8))
    for out in (taken, refused):
        take(out, pipe, b"lost")
    refused.close()
    assert outputs.refused(output.base(root, 8, 2)) == (0, 0), "that is for the supervisor to remember"
    root.unlink()
    taken.close()
    assert outputs.refused(base(root)) == (4, errno.ENOTDIR) and size(root) == 4


def test_more_than_an_index_record_can_count_is_refused_in_several(tmp_path: Path, pipe: Pipe) -> None:
    out = Output(base(tmp_path), 1 << 20)
    size = 3 * logfile.LENGTH_MAX
    out._refused(size, errno.ENOSPC)
    out.end += size
    take(out, pipe, b"after")
    out.close()
    assert outputs.refused(base(tmp_path)) == (size, errno.ENOSPC)
    assert read_all(tmp_path) == (b"after", size + 5, 0)


def test_writer_that_follows_knows_what_was_refused(
    tmp_path: Path, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Output(base(tmp_path), 1 << 20)
    with monkeypatch.context() as patch:
        patch.setattr(os, "splice", full)
        take(out, pipe, b"meanwhile")
    take(out, pipe, b"after")
    after = Output(base(tmp_path), 1 << 20)
    after.resume()
    assert (after.end, after.kept, after.unwritten) == (14, 14, 9)
    take(after, pipe, b"more")
    after.close()
    out.close()
    assert read_all(tmp_path) == (b"aftermore", 18, 0)


def test_writer_that_cannot_go_on_yet_loses_only_what_comes_meanwhile(
    tmp_path: Path, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Output(base(tmp_path), 1 << 20)
    take(out, pipe, b"before")
    out.close()
    after = Output(base(tmp_path), 1 << 20)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        after.resume()
        take(after, pipe, b"meanwhile")
    take(after, pipe, b"after")
    after.close()
    assert read_all(tmp_path) == (b"beforeafter", 6 + 9 + 5, 0)
    assert outputs.refused(base(tmp_path)) == (9, errno.ENOSPC)


def full(*args: object, **kwargs: object) -> int:
    raise OSError(28, "No space left on device")


def test_index_record_that_could_not_be_written_comes_with_the_next(
    tmp_path: Path, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Output(base(tmp_path), 1 << 20)
    take(out, pipe, b"one", 0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        take(out, pipe, b"two", 1)
    take(out, pipe, b"three", 2)
    out.close()
    chunks, _, _ = read(tmp_path)
    assert [(chunk.stream, chunk.data) for chunk in chunks] == [
        ("stdout", b"one"),
        ("stderr", b"two"),
        ("logging", b"three"),
    ]


@pytest.fixture
def no_splice(monkeypatch: pytest.MonkeyPatch) -> None:
    def invalid(*args: object, **kwargs: object) -> int:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "splice", invalid)


def test_file_system_without_splice_is_written_to_all_the_same(tmp_path: Path, pipe: Pipe, no_splice: None) -> None:
    out = Output(base(tmp_path), 1 << 20)
    take(out, pipe, b"x" * 200_000)
    out.close()
    assert read_all(tmp_path)[0] == b"x" * 200_000


def test_file_system_without_splice_that_is_full_costs_what_was_read(
    tmp_path: Path, pipe: Pipe, no_splice: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Output(base(tmp_path), 1 << 20)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        take(out, pipe, b"lost")
    take(out, pipe, b"kept")
    out.close()
    assert read_all(tmp_path) == (b"kept", 8, 0) and out.unwritten == 4


def test_file_without_index_is_stdout(tmp_path: Path) -> None:
    path = output.path(tmp_path, 7, 2)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"written by the job itself")
    chunks, reached, dropped = read(tmp_path, 8, 2)
    assert [(chunk.offset, chunk.stream, chunk.data) for chunk in chunks] == [(8, "stdout", b"by")]
    assert (reached, dropped) == (10, 0) and size(tmp_path) == 25


@given(index=st.binary(max_size=200), data=st.binary(max_size=50))
@settings(deadline=None)
def test_damaged_index_is_read_as_far_as_it_goes(
    tmp_path_factory: pytest.TempPathFactory, index: bytes, data: bytes
) -> None:
    directory = tmp_path_factory.mktemp("damaged")
    path = output.path(directory, 7, 2)
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    Path(logfile.index_file(base(directory), logfile.HEAD)).write_bytes(index)
    chunks, _, _ = read(directory)
    assert sum(len(chunk.data) for chunk in chunks) <= max(1000, len(data))
    size(directory)


def test_output_of_someone_elses_link_is_not_followed(tmp_path: Path, pipe: Pipe) -> None:
    path = output.path(tmp_path, 7, 2)
    path.parent.mkdir(parents=True)
    (tmp_path / "victim").write_text("precious")
    path.symlink_to(tmp_path / "victim")
    out = Output(base(tmp_path), 1 << 20)
    take(out, pipe, b"evil")
    out.close()
    assert (tmp_path / "victim").read_text() == "precious"


def numbered(count: int) -> bytes:
    """Lines of 20 bytes that say where they are."""
    return b"".join(b"%019d\n" % number for number in range(count))


def test_tail_that_is_begun_anew_while_it_is_read_gives_no_bytes_at_wrong_places(
    tmp_path: Path, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = numbered(20_000)
    out = Output(base(tmp_path), 32_768)
    take(out, pipe, data[:40_000])
    pread, printed = os.pread, [40_000]

    def renewed_before(fd: int, count: int, at: int) -> bytes:
        """The writer goes on, through both tails, between any two reads."""
        if printed[0] < 300_000 and count > 1000:
            monkeypatch.setattr(os, "pread", pread)
            take(out, pipe, data[printed[0] : printed[0] + 20_000])
            printed[0] += 20_000
            monkeypatch.setattr(os, "pread", renewed_before)
        return pread(fd, count, at)

    monkeypatch.setattr(os, "pread", renewed_before)
    position = 0
    for _ in range(100):
        reading = outputs.read(base(tmp_path), position, outputs.size(base(tmp_path), settled=False), 1 << 20)
        for chunk in reading.chunks:
            assert chunk.data == data[chunk.offset : chunk.offset + len(chunk.data)]
        position = reading.reached
    out.close()
    assert printed[0] == 300_000 and position == out.end


@pytest.mark.parametrize("number", range(30))
def test_tail_that_is_begun_anew_before_any_read_of_a_look_is_no_error(
    tmp_path: Path, pipe: Pipe, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Also before those by which it is found where to begin."""
    data = numbered(8_000)
    out = Output(base(tmp_path), 32_768)
    for start in range(0, 80_000, 200):  # many records
        take(out, pipe, data[start : start + 200])
    pread, reads = os.pread, itertools.count()

    def renewed_before(fd: int, count: int, at: int) -> bytes:
        if next(reads) == number:
            monkeypatch.setattr(os, "pread", pread)
            take(out, pipe, data[80_000:120_000])
        return pread(fd, count, at)

    monkeypatch.setattr(os, "pread", renewed_before)
    reading = outputs.read(base(tmp_path), 60_000, 80_000, 1 << 20)
    for chunk in reading.chunks:
        assert chunk.data == data[chunk.offset : chunk.offset + len(chunk.data)]
    monkeypatch.setattr(os, "pread", pread)
    later = outputs.read(base(tmp_path), reading.reached, out.end, 1 << 20)
    assert later.reached == out.end
    out.close()


def test_look_at_a_long_output_takes_a_few_small_reads(
    tmp_path: Path, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Output(base(tmp_path), 64 << 20)
    data = numbered(20_000)
    for start in range(0, len(data), 20):
        pipe.put(data[start : start + 20])
        assert out.take(pipe.read, start // 20 % 2)
    out.close()
    pread, amounts = os.pread, list[int]()

    def counted(fd: int, count: int, at: int) -> bytes:
        amounts.append(count)
        return pread(fd, count, at)

    monkeypatch.setattr(os, "pread", counted)
    for offset in (0, 123_450, len(data) - 20):
        amounts.clear()
        reading = outputs.read(base(tmp_path), offset, len(data), 1 << 20)
        assert len(reading.chunks) == min(LOG_CHUNKS_MAX, (len(data) - offset + 19) // 20)
        assert len(amounts) < 40 and sum(amounts) < 40_000
        assert b"".join(chunk.data for chunk in reading.chunks) == data[offset : reading.reached]


def test_what_no_index_tells_of_is_left_to_the_writer_until_it_is_gone(tmp_path: Path, pipe: Pipe) -> None:
    out = Output(base(tmp_path), 1 << 20)
    take(out, pipe, b"noted ", 1)
    out.close()
    with output.path(tmp_path, 7, 2).open("ab") as file:  # killed before it could note it
        file.write(b"not noted")
    assert outputs.size(base(tmp_path), settled=False) == 6
    assert [chunk.data for chunk in outputs.read(base(tmp_path), 0, 6, 100).chunks] == [b"noted "]
    assert outputs.size(base(tmp_path), settled=True) == 15
    assert [(chunk.stream, chunk.data) for chunk in outputs.read(base(tmp_path), 0, 15, 100).chunks] == [
        ("stderr", b"noted "),
        ("stdout", b"not noted"),
    ]


@pytest.mark.parametrize("look", [outputs.size, outputs.read])
def test_output_that_is_removed_between_its_data_and_its_index_is_empty(
    tmp_path: Path, pipe: Pipe, monkeypatch: pytest.MonkeyPatch, look: Any
) -> None:
    """Without its index all that is in it would be taken for stdout."""
    out = Output(base(tmp_path), 1 << 20)
    take(out, pipe, b"not for stdout", 1)
    out.close()
    open_file = os.open

    def removed_before(path: str, flags: int) -> int:
        if path.endswith(".idx"):
            output_pruner.prune(str(tmp_path), output_pruner.Rules(keep_count=0), list, 0.0)
        return open_file(path, flags)

    monkeypatch.setattr(os, "open", removed_before)
    given = (True,) if look is outputs.size else (0, 100, 100)
    assert look(base(tmp_path), *given) in (0, outputs.Reading([], 0))
    assert not [*tmp_path.rglob("*.*")]
