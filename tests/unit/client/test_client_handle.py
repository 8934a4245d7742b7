"""Handles, waiting for several jobs, and following output, over a real socket."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from fake_supervisor import DEADLINE_S, FakeSupervisor, failed_info, make_info
from jobyard.client.handle import WAIT_IDS_MAX, Job, as_completed, wait
from jobyard.client.sync import Client
from jobyard.protocol import messages, states
from jobyard.protocol.errors import (
    BadArguments,
    JobCancelled,
    JobFailed,
    JobNotFound,
    JobyardError,
    OutcomeUnknown,
    WaitTimeout,
)
from jobyard.protocol.job import Progress

InThread = Callable[[Callable[[], Any]], Callable[[], Any]]


class Ends:
    """A supervisor on which jobs end when the test says so: ``wait`` is parked until then."""

    def __init__(self, supervisor: FakeSupervisor) -> None:
        self.supervisor = supervisor
        self.open: dict[int, messages.Wait] = {}
        supervisor.answer = self.answer

    def answer(self, request: Any) -> Any:
        if not isinstance(request, messages.Wait):
            return self.supervisor.accept(request)
        reply = self._reply(request)
        if reply is None:
            self.open[len(self.supervisor.requests)] = request
        return reply

    def end(self, *infos: Any) -> None:
        self.supervisor.infos.update((info.id, info) for info in infos)
        for index, request in list(self.open.items()):
            reply = self._reply(request)
            if reply is not None:
                del self.open[index]
                self.supervisor.tell(index, reply)

    def _reply(self, request: messages.Wait) -> messages.Jobs | None:
        ended = [self.supervisor.infos[job_id] for job_id in request.ids if job_id in self.supervisor.infos]
        enough = bool(ended) if request.any else len(ended) == len(request.ids)
        return messages.Jobs(ended) if enough else None


@pytest.fixture
def ends(supervisor: FakeSupervisor) -> Ends:
    return Ends(supervisor)


@pytest.fixture
def jobs(client: Client) -> list[Job[Any]]:
    return client.submit_many("m:f", [()] * 4)


def test_result_is_exactly_what_the_job_returned(client: Client, supervisor: FakeSupervisor) -> None:
    value = {"rows": [(1, 2.5), {3}], 7: None}
    job = client.submit("m:f")
    supervisor.infos[1] = make_info(1, result=value)
    assert job.result(timeout=DEADLINE_S) == value
    assert job.exception() is None


def test_job_that_returned_nothing_has_the_result_none(client: Client, supervisor: FakeSupervisor) -> None:
    job = client.submit("m:f")
    supervisor.infos[1] = make_info(1)
    assert job.result() is None


def test_result_of_a_failed_job_raises_what_it_raised(client: Client, supervisor: FakeSupervisor) -> None:
    job = client.submit("m:f")
    supervisor.infos[1] = failed_info(1)
    with pytest.raises(JobFailed) as caught:
        job.result()
    assert (caught.value.type, caught.value.attempts) == ("builtins.ValueError", 1)
    assert isinstance(job.exception(), JobFailed)


def test_result_that_is_not_there_in_time_is_a_wait_timeout_and_the_job_goes_on(
    client: Client, supervisor: FakeSupervisor, ends: Ends
) -> None:
    job = client.submit("m:f")
    with pytest.raises(WaitTimeout, match=r"job 1 has not ended within 0\.1 s"):
        job.result(timeout=0.1)
    assert job.wait(0.1) is False
    assert [type(request) for request in supervisor.requests] == [messages.Submit, messages.Wait]  # parked once
    ends.end(make_info(1, result=3))
    assert job.result() == 3


@pytest.mark.parametrize("state", [states.RUNNING, states.SUCCEEDED])
def test_wait_of_no_time_looks_once(client: Client, supervisor: FakeSupervisor, state: str) -> None:
    job = client.submit("m:f")
    supervisor.infos[1] = make_info(1, state)
    assert job.wait(0) is job.done() is (state == states.SUCCEEDED)
    assert [type(request) for request in supervisor.requests[1:]] == [messages.Get, messages.Get]


@pytest.mark.parametrize("timeout", ["1h", "0.5s", 3, math.inf])
def test_timeout_may_be_any_duration(client: Client, supervisor: FakeSupervisor, timeout: Any) -> None:
    job = client.submit("m:f")
    supervisor.infos[1] = make_info(1)
    assert job.wait(timeout) is True


@pytest.mark.parametrize("timeout", [-1, "soon", float("nan"), True])
def test_timeout_that_is_none_is_refused(client: Client, timeout: Any) -> None:
    job = client.submit("m:f")
    for call in (
        job.wait,
        job.result,
        job.exception,
        lambda one: wait([job], one),
        lambda one: as_completed([job], one),
    ):
        with pytest.raises(BadArguments, match="not a duration"):
            call(timeout)


def test_job_pruned_while_it_was_waited_for_is_not_found(client: Client, supervisor: FakeSupervisor) -> None:
    job = client.submit("m:f")
    supervisor.answer = lambda request: messages.Jobs([])
    with pytest.raises(JobNotFound):
        job.result()


def test_state_and_progress_are_asked_each_time(client: Client, supervisor: FakeSupervisor) -> None:
    job = client.submit("m:f")
    supervisor.infos[1] = make_info(1, states.RUNNING, progress=Progress(1, 2, "half", 5.0))
    assert (job.state, job.progress) == ("running", Progress(1.0, 2.0, "half", 5.0))
    supervisor.infos[1] = make_info(1)
    assert (job.state, job.progress, job.info().uid) == ("succeeded", None, f"{1:032x}")


def test_jobs_are_equal_by_id_and_true(client: Client) -> None:
    one, same, other = Job(client, 1, "a"), Job(client, 1, "b"), Job(client, 2, "c")
    assert one == same and one != other and one != 1 and len({one, same, other}) == 2
    assert one and repr(one) == "<Job 1>"


def test_cancel_says_whether_the_job_had_ended(client: Client, supervisor: FakeSupervisor) -> None:
    job = client.submit("m:f")
    supervisor.answer = lambda request: messages.Cancelled([1])
    assert job.cancel(grace=2, reason="enough") is True
    supervisor.answer = lambda request: messages.Cancelled([], [1])
    assert job.cancel() is False
    assert supervisor.requests[1] == messages.Cancel([1], None, 2.0, "enough")


def test_retry_of_a_job_sends_its_id(client: Client, supervisor: FakeSupervisor) -> None:
    client.submit("m:f").retry()
    assert supervisor.requests[1] == messages.RetryJob(1)


# -- several jobs ------------------------------------------------------------------------------------------------------


def test_as_completed_gives_jobs_in_the_order_of_their_ends(jobs: list[Job[Any]], ends: Ends) -> None:
    found = as_completed(jobs, timeout=DEADLINE_S)
    order = []
    for job_id in (3, 1, 4, 2):
        ends.end(make_info(job_id))
        order.append(next(found).id)
    assert order == [3, 1, 4, 2]
    with pytest.raises(StopIteration):
        next(found)


def test_as_completed_out_of_time_says_how_many_are_left(jobs: list[Job[Any]], ends: Ends) -> None:
    ends.end(make_info(2))
    found = as_completed(jobs, timeout=0.2)
    assert next(found).id == 2
    with pytest.raises(WaitTimeout, match="3 of 4 jobs"):
        next(found)


def test_as_completed_of_many_jobs_waits_in_groups(client: Client, supervisor: FakeSupervisor, ends: Ends) -> None:
    count = 2 * WAIT_IDS_MAX + 1
    jobs = client.submit_many("m:f", [()] * count)
    found = as_completed(jobs, timeout=DEADLINE_S)
    ends.end(make_info(count))
    assert next(found).id == count
    ends.end(*(make_info(number) for number in range(1, count)))
    assert {job.id for job in found} == set(range(1, count))
    waits = [request for request in supervisor.requests if isinstance(request, messages.Wait)]
    assert max(len(request.ids) for request in waits) == WAIT_IDS_MAX


def test_as_completed_that_is_left_early_gives_its_connection_back(
    client: Client, supervisor: FakeSupervisor, jobs: list[Job[Any]], ends: Ends
) -> None:
    ends.end(make_info(1))
    for job in as_completed(jobs):
        assert job.id == 1
        break
    client.ping()
    assert len(set(supervisor.routes)) == 1


def test_as_completed_uses_the_handles_it_was_given(jobs: list[Job[Any]], ends: Ends) -> None:
    ends.end(*(make_info(number) for number in range(1, 5)))
    assert {id(job) for job in as_completed(jobs)} == {id(job) for job in jobs}


def test_result_can_be_read_inside_as_completed(jobs: list[Job[Any]], ends: Ends) -> None:
    ends.end(*(make_info(number, result=number) for number in range(1, 5)))
    assert sorted(job.result() for job in as_completed(jobs)) == [1, 2, 3, 4]


def test_waiting_for_no_jobs_ends_at_once() -> None:
    assert list(as_completed([])) == []
    assert wait([]) == (set(), set())


def test_wait_for_all_returns_when_all_have_ended(jobs: list[Job[Any]], ends: Ends, in_thread: InThread) -> None:
    answer = in_thread(lambda: wait(jobs))
    ends.supervisor.wait_for(2)
    ends.end(make_info(1), failed_info(2))
    ends.end(make_info(3), make_info(4))
    assert answer() == (set(jobs), set())


def test_wait_out_of_time_returns_what_has_ended(jobs: list[Job[Any]], ends: Ends) -> None:
    ends.end(make_info(1))
    done, not_done = wait(jobs, timeout=0.1, return_when="FIRST_EXCEPTION")
    assert (done, not_done) == (set(jobs[:1]), set(jobs[1:]))


def test_wait_for_all_that_is_out_of_time_returns_what_has_ended_too(
    jobs: list[Job[Any]], client: Client, supervisor: FakeSupervisor
) -> None:
    known = {number: make_info(number, states.RUNNING if number > 1 else states.SUCCEEDED) for number in range(1, 5)}
    supervisor.answer = lambda request: (
        None if isinstance(request, messages.Wait) else messages.Jobs([known[job_id] for job_id in request.ids])
    )
    done, not_done = wait(jobs, timeout=0.1)
    assert (done, not_done) == (set(jobs[:1]), set(jobs[1:]))


def test_wait_for_the_first_returns_when_one_has_ended(jobs: list[Job[Any]], ends: Ends, client: Client) -> None:
    ends.end(make_info(3))
    assert client.wait(jobs, return_when="FIRST_COMPLETED").done == {jobs[2]}


@pytest.mark.parametrize("bad", [failed_info(2), make_info(2, states.CANCELLED)], ids=["failed", "cancelled"])
def test_wait_for_the_first_failure_passes_over_success(
    jobs: list[Job[Any]], ends: Ends, in_thread: InThread, bad: Any
) -> None:
    ends.end(make_info(1))
    answer = in_thread(lambda: wait(jobs, return_when="FIRST_EXCEPTION"))
    ends.supervisor.wait_for(3)  # the submit, the first wait, and the wait for those that are left
    ends.end(bad)
    assert answer().done == set(jobs[:2])


def test_unknown_return_when_is_refused(jobs: list[Job[Any]]) -> None:
    with pytest.raises(BadArguments, match="'LAST'"):
        wait(jobs, return_when="LAST")  # type: ignore[arg-type]


def test_jobs_of_two_clients_are_refused(client: Client, supervisor: FakeSupervisor) -> None:
    with Client(socket=supervisor.path) as second:
        both = [client.submit("m:f"), second.submit("m:f")]
        with pytest.raises(BadArguments, match="several clients"):
            wait(both)
        with pytest.raises(BadArguments, match="several clients"):
            as_completed(both)


def test_unknown_job_among_those_waited_for_raises(jobs: list[Job[Any]], supervisor: FakeSupervisor) -> None:
    with pytest.raises(JobNotFound):
        wait(jobs)


# -- pipeline ----------------------------------------------------------------------------------------------------------


def test_pipeline_sends_without_waiting_and_ends_with_all_answered(client: Client, supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: None
    with client.pipeline() as pipeline:
        jobs = [pipeline.options(queue="mail").submit("m:f", number) for number in range(3)]
        supervisor.wait_for(3)
        assert repr(jobs[0]) == "<Job under way>"
        for index, request in enumerate(list(supervisor.requests)):
            supervisor.tell(index, supervisor.accept(request))
    assert [job.id for job in jobs] == [1, 2, 3]
    assert {request.jobs[0].options["queue"] for request in supervisor.requests} == {"mail"}


def test_pipeline_bounds_what_is_in_flight(client: Client, supervisor: FakeSupervisor) -> None:
    with client.pipeline() as pipeline:
        jobs = [pipeline.submit("m:f", number) for number in range(1_000)]
    assert [job.id for job in jobs] == list(range(1, 1_001))


def test_id_asked_inside_the_pipeline_waits_for_its_answer(client: Client) -> None:
    with client.pipeline() as pipeline:
        first, second = pipeline.submit("m:f"), pipeline.submit("m:f")
        assert (second.id, first.id) == (2, 1)


def test_refusals_end_the_pipeline_as_a_group_and_stay_with_their_jobs(
    client: Client, supervisor: FakeSupervisor
) -> None:
    def odd_ones_only(request: Any) -> Any:
        return supervisor.accept(request) if len(supervisor.requests) % 2 == 0 else BadArguments("no")

    supervisor.answer = odd_ones_only
    with pytest.raises(ExceptionGroup) as caught, client.pipeline() as pipeline:
        jobs = [pipeline.submit("m:f") for _ in range(4)]
    assert [type(error) for error in caught.value.exceptions] == [BadArguments, BadArguments]
    assert [repr(job) for job in jobs] == ["<Job 1>", "<Job refused>", "<Job 2>", "<Job refused>"]
    with pytest.raises(BadArguments):
        jobs[1].result()


def test_error_of_the_block_is_not_hidden_by_refusals(client: Client, supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: BadArguments("no")

    def block() -> None:
        with client.pipeline() as pipeline:
            pipeline.submit("m:f")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()


def test_interrupted_pipeline_does_not_wait_for_answers(client: Client, supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: None

    jobs = []

    def block() -> None:
        with client.pipeline(timeout=3600) as pipeline:
            jobs.append(pipeline.submit("m:f"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        block()
    with pytest.raises(OutcomeUnknown, match="pipeline was left"):
        jobs[0].wait()


def test_pipeline_without_an_answer_has_unknown_outcomes(client: Client, supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: None
    with pytest.raises(ExceptionGroup) as caught, client.pipeline(timeout=0.2) as pipeline:
        pipeline.submit_many("m:f", [(), ()])
    (error,) = caught.value.exceptions
    assert isinstance(error, JobyardError) and error.code == "outcome_unknown"


def test_pipeline_survives_a_restart(client: Client, supervisor: FakeSupervisor) -> None:
    with client.pipeline() as pipeline:
        first = pipeline.submit("m:f")
        supervisor.wait_for(1)
        supervisor.stop()
        supervisor.start()
        second = pipeline.submit("m:f")
    assert {first.id, second.id} == {1, 2} and len(supervisor.jobs) == 2


def test_pipeline_outside_its_block_is_refused(client: Client) -> None:
    pipeline = client.pipeline()
    with pytest.raises(RuntimeError, match="with block"):
        pipeline.submit("m:f")
    with pipeline:
        assert pipeline.submit("m:f").id == 1
    with pytest.raises(RuntimeError, match="with block"):
        pipeline.submit("m:f")


# -- logs --------------------------------------------------------------------------------------------------------------


class Output:
    """Output of attempts as a supervisor gives it: ``attempts[n]`` is a list of pieces, given one at a time."""

    def __init__(
        self, supervisor: FakeSupervisor, attempts: dict[int, list[bytes]], state: str = states.SUCCEEDED
    ) -> None:
        self.attempts = attempts
        supervisor.infos[1] = make_info(1, state, attempt=max(attempts))
        supervisor.answer = lambda request: (
            self.read(request) if isinstance(request, messages.Logs) else supervisor.accept(request)
        )

    def read(self, request: messages.Logs) -> messages.LogReply:
        attempt = request.attempt if request.attempt is not None else (1 if request.follow else max(self.attempts))
        offset = 0
        for piece in self.attempts.get(attempt, []):
            if offset == request.offset:
                chunk = messages.LogChunk(offset, "stdout", 5.0, piece)
                return messages.LogReply(attempt, [chunk], offset + len(piece), False)
            offset += len(piece)
        return messages.LogReply(attempt, [], offset, True)


def test_logs_of_the_last_attempt_are_read_to_their_end(client: Client, supervisor: FakeSupervisor) -> None:
    Output(supervisor, {1: [b"first\n"], 2: [b"one\ntw", b"o\nthr", b"ee"]})
    assert [line.text for line in client.logs(1)] == ["one", "two", "three"]
    assert [line.text for line in Job(client, 1, "u").logs(attempt=1)] == ["first"]


def test_following_goes_on_through_all_attempts(client: Client, supervisor: FakeSupervisor) -> None:
    Output(supervisor, {1: [b"a\n", b"unfinished"], 2: [], 3: [b"b\n"]})
    assert [line.text for line in client.logs(1, follow=True)] == ["a", "unfinished", "b"]


def test_following_one_attempt_ends_with_it(client: Client, supervisor: FakeSupervisor) -> None:
    Output(supervisor, {1: [b"a\n"], 2: [b"b\n"]})
    assert [line.text for line in client.logs(1, attempt=1, follow=True)] == ["a"]


def test_following_waits_for_the_attempt_that_comes_next(client: Client, supervisor: FakeSupervisor) -> None:
    output = Output(supervisor, {1: [b"a\n"]}, states.SCHEDULED)
    answer = supervisor.answer

    def retried(request: Any) -> Any:
        if request == messages.Logs(1, 2, 0, True):  # the job was scheduled; now it makes its second attempt and ends
            output.attempts[2] = [b"b\n"]
            supervisor.infos[1] = make_info(1, states.SUCCEEDED, attempt=2)
        return answer(request)

    supervisor.answer = retried
    assert [line.text for line in client.logs(1, follow=True)] == ["a", "b"]


def test_following_a_job_that_is_cancelled_before_its_next_attempt_ends(
    client: Client, supervisor: FakeSupervisor
) -> None:
    Output(supervisor, {1: [b"a\n"]}, states.SCHEDULED)
    answer = supervisor.answer

    def cancelled(request: Any) -> Any:
        if request == messages.Logs(1, 2, 0, True):
            supervisor.infos[1] = make_info(1, states.CANCELLED, attempt=1)
        return answer(request)

    supervisor.answer = cancelled
    assert [line.text for line in client.logs(1, follow=True)] == ["a"]


def test_cancelled_job_raises_that_it_was_cancelled(client: Client, supervisor: FakeSupervisor) -> None:
    job = client.submit("m:f")
    supervisor.infos[1] = make_info(1, states.CANCELLED, reason="not needed")
    with pytest.raises(JobCancelled, match="not needed"):
        job.result()
