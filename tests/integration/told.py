"""A load of which it is written down what clients and jobs were told, and whether a journal has all of it."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from jobyard import Client, Job, JobyardError
from jobyard.conf.settings import JournalSettings
from jobyard.protocol.codec import unpack_value
from jobyard.protocol.messages import Compact
from jobyard.supervisor.core.job import Job as Stored
from jobyard.supervisor.journal.fsck import Verdict, check
from jobyard.supervisor.recovery import recover
from live import Yard

JOBS = """
import os
from jobyard import current_job

def work(ledger, number):
    fd = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, b"%d\\n" % current_job().id)
    os.close(fd)
    return str(number) * 1000
"""

# Few jobs stay in memory, and segments are small, so that the history and compaction have work all the time.
CONFIG = """
[pools.default]
concurrency = 3
[limits]
finished_jobs = 20
[journal]
segment_bytes = "1MiB"
"""


class Load:
    """Clients that submit, wait for the end, and have the journal compacted all the time; what they were told.

    Attributes:
        acked: uids of jobs that are stored. done: of those whose result has come, with their argument.
        errors: what clients were told otherwise.
    """

    def __init__(self, yard: Yard) -> None:
        self.ledger = yard.path("ledger")
        self.ledger.touch()
        self.sent = 0
        self.acked: list[str] = []
        self.done: dict[str, int] = {}
        self.errors: list[Exception] = []
        self._over = threading.Event()
        work = [self._submit, self._submit, self._submit_many, self._compact]
        clients = [yard.client(timeout=60) for _ in work]
        self._threads = [threading.Thread(target=self._run, args=one) for one in zip(work, clients, strict=True)]
        for thread in self._threads:
            thread.start()

    def _run(self, work: Callable[[Client], None], client: Client) -> None:
        try:
            while not self._over.is_set():
                try:
                    work(client)
                except JobyardError as error:
                    self.errors.append(error)
        except Exception as error:
            self.errors.append(error)

    def _submit(self, client: Client) -> None:
        number = self.sent = self.sent + 1
        self._see(client.submit("jobs:work", str(self.ledger), number), number)

    def _submit_many(self, client: Client) -> None:
        for job in client.submit_many("jobs:work", [(str(self.ledger), 0)] * 5):
            self._see(job, 0)

    def _see(self, job: Job[str], number: int) -> None:
        self.acked.append(job.uid)
        job.result(timeout=60)
        self.done[job.uid] = number

    def _compact(self, client: Client) -> None:
        client.request(Compact(), 60)
        time.sleep(0.2)

    def begun(self) -> set[int]:
        return {int(line) for line in self.ledger.read_text().splitlines()}

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


class Told:
    """What clients and jobs had been told at some moment: all of it must have been on the medium."""

    def __init__(self, load: Load) -> None:
        self.begun = load.begun()
        self.done = dict(load.done)
        self.acked = list(load.acked)

    def lost(self, state: Path) -> list[str]:
        """What of it the next start does not find."""
        journal = state / "journal"
        report = check(journal)
        if report.verdict not in (Verdict.OK, Verdict.TORN_TAIL):
            return report.problems
        recovered = recover(journal, JournalSettings(), 20)
        recovered.journal.close()
        jobs = recovered.state.jobs
        archived = history(state / "history.db")
        here = {job.uid: job for job in jobs.values()}
        lost = [f"job {uid}" for uid in self.acked if uid not in here and uid not in archived]
        lost += [
            f"the end of {uid}"
            for uid, number in self.done.items()
            if uid not in archived and not _ended_with(here.get(uid), number)
        ]
        started = {job.id for job in jobs.values() if job.attempt} | set(archived.values())
        return lost + [f"the start of {job_id}" for job_id in self.begun - started]


def _ended_with(job: Stored | None, number: int) -> bool:
    return job is not None and job.result is not None and unpack_value(job.result) == str(number) * 1000


def history(path: Path) -> dict[str, int]:
    """Ids by uid of the finished jobs in it."""
    if not path.exists():
        return {}
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if not database.execute("SELECT name FROM sqlite_master WHERE name = 'jobs'").fetchall():
            return {}
        return dict(database.execute("SELECT uid, id FROM jobs WHERE state = 'succeeded'").fetchall())
