"""The client over a real socket: what travels, and what happens when it does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_supervisor import DEADLINE_S, FakeSupervisor, make_info, never
from fresh_process import run_python
from jobyard.client.sync import Client
from jobyard.protocol import messages, options, states
from jobyard.protocol.codec import unpack_arguments
from jobyard.protocol.errors import (
    BadArguments,
    JobNotFound,
    NotAllowed,
    NotSerializable,
    TooLarge,
)

InThread = Callable[[Callable[[], Any]], Callable[[], Any]]


# -- submit ------------------------------------------------------------------------------------------------------------


def test_submit_sends_reference_arguments_and_options(client: Client, supervisor: FakeSupervisor) -> None:
    job = client.options(queue="mail", delay="15m").submit("app.mail:send", "a@x", subject="hi")
    (sent,) = supervisor.requests[0].jobs
    assert (job.id, job.uid, job.existing) == (1, sent.uid, False)
    assert (sent.ref, sent.method, sent.resent, sent.parent) == ("app.mail:send", None, False, None)
    assert (sent.arg_count, sent.kwarg_names) == (1, ["subject"])
    assert unpack_arguments(sent.payload) == (["a@x"], {"subject": "hi"})
    assert sent.options == {"queue": "mail", "delay": 900.0}


def test_submit_of_a_function_sends_its_reference(client: Client, supervisor: FakeSupervisor) -> None:
    client.submit(textwrap.dedent, "x")
    assert supervisor.requests[0].jobs[0].ref == "textwrap:dedent"


def test_submit_by_name_sends_class_and_method_in_two_words(client: Client, supervisor: FakeSupervisor) -> None:
    client.options(priority="high").submit_by_name("Email", "send", [1], {"to": "x"})
    (sent,) = supervisor.requests[0].jobs
    assert (sent.ref, sent.method, sent.arg_count, sent.kwarg_names) == ("Email", "send", 1, ["to"])
    assert sent.options == {"priority": options.priority("high")}


def test_own_arguments_of_a_function_may_be_named_like_options_of_the_client(
    client: Client, supervisor: FakeSupervisor
) -> None:
    client.submit("m:f", target=1, queue=2, self=3)
    assert supervisor.requests[0].jobs[0].kwarg_names == ["target", "queue", "self"]


def test_options_add_up_and_the_last_one_wins(client: Client, supervisor: FakeSupervisor) -> None:
    base = client.options(queue="mail", tags={"a": "1"})
    base.options(queue="slow", timeout=None, at=None, key=None).submit("m:f")
    base.submit("m:f")
    assert supervisor.requests[0].jobs[0].options == {"queue": "slow", "tags": {"a": "1"}, "timeout": None}
    assert supervisor.requests[1].jobs[0].options == {"queue": "mail", "tags": {"a": "1"}}


@pytest.mark.parametrize(
    "given, told",
    [
        ({"que": "mail"}, "'que'"),
        ({"delay": "soon"}, "'soon'"),
        ({"priority": "urgent"}, "'urgent'"),
        ({"delay": 1, "at": 2.0}, "both delay and at"),
        ({"retries": 1, "retry": {}}, "both retry and retries"),
        ({"tags": [1]}, "[1]"),
    ],
)
def test_bad_option_is_refused_before_anything_is_sent(
    client: Client, supervisor: FakeSupervisor, given: dict[str, Any], told: str
) -> None:
    with pytest.raises(BadArguments) as caught:
        client.options(**given)
    assert told in caught.value.message
    assert supervisor.requests == []


def test_options_that_exclude_each_other_are_refused_across_two_calls(client: Client) -> None:
    with pytest.raises(BadArguments, match="both delay and at"):
        client.options(delay=1).options(at=2.0)


def test_argument_that_cannot_be_sent_is_named(client: Client, supervisor: FakeSupervisor) -> None:
    with pytest.raises(NotSerializable, match=r"argument rows\[1\]"):
        client.submit("m:f", rows=[1, object()])
    with pytest.raises(NotSerializable, match="argument 2"):
        client.submit("m:f", 1, {1, 2}.__iter__())
    assert supervisor.requests == []


def test_refusal_of_the_supervisor_is_raised_with_its_hint(client: Client, supervisor: FakeSupervisor) -> None:
    refusal = NotAllowed("'m:f' is not allowed", hint='add allow = ["m:f"]', details={"nearest": "m:g"})
    supervisor.answer = lambda request: refusal
    with pytest.raises(NotAllowed) as caught:
        client.submit("m:f")
    assert caught.value.to_wire() == refusal.to_wire()


def test_job_submitted_by_a_job_names_its_parent(client: Client, supervisor: FakeSupervisor) -> None:
    from jobyard.protocol.current import CURRENT

    class Running:
        id = 42

    token = CURRENT.set(Running())  # type: ignore[arg-type]
    try:
        client.submit("m:f")
    finally:
        CURRENT.reset(token)
    assert supervisor.requests[0].jobs[0].parent == 42


def test_message_over_the_limit_is_too_large_and_the_client_goes_on(client: Client) -> None:
    with pytest.raises(TooLarge):
        client.submit("m:f", bytes(17 * 1024 * 1024))
    assert client.submit("m:f").id == 1


# -- submit_many -------------------------------------------------------------------------------------------------------


def test_submit_many_is_one_request_with_a_job_for_each_item(client: Client, supervisor: FakeSupervisor) -> None:
    jobs = client.options(queue="mail").submit_many("m:f", [("a",), {"to": "b"}, (("c",), {"cc": "d"}), ["e"], ()])
    (request,) = supervisor.requests
    assert [unpack_arguments(job.payload) for job in request.jobs] == [
        (["a"], {}),
        ([], {"to": "b"}),
        (["c"], {"cc": "d"}),
        (["e"], {}),
        ([], {}),
    ]
    assert {job.options["queue"] for job in request.jobs} == {"mail"}
    assert [job.id for job in jobs] == [1, 2, 3, 4, 5]


def test_submit_many_of_nothing_sends_nothing(client: Client, supervisor: FakeSupervisor) -> None:
    assert client.submit_many("m:f", []) == []
    assert supervisor.requests == []


@pytest.mark.parametrize("item", ["a@x", 7, None, {1, 2}])
def test_submit_many_names_the_item_that_is_none(client: Client, supervisor: FakeSupervisor, item: Any) -> None:
    with pytest.raises(BadArguments, match="item 1 of submit_many"):
        client.submit_many("m:f", [("fine",), item])
    assert supervisor.requests == []


def test_submit_many_names_the_item_that_cannot_be_sent(client: Client, supervisor: FakeSupervisor) -> None:
    with pytest.raises(NotSerializable, match=r"^item 1 of submit_many: argument 2 is an object") as caught:
        client.submit_many("m:f", [("fine",), ("fine", object())])
    assert caught.value.hint and caught.value.details == {"index": 1}
    assert supervisor.requests == []


def test_submit_many_over_the_limit_is_sent_in_chunks(client: Client, supervisor: FakeSupervisor) -> None:
    jobs = client.submit_many("m:f", ((number,) for number in range(10_001)))
    assert [len(request.jobs) for request in supervisor.requests] == [10_000, 1]
    assert len({job.id for job in jobs}) == 10_001


def test_refused_chunk_tells_which_jobs_were_stored_before(client: Client, supervisor: FakeSupervisor) -> None:
    def second_fails(request: Any) -> Any:
        return NotAllowed("no") if supervisor.requests else supervisor.accept(request)

    supervisor.answer = second_fails
    with pytest.raises(NotAllowed) as caught:
        client.submit_many("m:f", ((number,) for number in range(10_001)))
    assert caught.value.details["submitted"] == list(range(1, 10_001))


# -- threads, forks, interrupts ----------------------------------------------------------------------------------------


def test_threads_share_a_client(client: Client, in_thread: InThread) -> None:
    answers = [in_thread(lambda: [client.submit("m:f").id for _ in range(25)]) for _ in range(16)]
    ids = [job_id for answer in answers for job_id in answer()]
    assert sorted(ids) == list(range(1, 401))


def test_waiting_thread_does_not_hold_up_others(
    client: Client, supervisor: FakeSupervisor, in_thread: InThread
) -> None:
    supervisor.answer = lambda request: None if isinstance(request, messages.Wait) else supervisor.accept(request)
    job = client.submit("m:f")
    answer = in_thread(lambda: job.wait())
    supervisor.wait_for(2)
    assert client.submit("m:f").id == 2
    supervisor.tell(1, messages.Jobs([make_info(1)]))
    assert answer() is True


def test_thousands_of_requests_may_be_in_flight_on_one_connection(client: Client, supervisor: FakeSupervisor) -> None:
    with client.borrow() as link:
        ids = {link.start(messages.Ping(), DEADLINE_S) for _ in range(2_500)}
        assert {link.next().id for _ in ids} == ids
    assert len(set(supervisor.routes)) == 1


def test_connections_are_reused(client: Client, supervisor: FakeSupervisor) -> None:
    for _ in range(5):
        client.submit("m:f")
    assert len(set(supervisor.routes)) == 1


def test_client_works_on_both_sides_of_a_fork(supervisor: FakeSupervisor) -> None:
    out = run_python(
        """
        import os, sys, warnings
        from jobyard import Client
        warnings.filterwarnings("ignore", "This process .* is multi-threaded")  # from 3.12 on; it is the test's point
        client = Client(socket=sys.argv[1], timeout=20)
        client.submit("m:parent")
        pid = os.fork()
        if pid == 0:
            client.submit("m:child")
            pid = os.fork()
            if pid == 0:
                client.submit("m:grandchild")
                client.close()
                sys.exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            client.submit("m:child")
            sys.exit(0)
        client.submit("m:parent")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        client.submit("m:parent")
        print("ok")
        """,
        str(supervisor.path),
        warnings="ignore::ResourceWarning",  # what a child inherits and never touches, pyzmq reports as unclosed
    )
    assert out == "ok\n"
    refs = [request.jobs[0].ref for request in supervisor.requests]
    assert sorted(refs) == ["m:child"] * 2 + ["m:grandchild"] + ["m:parent"] * 3


def test_fork_while_another_thread_waits_gives_the_child_connections_of_its_own(supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: None if isinstance(request, messages.Wait) else supervisor.accept(request)
    code = """
        import os, sys, threading, warnings
        warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
        from jobyard import Client
        client = Client(socket=sys.argv[1], timeout=20)
        job = client.submit("m:f")
        waiting = threading.Thread(target=job.wait, args=(20,))
        waiting.start()
        sys.stdin.readline()
        pid = os.fork()
        if pid == 0:
            client.submit("m:child")
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        client.submit("m:parent")
        print("ok", flush=True)
        waiting.join()
        """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), str(supervisor.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        supervisor.wait_for(2)
        print(file=process.stdin, flush=True)
        assert process.stdout.readline() == "ok\n"
        supervisor.tell(1, messages.Jobs([make_info(1)]))
    assert process.returncode == 0


def test_program_that_never_closes_its_client_ends_without_a_word(supervisor: FakeSupervisor) -> None:
    out = run_python(
        """
        import sys, threading
        from jobyard import Client
        client = Client(socket=sys.argv[1], timeout=20)
        thread = threading.Thread(target=lambda: client.submit("m:f"))
        thread.start()
        thread.join()
        Client(socket=sys.argv[1], timeout=20).submit("m:f")  # garbage at once
        print(client.submit("m:f").id)
        """,
        str(supervisor.path),
    )
    assert out == "3\n"


def test_program_ends_while_a_daemon_thread_waits(supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: None if isinstance(request, messages.Wait) else supervisor.accept(request)
    run_python(
        """
        import sys, threading
        from jobyard import Client
        client = Client(socket=sys.argv[1], timeout=20)
        threading.Thread(target=client.submit("m:f").wait, daemon=True).start()
        client.submit("m:f")
        """,
        str(supervisor.path),
    )


def test_interrupt_ends_a_wait_and_leaves_the_client_usable(client: Client, supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: None if isinstance(request, messages.Wait) else supervisor.accept(request)
    job = client.submit("m:f")
    main = threading.get_ident()

    def interrupt() -> None:
        supervisor.wait_for(2)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        job.wait()
    thread.join()
    assert client.submit("m:f").id == 2


def test_nothing_is_imported_or_opened_before_the_first_request() -> None:
    run_python(
        """
        import sys, jobyard
        client = jobyard.Client()
        assert not {"zmq", "tomli", "asyncio"} & set(sys.modules)
        """
    )


def test_what_job_modules_use_is_lean() -> None:
    run_python(
        """
        import sys
        from jobyard import BaseJob, current_job, task
        @task(queue="mail")
        def send(): ...
        heavy = {"zmq", "dataclasses", "inspect", "asyncio", "socket", "datetime", "msgpack", "tomli"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        """
    )


# -- close -------------------------------------------------------------------------------------------------------------


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_close_gives_everything_back_and_a_later_request_connects_anew(tmp_path: Path) -> None:
    before = descriptors()
    fake = FakeSupervisor(tmp_path / "s.sock")
    fake.start()
    client = Client(socket=fake.path, timeout=DEADLINE_S)
    for number in (1, 2):
        assert client.submit("m:f").id == number
        client.close()
        client.close()
    fake.stop()
    assert descriptors() == before


def test_close_lets_another_thread_finish(client: Client, supervisor: FakeSupervisor, in_thread: InThread) -> None:
    job = client.submit("m:f")
    supervisor.answer = never
    answer = in_thread(job.result)
    supervisor.wait_for(2)
    client.close()
    supervisor.tell(1, messages.Jobs([make_info(1, result=5)]))
    assert answer() == 5


# -- the other verbs ---------------------------------------------------------------------------------------------------


def test_list_asks_page_after_page_up_to_the_limit(client: Client, supervisor: FakeSupervisor) -> None:
    def listed(request: messages.List) -> messages.Jobs:
        first = 3_000 if request.before is None else request.before - 1
        return messages.Jobs([make_info(first - index) for index in range(request.limit)], more=True)

    supervisor.answer = listed
    found = client.list_infos(state="failed", queue="mail", tags={"a": "b"}, since=5, ref="m:f", limit=1_500)
    assert [info.id for info in found] == list(range(3_000, 1_500, -1))
    chosen = messages.Filter(["failed"], "mail", "m:f", {"a": "b"}, 5.0)
    assert supervisor.requests == [messages.List(chosen, 1_000, None), messages.List(chosen, 500, 2_001)]


def test_list_gives_handles(client: Client, supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: messages.Jobs([make_info(9), make_info(8)])
    assert [job.id for job in client.list(limit=None)] == [9, 8]
    assert supervisor.requests[0].filter == messages.Filter()


def test_infos_asks_again_for_what_a_reply_had_no_room_for(client: Client, supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: messages.Jobs([make_info(request.ids[0])], more=True)
    assert [info.id for info in client.infos([3, 1, 3])] == [3, 1, 3]


def test_get_gives_a_handle_with_the_uid(client: Client, supervisor: FakeSupervisor) -> None:
    supervisor.infos[4] = make_info(4, uid="f" * 32)
    assert (client.get(4).id, client.get(4).uid) == (4, "f" * 32)
    with pytest.raises(JobNotFound):
        client.get(5)


@pytest.mark.parametrize("job_id", [0, -1, 2**63, "7", 1.0, True, None])
def test_what_is_no_job_id_is_refused(client: Client, supervisor: FakeSupervisor, job_id: Any) -> None:
    for call in (client.get, client.retry, lambda one: list(client.logs(one)), lambda one: client.cancel([one])):
        with pytest.raises(BadArguments, match="not a job id"):
            call(job_id)
    assert supervisor.requests == []


def test_cancel_by_ids_is_sent_in_bounded_requests(client: Client, supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: messages.Cancelled(request.ids[:-1], request.ids[-1:])
    limit = messages.CANCEL_JOBS_MAX
    reply = client.cancel(range(1, limit + 3), grace="2s", reason="enough")
    assert [len(request.ids) for request in supervisor.requests] == [limit, 2]
    assert (supervisor.requests[0].grace_s, supervisor.requests[0].reason) == (2.0, "enough")
    assert (len(reply.cancelled), reply.finished) == (limit, [limit, limit + 2])


def test_cancel_by_filter_goes_on_while_there_is_more(client: Client, supervisor: FakeSupervisor) -> None:
    supervisor.answer = lambda request: messages.Cancelled(
        [len(supervisor.requests)], more=len(supervisor.requests) < 2
    )
    assert client.cancel(state=[states.QUEUED], queue="mail").cancelled == [0, 1, 2]
    assert supervisor.requests[0] == messages.Cancel(None, messages.Filter([states.QUEUED], "mail"))


def test_cancel_of_no_jobs_sends_nothing(client: Client, supervisor: FakeSupervisor) -> None:
    assert client.cancel([]).cancelled == []
    assert supervisor.requests == []


def test_cancel_never_means_everything_by_accident(client: Client, supervisor: FakeSupervisor) -> None:
    for call in (lambda: client.cancel(), lambda: client.cancel(state=[]), lambda: client.cancel([1], queue="mail")):
        with pytest.raises(BadArguments, match=r"either jobs or a filter|state=\[\] names none"):
            call()
    assert supervisor.requests == []


def test_queue_verbs_send_their_mode(client: Client, supervisor: FakeSupervisor) -> None:
    assert (client.pause("mail"), client.resume("mail"), client.drain()) == (["mail"], ["mail"], ["default"])
    sent = [(request.mode, request.queue) for request in supervisor.requests]
    assert sent == [("paused", "mail"), ("open", "mail"), ("draining", None)]


def test_supervisor_verbs_return_their_replies(client: Client, supervisor: FakeSupervisor) -> None:
    status = messages.SupervisorStatus(1, "0", 1, 0.0, "c", "s", "x", False, True, {}, 0, [], [], 0)
    replies = {
        "status": status,
        "catalog": messages.CatalogReply([]),
        "reload": messages.Reloaded(True),
        "stop": messages.Stopping(3),
    }
    supervisor.answer = lambda request: replies[request.VERB]
    assert (client.status(), client.catalog(), client.reload()) == (
        status,
        messages.CatalogReply([]),
        messages.Reloaded(True),
    )
    assert (client.stop().running, client.stop(now=True).running) == (3, 3)
    assert [request.mode for request in supervisor.requests[-2:]] == ["wait", "now"]
