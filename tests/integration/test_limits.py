"""Bad input and limits: each ends in its named error or outcome, and the next job runs."""

from __future__ import annotations

import json
import os
import resource
import socket
import stat
from collections.abc import Callable
from typing import Any

import jobyard
import pytest
from live import Yard, wait_for


def next_job_runs(yard: Yard) -> None:
    assert yard.client().submit("jobs:add", 1, 1).result(timeout=20) == 2


@pytest.mark.parametrize(
    ("ref", "args", "error", "says"),
    [
        ("jobs:ad", (1,), jobyard.NotAllowed, "jobs:add"),
        ("jobs:Greeter._secret", (), jobyard.NotAllowed, "not allowed"),
        ("os:system", ("true",), jobyard.NotAllowed, "not allowed"),
        ("nonsense", (), jobyard.NotAllowed, "nonsense"),
        ("jobs:add", (), jobyard.BadArguments, "'a'"),
        ("jobs:add", (1, 2, 3), jobyard.BadArguments, "3"),
        ("jobs:add", (object(),), jobyard.NotSerializable, "argument 1"),
        ("jobs:add", (b"x" * (1 << 20),), jobyard.TooLarge, "1,048,576"),
    ],
)
def test_submit_that_cannot_be_is_refused(yard: Yard, ref: str, args: tuple[Any, ...], error: type, says: str) -> None:
    with pytest.raises(error) as caught:
        yard.client().submit(ref, *args)
    assert says in str(caught.value)
    next_job_runs(yard)


def test_refused_attempts_are_logged_and_counted(yard: Yard) -> None:
    client = yard.client()
    with pytest.raises(jobyard.NotAllowed):
        client.submit("os:system", "true")
    assert client.status().refused == 1
    assert "os:system" in yard.path(".jobyard/background_jobs_errors.log").read_text()


@pytest.mark.parametrize(
    ("ref", "args", "outcome", "says"),
    [
        ("jobs:segfault", (), "signalled", "SIGSEGV"),
        ("jobs:exit_hard", (3,), "exited", "3"),
        ("jobs:exit_hard", (0,), "exited", "0"),
        ("jobs:kill_itself", (), "signalled", "SIGKILL"),
        ("jobs:exit_politely", (3,), "error", "SystemExit"),
        ("jobs:unpackable", (), "error", "NotSerializable"),
        ("jobs:large", (2 << 20,), "error", "TooLarge"),
        ("jobs:raise_awkward", (), "error", "Awkward"),
    ],
)
def test_job_that_misbehaves_has_its_outcome(
    yard: Yard, ref: str, args: tuple[Any, ...], outcome: str, says: str
) -> None:
    job = yard.client().options(retries=0).submit(ref, *args)
    error = job.exception(timeout=20)
    assert isinstance(error, jobyard.JobOutcomeError)
    attempt = job.info().attempts[0]
    assert attempt.outcome == outcome
    assert says in f"{attempt.signal} {attempt.exit_code} {attempt.error}"
    next_job_runs(yard)


def test_result_that_cannot_be_sent_is_not_tried_again(yard: Yard) -> None:
    failed = yard.client().options(retries=5).submit("jobs:unpackable")
    assert isinstance(failed.exception(timeout=20), jobyard.JobFailed)
    assert failed.info().attempt == 1


def test_large_arguments_and_results_within_the_limit_pass(yard: Yard) -> None:
    data = b"x" * (900 << 10)
    assert yard.client().submit("jobs:echo", data).result(timeout=20) == [[data], {}]


def test_job_that_closes_its_descriptors_hurts_only_itself(yard: Yard) -> None:
    job = yard.client().options(retries=0).submit("jobs:close_descriptors")
    assert job.wait(20)
    assert job.state in ("succeeded", "failed")
    next_job_runs(yard)


def test_hundred_megabytes_of_output_are_capped_and_do_not_stop_the_job(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard("[output]\nmax_job_bytes = '4MiB'\n")
    job = yard.client().submit("jobs:shout", 100)
    assert job.result(timeout=60) == "done"
    kept = sum(path.stat().st_size for path in yard.directory.glob(".jobyard/output/**/*") if path.is_file())
    assert kept < 6 << 20
    (attempt,) = json.loads(yard.jobctl("logs", str(job.id), "--json").stdout)["outputs"]
    assert attempt["dropped_bytes"] > 90_000_000
    assert f"{attempt['dropped_bytes']:,} bytes of output are missing here" in [
        line["text"] for line in attempt["lines"]
    ]
    next_job_runs(yard)


def test_module_that_does_not_import_is_said_and_the_others_go_on(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard(start=False)
    yard.path("broken.py").write_text("import no_such_module\ndef f(): pass\n")
    yard.config.write_text('allow = ["jobs:*", "broken:*"]\n')
    yard.start()
    client = yard.client()
    with pytest.raises(jobyard.NotAllowed, match="no_such_module"):
        client.submit("broken:f")
    assert any("no_such_module" in problem.why for problem in client.catalog().problems)
    next_job_runs(yard)


def test_reload_takes_in_new_code_and_a_bad_config_changes_nothing(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard()
    client = yard.client()
    yard.path("jobs.py").write_text("def brand_new(): return 'new'\n")
    client.reload()
    assert client.submit("jobs:brand_new").result(timeout=20) == "new"
    yard.config.write_text("allow = 3\n")
    with pytest.raises(jobyard.InvalidConfig):
        client.reload()
    assert client.submit("jobs:brand_new").result(timeout=20) == "new"


def test_dev_mode_takes_in_changed_code_by_itself(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard(start=False)
    yard.start("--dev")
    client = yard.client()
    yard.path("jobs.py").write_text("def brand_new(): return 'new'\n")
    assert client.submit("jobs:brand_new").result(timeout=20) == "new"


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("allow = [", "jobyard.toml:2"),
        ("[queues.mail]\nconcurency = 3\n", "concurrency"),
        ("[queues.mail]\npool = 'nowhere'\n", "nowhere"),
        ("[jobs.X]\ntarget = 'no colon here'\n", "no colon here"),
    ],
)
def test_wrong_config_is_refused_with_its_place(make_yard: Callable[..., Yard], config: str, says: str) -> None:
    yard = make_yard(config, start=False)
    said = yard.start()
    assert yard.process is not None
    assert yard.process.wait(10) == 2
    assert said["error"]["code"] == "invalid_config"
    assert says in said["error"]["message"]
    assert "Traceback" not in yard.log


def test_directory_open_to_others_is_refused(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard(start=False)
    yard.path(".jobyard").mkdir(mode=0o777)
    yard.path(".jobyard").chmod(0o777)
    said = yard.start()
    assert "chmod" in said["error"]["hint"]


def test_socket_is_for_its_owner_and_a_stale_one_is_no_hindrance(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard()
    path = yard.client().status().socket
    assert stat.S_IMODE(os.stat(path).st_mode) & 0o077 == 0
    yard.restart()
    next_job_runs(yard)


def test_file_in_place_of_the_socket_is_left_alone(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard(start=False)
    run = yard.path(".jobyard/run")
    run.mkdir(parents=True, mode=0o700)
    run.parent.chmod(0o700)
    (run / "socket").write_text("precious")
    said = yard.start()
    assert "in the way" in said["error"]["message"]
    assert (run / "socket").read_text() == "precious"


def test_socket_path_that_is_too_long_is_said(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard("[supervisor]\nsocket = '/tmp/" + "x" * 120 + "'\n", start=False)
    assert "107" in yard.start()["error"]["message"]


def test_no_supervisor_is_said_at_once_and_names_the_place(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard(start=False)
    with pytest.raises(jobyard.SupervisorUnavailable) as caught:
        yard.client(timeout=0.5).submit("jobs:add", 1)
    assert str(yard.directory) in str(caught.value)
    assert "jobctl up" in str(caught.value)


def test_garbage_on_the_socket_disturbs_nobody(yard: Yard) -> None:
    path = yard.client().status().socket
    for garbage in (b"", b"\x00", b"GET / HTTP/1.1\r\n\r\n", os.urandom(5000), b"\xff" * 64 + os.urandom(100_000)):
        for _ in range(5):
            with socket.socket(socket.AF_UNIX) as plain:
                plain.connect(path)
                plain.settimeout(1)
                try:
                    plain.sendall(garbage)
                except OSError:
                    break
    next_job_runs(yard)


def test_malformed_requests_get_an_error_or_nothing(yard: Yard) -> None:
    import msgpack
    import zmq

    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.connect(f"ipc://{yard.client().status().socket}")
    frames = [
        b"",
        b"\xc1",
        msgpack.packb([1, 2]),
        msgpack.packb({"id": "1", "v": 1}),
        msgpack.packb({"id": "2", "v": 99, "verb": "ping"}),
    ]
    for frame in frames:
        dealer.send(frame)
    answers = []
    while len(answers) < 2:
        assert dealer.poll(5000)
        answers.append(msgpack.unpackb(dealer.recv())["error"]["code"])
    assert answers == ["bad_request", "version_mismatch"]
    dealer.close(0)
    context.term()
    next_job_runs(yard)


def refused(client: jobyard.Client) -> bool:
    try:
        client.submit("jobs:add", 1, 2)
    except (jobyard.StorageUnavailable, jobyard.OutcomeUnknown):
        return True
    return False


def test_full_disk_refuses_and_recovers_by_itself(make_yard: Callable[..., Yard]) -> None:
    """The disk is made full for this one process by a limit on the size of its files."""
    yard = make_yard()
    client = yard.client()
    job = client.submit("jobs:sleep", 2.0)
    journal = len(yard.segment().read_bytes().rstrip(b"\0"))
    resource.prlimit(yard.pid, resource.RLIMIT_FSIZE, (journal + 600, resource.RLIM_INFINITY))
    wait_for("a refusal", lambda: refused(client))
    with pytest.raises(jobyard.StorageUnavailable):
        client.submit("jobs:add", 1, 2)
    assert client.status().durable is False
    resource.prlimit(yard.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    wait_for("recovery", lambda: client.status().durable)
    assert job.result(timeout=20) == 2.0
    next_job_runs(yard)
    yard.restart()
    assert yard.client().get(job.id).result(timeout=20) == 2.0


def test_start_on_a_disk_that_is_almost_full_warns_of_it(make_yard: Callable[..., Yard]) -> None:
    """The disk is made full for this one process by a limit on the size of its files."""
    yard = make_yard(start=False)
    size = 12 << 20  # room for a journal, but not for its reserve
    said = yard.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY)))
    client = yard.client()
    for warnings in (said["warnings"], client.status().warnings):
        assert [text for text in warnings if "MiB are free" in text and str(yard.directory) in text], warnings
    assert len([line for line in yard.log.splitlines() if " WARNING " in line and "is almost full" in line]) == 1
    with pytest.raises(jobyard.StorageUnavailable):
        client.submit("jobs:add", 1, 2)
    resource.prlimit(yard.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    wait_for("recovery", lambda: not refused(client))
    assert "has room again" in yard.log


def test_output_that_cannot_be_written_is_told_and_its_job_goes_on(yard: Yard) -> None:
    yard.path(".jobyard/output").rmdir()
    yard.path(".jobyard/output").write_text("in the way")
    client = yard.client()
    for _ in range(3):
        job = client.submit("jobs:shout", 1)
        assert job.result(timeout=20) == "done"
    lost = "attempt 1: 1,000,000 bytes of its output could not be written: Not a directory"
    wait_for("word of the loss", lambda: job.info().warnings == [lost])
    (attempt,) = json.loads(yard.jobctl("logs", str(job.id), "--json").stdout)["outputs"]
    assert (attempt["dropped_bytes"], attempt["unwritten_bytes"]) == (0, 1_000_000)
    assert attempt["unwritten_why"] == "Not a directory"
    assert wait_for("a warning", lambda: [text for text in client.status().warnings if "Not a directory" in text])
    assert yard.log.count("cannot be written") == 1, "one line for all"


def test_many_large_results_come_in_several_replies(yard: Yard) -> None:
    client = yard.client()
    jobs = client.submit_many("jobs:large", [((1 << 20) - 100,)] * 20)
    done, not_done = jobyard.wait(jobs, timeout=60)
    assert (len(done), len(not_done)) == (20, 0)
    assert len(client.list(limit=20)) == 20


def test_supervisor_is_still_reached_when_its_config_was_broken_meanwhile(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard()
    yard.config.write_text("allow = [\n")
    next_job_runs(yard)


def test_what_cannot_be_used_is_said_when_it_starts(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard("[jobs.Gone]\ntarget = 'no_such_module:f'\n", start=False)
    assert any("no_such_module" in warning for warning in yard.start()["warnings"])
