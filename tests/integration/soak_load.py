"""The load of the soak test: threads with clients of their own, each of which does one kind of thing for a while.

Owns what is asked of a supervisor and what must come of it; what that leaves behind is measured by soak_watch.py.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from jobyard import Client, Job, NotAllowed
from live import Yard
from soak_jobs import BLOB

SECONDS = 4.0  # of load in a round
BATCH = 25
Submit = Callable[[Client], tuple[Job[Any], str]]


def _plain(name: str, *args: Any, ends: str = "succeeded", **options: Any) -> Submit:
    return lambda client: (client.options(**options).submit(f"jobs:{name}", *args), ends)


def _cancelled(delay_s: float) -> Submit:
    def submit(client: Client) -> tuple[Job[Any], str]:
        job = client.options(queue="slow").submit("jobs:rest", 60)
        time.sleep(delay_s)
        job.cancel(grace=0.2, reason="the soak")
        return job, "cancelled"

    return submit


def _replaced(client: Client) -> tuple[Job[Any], str]:
    options = client.options(key=f"key-{random.random()}", on_duplicate="replace", delay=30)
    first = options.submit("jobs:add", 1)
    options.submit("jobs:add", 2).cancel()
    return first, "cancelled"


def _family(client: Client) -> tuple[Job[Any], str]:
    parent = client.submit("jobs:add", 1)
    return client.options(after=[parent]).submit("jobs:add", 2), "succeeded"


def _orphaned(client: Client) -> tuple[Job[Any], str]:
    parent = client.options(retries=0).submit("jobs:fail")
    return client.options(after=[parent]).submit("jobs:add", 2), "cancelled"


KINDS: dict[str, Submit] = {
    "result": _plain("add", 1, 2),
    "in a pool that changes": _plain("add", 1, 2, queue="changing"),
    "weak": _plain("add", 1, 2, durability="memory"),
    "delayed": _plain("add", 1, delay=0.3, expires=60),
    "expired": _plain("add", 1, ends="cancelled", delay=30, expires=0.3),
    "failed": _plain("fail", ends="failed", retries=1),
    "failed at first": _plain("fail_first"),
    "later": _plain("later"),
    "given up": _plain("give_up", ends="failed"),
    "timeout": _plain("rest", 60, ends="failed", timeout=0.2, grace=0.1, retries=0),
    "soft timeout": _plain("rest", 60, ends="failed", soft_timeout=0.2, retries=0),
    "stalled": _plain("rest", 60, ends="failed", stall_timeout=0.2, grace=0.1, retries=0),
    "exited": _plain("crash", "exit", ends="failed", retries=0),
    "killed": _plain("crash", "kill", ends="failed", retries=1),
    "large arguments": _plain("take", BLOB),
    "large result": _plain("give"),
    "no result": _plain("unpackable", ends="failed"),
    "output": _plain("talk", 300),
    "a daemon": _plain("leave_a_process"),
    "scratch": _plain("use_scratch"),
    "cancelled early": _cancelled(0.0),
    "cancelled late": _cancelled(0.5),
    "replaced": _replaced,
    "dependent": _family,
    "orphaned": _orphaned,
}  # fmt: skip


class Load:
    """One round of load: made, run, over. Errors and wrong ends are in ``wrong``."""

    def __init__(self, yard: Yard, seed: int) -> None:
        self.wrong: list[str] = []
        self.jobs = 0
        self._yard, self._rng = yard, random.Random(seed)
        self._until = time.monotonic() + SECONDS

    def run(self) -> None:
        """For ``SECONDS``, and until all that was submitted has ended."""
        kinds = list(KINDS)
        self._rng.shuffle(kinds)
        half = len(kinds) // 2
        doers: list[Callable[[Client], None]] = [
            self._many,
            lambda client: self._all_kinds(client, kinds[:half]),
            lambda client: self._all_kinds(client, kinds[half:]),
            self._follow_everything,
            self._follow_output,
            self._look,
            self._misbehave,
        ]
        threads = [threading.Thread(target=self._do, args=(doer,)) for doer in doers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _do(self, doer: Callable[[Client], None]) -> None:
        try:
            with Client(config=str(self._yard.config), timeout=60.0) as client:
                doer(client)
        except Exception as error:
            self.wrong.append(f"{type(error).__name__}: {error}")

    @property
    def _goes_on(self) -> bool:
        return time.monotonic() < self._until

    # -- what is submitted ---------------------------------------------------------------------------------------------

    def _many(self, client: Client) -> None:
        while self._goes_on:
            jobs = client.submit_many("jobs:add", [(number, 1) for number in range(BATCH)])
            self.jobs += BATCH
            if [job.result(timeout=60) for job in jobs] != list(range(1, BATCH + 1)):
                self.wrong.append("wrong results")

    def _all_kinds(self, client: Client, kinds: list[str]) -> None:
        """Each once, in turn, all over again; each of them waited for."""
        while self._goes_on:
            submitted = [(kind, *KINDS[kind](client)) for kind in kinds]
            self.jobs += len(kinds)
            for kind, job, ends in submitted:
                if not job.wait(60) or job.state != ends:
                    self.wrong.append(f"{kind}: {job.state}")

    # -- who looks on --------------------------------------------------------------------------------------------------

    def _follow_everything(self, client: Client) -> None:
        while self._goes_on:
            job = client.submit("jobs:add", 1)
            with contextlib.closing(client.events(since="oldest")) as events:
                for notice in events:
                    if notice.job_id == job.id and notice.kind == "ended":
                        break
            self.jobs += 1

    def _follow_output(self, client: Client) -> None:
        while self._goes_on:
            job = client.submit("jobs:talk", 50)
            lines = list(job.logs(follow=True))
            if len(lines) != 51:
                self.wrong.append(f"job {job.id}: {len(lines)} of 51 lines of output")
            list(job.events())
            self.jobs += 1

    def _look(self, client: Client) -> None:
        """Lists, searches and figures; jobs that are put back, changed and removed; queues that stop and go on."""
        while self._goes_on:
            client.list(limit=20, sort="finished")
            client.list_infos(search="line", limit=5)
            client.stats()
            client.status()
            client.catalog()
            client.pause("changing")
            client.resume("changing")
            own = [client.options(retries=0).submit("jobs:fail"), client.options(delay=30).submit("jobs:add", 1)]
            own[1].set(delay=0.1, priority="high")
            for _ in range(2):
                client.wait(own, 60)
                own[0].why()
                own[0].retry()
            client.wait(own, 60)
            client.remove(own)
            self.jobs += len(own)

    def _misbehave(self, client: Client) -> None:
        """Connections that say nothing, refused submits, clients that come and go."""
        path = self._yard.path(".jobyard/run")
        while self._goes_on:
            for name in ("socket", "events"):
                with socket.socket(socket.AF_UNIX) as made:
                    made.connect(str(path / name))
                    made.send(b"\xff\x00\x00\x00garbage")
            with contextlib.suppress(NotAllowed):
                client.submit("os:system", "true")
            with Client(config=str(self._yard.config)) as other:
                other.ping()
            time.sleep(0.1)
