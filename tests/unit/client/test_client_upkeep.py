"""What the client sends to change, remove and explain jobs, and for jobs that wait for others."""

from __future__ import annotations

from typing import Any

import pytest
from fake_supervisor import FakeSupervisor, make_info
from jobyard.client.handle import Job
from jobyard.client.sync import Client
from jobyard.protocol import messages
from jobyard.protocol.errors import BadArguments, OutcomeUnknown, WrongState


def test_set_sends_plain_values_and_none_lifts_the_timeout(client: Client, supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: messages.Changed(request.ids)
    job = Job[Any](client, 7, "u")
    client.set([job, 8], priority="high", delay="2m", queue=None)
    job.set(timeout=None)
    assert supervisor.requests == [
        messages.SetJob([7, 8], {"priority": 10, "delay": 120.0}),
        messages.SetJob([7], {"timeout": None}),
    ]


def test_set_of_an_unknown_option_or_two_times_is_refused_unsent(client: Client, supervisor: FakeSupervisor) -> None:
    with pytest.raises(BadArguments, match="there is no option 'prioriti'") as caught:
        client.set(7, prioriti=3)  # type: ignore[call-arg]
    assert caught.value.hint == "did you mean 'priority'?"
    with pytest.raises(BadArguments, match="both delay and at"):
        client.set(7, delay=1, at=1.0)
    with pytest.raises(BadArguments, match="'x' is not a job id"):
        client.set("x", delay=1)  # type: ignore[arg-type]
    assert supervisor.requests == []


def test_many_jobs_go_in_bounded_requests(client: Client, supervisor: FakeSupervisor) -> None:
    limit = messages.CHANGE_JOBS_MAX
    replies: list[Any] = [messages.Removed([1], [2]), messages.Removed([3])]
    supervisor.answer = lambda request: replies.pop(0)
    assert client.remove(range(1, limit + 2)) == messages.Removed([1, 3], [2])
    assert [len(one.ids) for one in supervisor.requests] == [limit, 1]


def test_remove_is_not_sent_twice(client: Client, supervisor: FakeSupervisor, in_thread: Any) -> None:
    supervisor.answer = lambda request: None
    join = in_thread(lambda: client.remove(7))
    supervisor.wait_for(1)
    supervisor.stop()
    supervisor.start()
    with pytest.raises(OutcomeUnknown):
        join()
    assert len(supervisor.requests) == 1


def test_set_is_sent_again_when_its_answer_is_lost(client: Client, supervisor: FakeSupervisor, in_thread: Any) -> None:
    supervisor.answer = lambda request: None
    join = in_thread(lambda: client.set(7, priority=1))
    supervisor.wait_for(1)
    supervisor.stop()
    supervisor.answer = lambda request: messages.Changed(request.ids)
    supervisor.start()
    assert join() == messages.Changed([7])


def test_prune_goes_on_while_there_is_more(client: Client, supervisor: FakeSupervisor) -> None:
    replies = [messages.Pruned(1000, more=True), messages.Pruned(7)]
    supervisor.answer = lambda request: replies.pop(0)
    assert client.prune(older="7d", state="failed") == 1007
    assert supervisor.requests == 2 * [messages.Prune(604800.0, ["failed"])]


def test_why_is_a_small_thing_with_a_sentence(client: Client, supervisor: FakeSupervisor) -> None:
    reasons = [messages.Reason("queue_paused", "its queue mail is paused"), messages.Reason("place", "1st in mail")]
    supervisor.answer = lambda request: messages.Explanation(request.id, "queued", reasons, 1, "jobctl resume mail")
    found = Job[Any](client, 7, "u").why()
    assert str(found) == "job 7 is queued: its queue mail is paused; 1st in mail"
    assert (found.position, found.reasons[0].code) == (1, "queue_paused")
    assert str(client.why(8)).startswith("job 8 is queued")


def test_wrong_state_is_raised(client: Client, supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: WrongState("job 7 does not wait: its state is running")
    with pytest.raises(WrongState, match="its state is running"):
        client.set(7, priority=1)


def test_after_takes_jobs_ids_and_one_alone(client: Client, supervisor: FakeSupervisor) -> None:
    first = client.submit("app:f")
    for after, ids in (([first, 5, 5], [1, 5]), (first, [1]), (make_info(9), [9]), ((), []), (3, [3])):
        client.options(after=after, on_parent_failure="run").submit("app:g")  # type: ignore[typeddict-item]
        assert supervisor.requests[-1].jobs[0].options == {"after": ids, "on_parent_failure": "run"}
    client.options(after=None).submit("app:g")
    assert supervisor.requests[-1].jobs[0].options == {}


@pytest.mark.parametrize("after", ["7", True, [0], [None], -1, 2**63, {"id": 7}])
def test_after_what_is_no_job_is_refused(client: Client, after: Any) -> None:
    with pytest.raises(BadArguments, match="is not a job"):
        client.options(after=after)


def test_a_job_of_a_pipeline_can_come_after_another_of_it(client: Client, supervisor: FakeSupervisor) -> None:
    with client.pipeline() as pipeline:
        first = pipeline.submit("app:f")
        pipeline.options(after=[first]).submit("app:g")
    assert supervisor.requests[1].jobs[0].options == {"after": [1]}


def test_list_and_cancel_know_what_comes_after(client: Client, supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: (
        messages.Jobs([]) if isinstance(request, messages.List) else messages.Cancelled([])
    )
    client.list(after=7)
    client.cancel(after=Job(client, 8, "u"))
    assert [one.filter for one in supervisor.requests] == [messages.Filter(after=7), messages.Filter(after=8)]
