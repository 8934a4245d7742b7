"""What jobs print: kept, told apart, capped, and never in a job's way."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
from pathlib import Path

import pytest
from jobyard.supervisor import output
from jobyard.supervisor.core.events import OutputRefused
from yard import MakeYard, Yard


def test_output_is_complete_when_the_exit_is_told(yard: Yard) -> None:
    for _ in range(10):
        attempt = yard.run("output_jobs:say")
        assert yard.text(attempt).count(b"\n") == 5


def test_streams_are_told_apart_where_the_executor_can(yard: Yard) -> None:
    attempt = yard.run("output_jobs:say")
    logged = b"WARNING job: to the log\n    second line\nINFO app.mail: sent 3\n"
    if yard.executor.caps.splits_streams:
        assert yard.text(attempt, "stdout") == b"to stdout\n"
        assert yard.text(attempt, "stderr") == b"to stderr\n"
        assert yard.text(attempt, "logging") == logged
    else:
        assert yard.text(attempt, "stdout") == b"to stdout\nto stderr\n" + logged


@pytest.fixture
def buffering_yard(make_yard: MakeYard) -> Yard:
    """Its children buffer their output as they do unless told otherwise."""
    return make_yard(env={key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"})


def test_everything_arrives_whatever_way_it_is_printed(buffering_yard: Yard) -> None:
    yard = buffering_yard
    attempt = yard.run("output_jobs:print_from_everywhere")
    printed = b"print\nC line\ndescriptor\nsubprocess\n"
    unfinished = {b"unfinished printunfinished C", b"unfinished Cunfinished print"}
    if yard.executor.caps.splits_streams:
        text = yard.text(attempt, "stdout")
        assert text.startswith(printed) and text.removeprefix(printed) in unfinished
        assert yard.text(attempt, "stderr") == b"its errors\nerrors\n"
        assert yard.text(attempt, "logging") == b"ERROR job: log\nWARNING app: record\n"
    else:
        said = b"its errors\nerrors\nERROR job: log\nWARNING app: record\n"
        text = yard.text(attempt)
        assert text.startswith(printed + said) and text.removeprefix(printed + said) in unfinished
    assert [(done, total, text) for done, total, text in attempt.progress][-1:] == [(1.0, 2.0, "half")]


def test_line_of_c_code_is_there_while_the_job_goes_on(buffering_yard: Yard, tmp_path: Path) -> None:
    yard = buffering_yard
    attempt = yard.begin("output_jobs:print_c_line_and_wait", str(tmp_path / "go"))
    yard.wait(lambda: yard.text(attempt) == b"from C\n", "the line")
    (tmp_path / "go").touch()
    yard.finish(attempt)


def test_job_may_configure_logging_itself(yard: Yard) -> None:
    assert yard.text(yard.run("output_jobs:say_after_configuring"), "stdout") == b"own: configured\n"


def test_silent_job_has_empty_output(yard: Yard) -> None:
    attempt = yard.run("nothing")
    assert yard.text(attempt) == b"" and yard.size(attempt) == 0
    if yard.kind == "zygote":
        assert not Path(yard.spec.output_dir).exists(), "nothing was printed, so nothing was made"


def test_output_of_a_job_that_crashes_is_kept(yard: Yard) -> None:
    attempt = yard.run("output_jobs:print_and_crash")
    assert attempt.exit is not None and attempt.exit.signal == "SIGKILL"
    assert yard.text(attempt) == b"last words\n"


def test_binary_output_is_kept_as_it_is(yard: Yard) -> None:
    data = bytes(range(256)) * 100
    assert yard.text(yard.run("output_jobs:print_raw", data)) == data


def test_text_that_cannot_be_encoded_is_printed(yard: Yard) -> None:
    assert yard.text(yard.run("output_jobs:print_surrogate")) == b"bad \\udcff text\n"


def test_output_files_are_for_the_owner_alone(yard: Yard) -> None:
    yard.run("output_jobs:say")
    paths = [path for path in Path(yard.spec.output_dir).rglob("*") if path.is_file()]
    assert paths and all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in paths)


def test_output_can_be_read_in_pieces(yard: Yard) -> None:
    attempt = yard.run("output_jobs:print_bytes", 1_000_000)
    chunks, dropped = yard.chunks(attempt, limit=77_777)
    assert b"".join(chunk.data for chunk in chunks) == yard.text(attempt) and dropped == 0


def test_closed_stdout_is_no_error(yard: Yard) -> None:
    assert yard.run("output_jobs:close_stdout").value == "closed"


def test_follower_is_told_of_growth_once_and_of_the_end(yard: Yard, tmp_path: Path) -> None:
    attempt = yard.begin("output_jobs:print_when_told", str(tmp_path / "go"), str(tmp_path / "end"))
    yard.wait(lambda: b"first\n" in yard.text(attempt), "the first line")
    size = yard.size(attempt)
    yard.executor.follow(attempt.child, size)
    yard.step()
    assert attempt.grown == []
    (tmp_path / "go").touch()
    yard.wait(lambda: attempt.grown, "word of growth")
    assert attempt.grown == [False]
    yard.wait(lambda: b"second\n" in yard.text(attempt), "the second line")
    yard.executor.follow(attempt.child, yard.size(attempt))
    (tmp_path / "end").touch()
    yard.finish(attempt)
    yard.wait(lambda: len(attempt.grown) == 2, "word of the end")
    assert attempt.grown == [False, True]
    yard.executor.follow(attempt.child, 0)
    yard.wait(lambda: len(attempt.grown) == 3, "an answer about a child that is gone")
    assert attempt.grown[2] is True


def test_follower_of_a_silent_job_is_told_of_its_end(yard: Yard) -> None:
    attempt = yard.begin("sleep", 0.3)
    yard.executor.follow(attempt.child, 0)
    yard.finish(attempt)
    yard.wait(lambda: attempt.grown, "word of the end")
    assert attempt.grown == [True]


def test_disk_that_refuses_does_not_hold_up_the_job(make_yard: MakeYard, tmp_path: Path) -> None:
    (tmp_path / "output").write_text("a file where the directory should be")
    yard = make_yard()
    attempt = yard.run("output_jobs:print_bytes", 1_000_000)
    assert attempt.exit is not None and attempt.exit.exit_code == 0 and attempt.value is None
    yard.wait(lambda: yard.refused, "word of it")
    assert yard.refused[0].errno == errno.ENOTDIR
    assert yard.refused[0].base == output.base(yard.spec.output_dir, attempt.order.job_id, 1)
    assert yard.run("add", 1, 1).value == 2


zygote_only = pytest.mark.parametrize("kind", ["zygote"], indirect=True)


@zygote_only
def test_hundred_megabytes_leave_head_and_tail(make_yard: MakeYard) -> None:
    cap = 4 << 20
    yard = make_yard(max_job_bytes=cap)
    total = 100_000_000 // 64_000 * 64_000
    attempt = yard.run("output_jobs:print_bytes", total)
    directory = yard.spec.output_dir
    assert attempt.exit is not None and attempt.exit.exit_code == 0
    assert yard.size(attempt) == total
    assert sum(path.stat().st_size for path in Path(directory).rglob("*") if path.is_file()) <= cap
    chunks, dropped = yard.chunks(attempt)
    kept = sum(len(chunk.data) for chunk in chunks)
    assert kept + dropped == total and kept > cap // 2
    for chunk in chunks:
        first = -chunk.offset % 20  # where its first whole line begins
        assert int(chunk.data[first : first + 19]) == (chunk.offset + first) // 20 % 3200


@zygote_only
def test_log_writer_that_is_killed_loses_nothing(yard: Yard, tmp_path: Path) -> None:
    path = tmp_path / "marks"
    count = 20_000
    attempt = yard.begin("output_jobs:print_numbers", count, str(path))
    killed = 0
    while attempt.exit is None:
        yard.step()
        for pid in writers(yard):
            with contextlib.suppress(ProcessLookupError):  # the one before is reaped just now
                os.kill(pid, signal.SIGKILL)
                killed += 1
        yard.wait(lambda: attempt.exit is not None or writers(yard), "another writer")
    assert killed >= 1
    yard.wait(lambda: len(yard.text(attempt)) >= count * 10, "all output")
    assert yard.text(attempt) == b"".join(b"%09d\n" % number for number in range(count))


@zygote_only
def test_exit_waits_for_output_that_is_still_on_its_way(yard: Yard, tmp_path: Path) -> None:
    """Who reads it then takes what there is for all of it. A log writer that dies young is missed for a while."""
    other = yard.begin("output_jobs:print_when_told", str(tmp_path / "go"))
    yard.wait(lambda: yard.text(other), "a log writer at work")
    (writer,) = writers(yard)
    os.kill(writer, signal.SIGKILL)
    yard.wait(lambda: writer not in writers(yard), "its end")
    assert yard.text(yard.run("output_jobs:say")).count(b"\n") == 5
    (tmp_path / "go").touch()
    yard.finish(other)


@zygote_only
def test_output_that_cannot_be_written_is_counted_and_told_a_few_times(make_yard: MakeYard, tmp_path: Path) -> None:
    (tmp_path / "output").write_text("a file where the directory should be")
    yard = make_yard()
    total = 100 * 64_000
    attempt = yard.run("output_jobs:print_bytes", total)
    path = output.base(yard.spec.output_dir, attempt.order.job_id, 1)
    yard.wait(lambda: OutputRefused(path, total, errno.ENOTDIR) in yard.refused, "the whole loss")
    assert len(yard.refused) <= 32, "it is told again when it has doubled"
    assert {event.base for event in yard.refused} == {path}


@zygote_only
def test_output_that_cannot_be_written_wakes_no_follower(make_yard: MakeYard, tmp_path: Path) -> None:
    (tmp_path / "output").write_text("a file where the directory should be")
    yard = make_yard()
    attempt = yard.begin("output_jobs:print_when_told", str(tmp_path / "go"))
    yard.executor.follow(attempt.child, 0)
    yard.wait(lambda: yard.refused, "word of what was refused")
    assert attempt.grown == [], "there is nothing to read"
    (tmp_path / "go").touch()
    yard.wait(lambda: attempt.grown, "word that the output is complete")
    assert attempt.grown == [True]
    yard.finish(attempt)


def writers(yard: Yard) -> list[int]:
    """The log writer: the child of the zygote that runs no job."""
    assert yard.up is not None
    children = Path(f"/proc/{yard.up.pid}/task/{yard.up.pid}/children").read_text().split()
    jobs = {attempt.child.pid for attempt in yard.attempts.values()} | {child.pid for child in yard.ready}
    return [int(pid) for pid in children if int(pid) not in jobs]
