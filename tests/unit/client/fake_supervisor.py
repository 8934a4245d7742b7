"""A scripted supervisor on a real socket, and builders for what it answers."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq
from jobyard.protocol import codec, messages, states
from jobyard.protocol.errors import JobNotFound, JobyardError
from jobyard.protocol.job import AttemptInfo, ErrorInfo, JobInfo, Policy

DEADLINE_S = 20.0

Answer = Callable[[Any], Any]  # from a request to a reply, an error, raw bytes, or None for no answer


def make_info(job_id: int = 1, state: str = states.SUCCEEDED, **fields: Any) -> JobInfo:
    """A job as a supervisor would tell of it; ``result`` is a value, ``outcome`` makes a last attempt."""
    attempts = fields.pop("attempts", [])
    if "outcome" in fields:
        attempt = fields.pop("attempt_fields", {})
        attempts = [AttemptInfo(1, 10.0, 11.0, outcome=fields.pop("outcome"), **attempt)]
    if "result" in fields:
        fields["result_payload"] = codec.pack_value(fields.pop("result"))
    base: dict[str, Any] = {
        "uid": f"{job_id:032x}",
        "ref": "app.reports:build",
        "name": "build",
        "queue": "default",
        "pool": "default",
        "priority": 0,
        "created_at": 1.0,
        "run_at": 1.0,
        "policy": Policy(),
        "payload": codec.pack_arguments((), {}),
        "attempt": len(attempts),
    }
    return JobInfo(id=job_id, state=state, attempts=attempts, **{**base, **fields})


def failed_info(job_id: int = 1, message: str = "no such month") -> JobInfo:
    error = ErrorInfo(
        "builtins.ValueError", message, "Traceback (most recent call last):\n  ...", ("builtins.ValueError",)
    )
    return make_info(job_id, states.FAILED, outcome=states.ERROR, attempt_fields={"error": error})


def never(request: Any) -> None:
    """An answer that does not come."""


class FakeSupervisor:
    """A ROUTER in a thread. Every request is kept in ``requests`` and answered by ``answer``.

    ``stop`` and ``start`` make it go away and come back on the same path; its jobs are kept, as by a journal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.requests: list[Any] = []
        self.ids: list[str] = []
        self.routes: list[bytes] = []
        self.answer: Answer = self.accept
        self.jobs: dict[str, int] = {}
        self.infos: dict[int, JobInfo] = {}
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.linger = 0
        self._router.set(zmq.ROUTER_MANDATORY, 1)
        self._router.bind(f"ipc://{self.path}")
        self._wake = self._context.socket(zmq.PAIR)
        self._wake.bind("inproc://wake")
        self._signal = self._context.socket(zmq.PAIR)
        self._signal.linger = 0
        self._signal.connect("inproc://wake")
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def stop(self) -> None:
        """Go away as one that was killed does: the socket's file stays."""
        if self._thread is not None:
            self._signal.send(b"stop")
            self._thread.join()
            self._signal.close(0)
            self._context.term()
            self._thread = None

    def tell(self, index: int, reply: Any) -> None:
        """Answer the request at ``index`` of ``requests``, which ``answer`` left open."""
        self._signal.send_multipart([self.routes[index], messages.pack_reply(self.ids[index], reply)])

    def wait_for(self, count: int) -> list[Any]:
        """The requests, once there are ``count``."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.requests) >= count, DEADLINE_S), self.requests
            return list(self.requests)

    def accept(self, request: Any) -> Any:
        """What a supervisor in good order answers, as far as these tests need one."""
        match request:
            case messages.Submit():
                return messages.Submitted([self._store(job) for job in request.jobs])
            case messages.Ping():
                return messages.Pong(1, "0", True, 1)
            case messages.Get() | messages.Wait():
                missing = [job_id for job_id in request.ids if job_id not in self.infos]
                if missing:
                    return JobNotFound(f"there is no job {missing[0]}")
                return messages.Jobs([self.infos[job_id] for job_id in request.ids])
            case messages.SetQueue():
                return messages.QueuesSet([request.queue or "default"])
            case messages.RetryJob():
                return messages.Requeued(request.id)
        raise AssertionError(f"no answer to {request}")

    def _store(self, job: messages.Submission) -> messages.Accepted:
        existing = job.uid in self.jobs
        if not existing:
            self.jobs[job.uid] = next(self._numbers)
        return messages.Accepted(self.jobs[job.uid], job.uid, existing)

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(self._wake, zmq.POLLIN)
        while True:
            ready = dict(poller.poll())
            if self._wake in ready:
                parts = self._wake.recv_multipart()
                if parts == [b"stop"]:
                    break
                self._router.send_multipart(parts)
            if self._router in ready:
                route, frame = self._router.recv_multipart()
                self._handle(route, frame)
        self._router.close(0)
        self._wake.close(0)

    def _handle(self, route: bytes, frame: bytes) -> None:
        request_id, request = messages.unpack_request(frame)
        try:
            reply = self.answer(request)
        except JobyardError as error:
            reply = error
        with self._changed:
            self.requests.append(request)
            self.ids.append(request_id)
            self.routes.append(route)
            self._changed.notify_all()
        if reply is not None:
            data = reply if isinstance(reply, bytes) else messages.pack_reply(request_id, reply)
            self._router.send_multipart([route, data])
