"""The client without a supervisor, with one that does not answer, and with one that is started again."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_supervisor import DEADLINE_S, FakeSupervisor, make_info, never
from jobyard.client.sync import Client
from jobyard.protocol import messages
from jobyard.protocol.errors import (
    BadArguments,
    InvalidConfig,
    JobNotFound,
    OutcomeUnknown,
    ProtocolError,
    SupervisorUnavailable,
    VersionMismatch,
)

InThread = Callable[[Callable[[], Any]], Callable[[], Any]]


# -- no supervisor -----------------------------------------------------------------------------------------------------


def test_socket_that_is_not_there_fails_at_once_and_tells_the_place(tmp_path: Path) -> None:
    path = tmp_path / "nobody.sock"
    with Client(socket=path, timeout=600) as client, pytest.raises(SupervisorUnavailable) as caught:
        client.submit("m:f")
    assert str(path) in caught.value.message and "no such file" in caught.value.message
    assert caught.value.hint == "jobctl up"
    assert isinstance(caught.value, ConnectionError)


def test_file_that_is_no_socket_fails_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with Client(socket=path, timeout=600) as client, pytest.raises(SupervisorUnavailable, match="not a socket"):
        client.ping()


def test_socket_left_behind_is_waited_for_until_the_timeout(tmp_path: Path) -> None:
    path = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with Client(socket=path, timeout=0.1) as client, pytest.raises(SupervisorUnavailable, match="nobody listens"):
        client.submit("m:f")


def test_request_waits_for_a_supervisor_that_comes_back(tmp_path: Path, in_thread: InThread) -> None:
    fake = FakeSupervisor(tmp_path / "s.sock")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(fake.path))
    with Client(socket=fake.path, timeout=DEADLINE_S) as client:
        answer = in_thread(lambda: client.submit("m:f"))
        fake.start()
        try:
            assert answer().id == 1
            assert fake.requests[0].jobs[0].resent is False
        finally:
            fake.stop()


def test_listener_that_speaks_another_protocol_is_told(tmp_path: Path) -> None:
    path = tmp_path / "other.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen(8)
        with Client(socket=path, timeout=0.1) as client, pytest.raises(SupervisorUnavailable) as caught:
            client.ping()
    assert "does not answer" in caught.value.message and "timeout" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter everywhere")
def test_socket_in_a_directory_of_somebody_else_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o000)
    try:
        with Client(socket=tmp_path / "s.sock") as client, pytest.raises(SupervisorUnavailable, match="may not enter"):
            client.ping()
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("explicit", [True, False])
def test_socket_is_found_by_the_config(
    supervisor: FakeSupervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, explicit: bool
) -> None:
    config = tmp_path / "jobyard.toml"
    config.write_text(f'allow = ["m:*"]\n[supervisor]\nsocket = "{supervisor.path}"\n')
    monkeypatch.chdir(tmp_path if not explicit else "/")
    monkeypatch.delenv("JOBYARD_CONFIG", raising=False)
    if explicit:  # and then it goes before the socket of the job that this might be
        monkeypatch.setenv("JOBYARD_SOCKET", "/nowhere")
    else:
        monkeypatch.delenv("JOBYARD_SOCKET", raising=False)
    with Client(config=config if explicit else None, timeout=DEADLINE_S) as client:
        assert client.ping().pid == 1


def test_config_that_is_not_there_or_wrong_is_told(tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text("allow = 7")
    for name in ("missing.toml", "wrong.toml"):
        with Client(config=tmp_path / name) as client, pytest.raises(InvalidConfig, match=name):
            client.ping()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:5000", "", "ipc://", "a\0b"])
def test_address_that_cannot_be_one_is_refused(address: str) -> None:
    with Client(socket=address) as client, pytest.raises(BadArguments) as caught:
        client.ping()
    assert repr(address) in caught.value.message and caught.value.hint


def test_path_that_is_too_long_for_a_socket_is_told(tmp_path: Path) -> None:
    with Client(socket=tmp_path / ("x" * 110)) as client, pytest.raises(SupervisorUnavailable) as caught:
        client.ping()
    assert "x" * 110 in caught.value.message and "shorter" in caught.value.hint


@pytest.mark.parametrize("timeout", [0, -1, "soon", float("nan"), True, None])
def test_timeout_that_cannot_be_one_is_refused(timeout: Any) -> None:
    with pytest.raises(BadArguments):
        Client(timeout=timeout)


def test_socket_from_the_environment_is_used(supervisor: FakeSupervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBYARD_SOCKET", f"ipc://{supervisor.path}")
    with Client(timeout=DEADLINE_S) as client:
        assert client.ping().pid == 1


def test_without_socket_or_config_every_place_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JOBYARD_SOCKET", "JOBYARD_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with Client() as client, pytest.raises(SupervisorUnavailable) as caught:
        client.ping()
    assert [place.split(":")[0] for place in caught.value.details["tried"]] == ["socket=", "JOBYARD_SOCKET", "config"]
    assert "jobctl init" in caught.value.hint


# -- answers that do not come, or are wrong ----------------------------------------------------------------------------


def test_submit_without_an_answer_has_an_unknown_outcome(supervisor: FakeSupervisor) -> None:
    supervisor.answer = never
    with Client(socket=supervisor.path, timeout=0.2) as client, pytest.raises(OutcomeUnknown) as caught:
        client.submit("m:f")
    assert caught.value.details["uids"] == [supervisor.requests[0].jobs[0].uid]


def test_read_without_an_answer_is_unavailable(supervisor: FakeSupervisor) -> None:
    supervisor.answer = never
    with Client(socket=supervisor.path) as client, pytest.raises(SupervisorUnavailable, match="did not answer"):
        client.ping(timeout=0.2)


def test_late_answer_is_not_taken_for_the_next_one(client: Client, supervisor: FakeSupervisor) -> None:
    supervisor.answer = never
    with pytest.raises(SupervisorUnavailable):
        client.ping(timeout=0.1)
    supervisor.wait_for(1)
    supervisor.tell(0, messages.Pong(111, "late", True, 1))
    supervisor.answer = supervisor.accept
    assert client.ping().pid == 1


@pytest.mark.parametrize("garbage", [b"", b"\xc1\x00", b"\x81\xa2id\x07", b"x" * 1000, b"\x81\xa2id\xa1?"])
def test_reply_that_is_garbage_is_a_protocol_error_or_no_reply(supervisor: FakeSupervisor, garbage: bytes) -> None:
    supervisor.answer = lambda request: garbage
    with Client(socket=supervisor.path, timeout=0.3) as client:
        with pytest.raises((ProtocolError, OutcomeUnknown)):
            client.submit("m:f")
        supervisor.answer = supervisor.accept
        assert client.submit("m:f").id == 1


def test_reply_in_another_version_names_both(client: Client, supervisor: FakeSupervisor) -> None:
    from jobyard.protocol import codec

    supervisor.answer = lambda request: codec.pack({"v": 2, "id": "1", "ok": {}})
    with pytest.raises(VersionMismatch, match=r"2.*1"):
        client.ping()


@pytest.mark.parametrize("count", [0, 2])
def test_answer_with_another_number_of_jobs_is_a_protocol_error(
    client: Client, supervisor: FakeSupervisor, count: int
) -> None:
    supervisor.answer = lambda request: messages.Submitted([messages.Accepted(1, "0" * 32)] * count)
    with pytest.raises(ProtocolError, match=f"1 jobs with {count}"):
        client.submit("m:f")


def test_get_that_is_answered_with_nothing_is_job_not_found(client: Client, supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: messages.Jobs([])
    with pytest.raises(JobNotFound, match="no job 7"):
        client.info(7)


# -- restarts ----------------------------------------------------------------------------------------------------------


def test_supervisor_restarted_between_two_requests_is_not_noticed(client: Client, supervisor: FakeSupervisor) -> None:
    assert client.submit("m:f").id == 1
    supervisor.stop()
    supervisor.start()
    assert client.submit("m:f").id == 2
    assert client.retry(1) is None  # which must never be sent over the lost connection


def test_submit_that_is_cut_off_is_sent_again_and_makes_one_job(
    client: Client, supervisor: FakeSupervisor, in_thread: InThread
) -> None:
    def store_and_die(request: Any) -> None:
        supervisor.accept(request)

    supervisor.answer = store_and_die
    answer = in_thread(lambda: client.submit("m:f"))
    supervisor.wait_for(1)
    supervisor.stop()
    supervisor.answer = supervisor.accept
    supervisor.start()
    job = answer()
    first, second = supervisor.requests
    assert (first.jobs[0].resent, second.jobs[0].resent) == (False, True)
    assert first.jobs[0].uid == second.jobs[0].uid == job.uid
    assert supervisor.ids[0] == supervisor.ids[1]
    assert (job.id, job.existing, len(supervisor.jobs)) == (1, True, 1)


def test_retry_that_is_cut_off_has_an_unknown_outcome(
    client: Client, supervisor: FakeSupervisor, in_thread: InThread
) -> None:
    supervisor.answer = never
    answer = in_thread(lambda: client.retry(1))
    supervisor.wait_for(1)
    supervisor.stop()
    with pytest.raises(OutcomeUnknown, match="'retry'"):
        answer()


def test_wait_for_a_result_outlives_restarts(client: Client, supervisor: FakeSupervisor, in_thread: InThread) -> None:
    job = client.submit("m:f")
    supervisor.answer = never
    answer = in_thread(job.result)
    for count in (2, 3, 4):
        supervisor.wait_for(count)
        supervisor.stop()
        supervisor.start()
    supervisor.wait_for(5)
    supervisor.tell(4, messages.Jobs([make_info(1, result="done")]))
    assert answer() == "done"
    assert {type(request) for request in supervisor.requests[1:]} == {messages.Wait}


def test_wait_for_a_supervisor_that_does_not_return_ends(supervisor: FakeSupervisor, in_thread: InThread) -> None:
    with Client(socket=supervisor.path, timeout=0.3) as client:
        job = client.submit("m:f")
        supervisor.answer = never
        answer = in_thread(job.result)
        supervisor.wait_for(2)
        supervisor.stop()
        with pytest.raises(SupervisorUnavailable, match="nobody listens"):
            answer()


def test_file_gone_during_a_restart_is_waited_for_by_new_links_too(
    client: Client, supervisor: FakeSupervisor, in_thread: InThread
) -> None:
    client.ping()
    supervisor.stop()
    supervisor.path.unlink()
    answers = [in_thread(lambda: client.submit("m:f")) for _ in range(3)]
    supervisor.start()
    assert {answer().id for answer in answers} == {1, 2, 3}


def test_idle_client_does_not_reconnect(client: Client, supervisor: FakeSupervisor) -> None:
    client.ping()
    supervisor.stop()
    supervisor.path.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(supervisor.path))
        listener.listen()
        listener.settimeout(0.5)
        with pytest.raises(TimeoutError):
            listener.accept()
