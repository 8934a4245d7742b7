"""What the demo does to jobyard and its jobs, step by step.

Owns the steps and their order. Does not know where the directory came from, nor how the end is shown.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import demo_checks as checks
from demo_checks import Check
from demo_view import Watch
from jobyard import Client, Job, JobInfo, JobyardError, NotAllowed
from rich.console import Console
from shop.orders import Order
from shop.trouble import PIDS_GLOB, birth

T = TypeVar("T")
DEADLINE_S = 55.0
LOOK_S = 0.1
FAIL_RATE, SEED = 0.2, 4
EXPRESS_TOTAL = 700  # EUR; invoices over more than this go first
MAIL_DELAY_S = 1.0
KILL_AFTER = 100  # finished jobs: in the middle of it
OTHERS = ("NeverEnds", "Stubborn", "Hungry")


class Disappointed(Exception):
    """The story cannot go on; the text says why."""


class Story:
    """One run. ``checks`` grows with what was found to be true or not."""

    def __init__(self, directory: Path, console: Console, client: Client, orders: dict[int, Order]) -> None:
        self.checks: list[Check] = []
        self.names: dict[int, str] = {}
        self._directory = directory
        self._console = console
        self._client = client
        self._orders = orders
        self._deadline = time.monotonic() + DEADLINE_S

    def tell(self) -> list[JobInfo]:
        """Everything, from the first submit to the last job's end; returns what became of the jobs."""
        stubborn = self._submit()
        totals = {**dict.fromkeys(("Invoice", "Email", "Report"), len(self._orders)), "others": len(OTHERS)}
        with Watch(self._console, totals) as watch:
            self._watch_until(watch, lambda infos: sum(info.finished for info in infos) >= KILL_AFTER)
            self._kill_supervisor(watch)
            self._cancel(stubborn, watch)
            self._watch_until(watch, lambda infos: all(info.finished for info in infos))
        infos = self._infos()
        self._judge(infos)
        return infos

    def _submit(self) -> Job[Any]:
        """All at once: what starts when is jobyard's business. Returns the stubborn job."""
        client = self._client
        self._note("Report", [client.submit("Report", pause_s=0.08)])
        self._note("NeverEnds", [client.submit("NeverEnds")])
        self._note("Stubborn", [stubborn := client.submit("Stubborn")])
        self._note("Hungry", [client.options(delay=1).submit("Hungry", checks.HUNGRY_MEGABYTES)])
        express = [order.number for order in self._orders.values() if order.total > EXPRESS_TOTAL]
        usual = [number for number in self._orders if number not in express]
        self._note("Invoice", client.submit_many("Invoice", [(number,) for number in usual]))
        self._note("Invoice", client.options(priority="high").submit_many("Invoice", [(number,) for number in express]))
        mails = [((number,), {"fail_rate": FAIL_RATE, "seed": SEED}) for number in self._orders]
        self._note("Email", client.options(delay=MAIL_DELAY_S).submit_many("Email", mails))
        self._console.print(
            f"submitted {len(self.names)} jobs: {len(express)} invoices go first, mails start after {MAIL_DELAY_S} s",
            highlight=False,
        )
        self.checks.append(self._refusal())
        return stubborn

    def _note(self, name: str, jobs: Iterable[Job[Any]]) -> None:
        self.names.update((job.id, name) for job in jobs)

    def _refusal(self) -> Check:
        what = "a function that the config does not allow was refused"
        try:
            self._client.submit("shop.orders:read_orders")
        except NotAllowed:
            return Check(what)
        return Check(what, "it was taken")

    def _kill_supervisor(self, watch: Watch) -> None:
        """``kill -9``, and wait for the one that takes its place."""
        old = self._client.status().pid
        os.kill(old, signal.SIGKILL)
        at = time.monotonic()
        watch.say(f"kill -9 {old}: the supervisor is gone")
        self._until(lambda: birth(old) is None, "the killed supervisor is still there")
        new = self._until(self._supervisor_pid, "no new supervisor came up")
        missing = len(self.names) - len(self._infos())
        watch.say(f"pid {new} took over after {time.monotonic() - at:.2f} s; jobs missing: {missing}")
        what = "a new supervisor took over and knew every job"
        self.checks.append(Check(what, f"{missing} missing" if missing else ""))

    def _supervisor_pid(self) -> int | None:
        try:
            return self._client.status().pid
        except JobyardError:
            return None

    def _cancel(self, job: Job[Any], watch: Watch) -> None:
        """Cancel the stubborn job once it has its daemons, and see that all of them are gone."""
        pids = self._until(lambda: self._pids(job), "the stubborn job did not get going")
        at = time.monotonic()
        job.cancel(reason="it would not stop by itself")
        job.wait(max(0.0, self._deadline - at))
        left = checks.stubborn_left(self._directory)
        watch.say(f"cancelled the stubborn job: its {len(pids)} processes were gone in {time.monotonic() - at:.2f} s")
        self.checks.append(checks.check_processes("the cancelled job left no process behind, daemons included", left))

    def _pids(self, job: Job[Any]) -> list[int]:
        """The processes that the present attempt of the stubborn job has written down."""
        info = job.info()
        if info.state != "running" or info.last_attempt is None:
            return []
        note = self._directory / PIDS_GLOB.replace("*", str(info.last_attempt.pid))
        return [int(line.split()[0]) for line in note.read_text(encoding="ascii").splitlines()] if note.exists() else []

    def _watch_until(self, watch: Watch, enough: Callable[[list[JobInfo]], bool]) -> None:
        def look() -> bool:
            infos = self._infos()
            self._show(watch, infos)
            return enough(infos)

        self._until(look, "the jobs were not done in time")

    def _infos(self) -> list[JobInfo]:
        return self._client.infos(list(self.names))

    def _show(self, watch: Watch, infos: list[JobInfo]) -> None:
        groups: dict[str, list[JobInfo]] = {}
        for info in infos:
            name = self.names[info.id]
            groups.setdefault("others" if name in OTHERS else name, []).append(info)
        for name, group in groups.items():
            done: float = sum(info.finished for info in group)
            if name == "Report":
                progress = group[0].progress
                done = len(self._orders) if done else progress.done if progress else 0
            busy = Counter(info.state for info in group if not info.finished)
            watch.show(name, done, ", ".join(f"{count} {state}" for state, count in busy.most_common()))
        watch.tick()

    def _judge(self, infos: list[JobInfo]) -> None:
        """Everything that must be true of the jobs and of what they made."""
        by_name: dict[str, list[JobInfo]] = {}
        for info in infos:
            by_name.setdefault(self.names[info.id], []).append(info)
        (never,), (stubborn,), (hungry,), (report,) = (by_name[name] for name in (*OTHERS, "Report"))
        invoices, mails = self._directory / "invoices", self._directory / "mails"
        self.checks += [
            checks.check_all_succeeded("every invoice job succeeded", by_name["Invoice"]),
            checks.check_all_succeeded("every mail job succeeded", by_name["Email"]),
            checks.check_invoices(invoices, self._orders),
            checks.check_mails(mails, invoices, self._orders),
            checks.check_report(report, self._orders),
            checks.check_job("the job without end hit its timeout", never, "failed", "timeout"),
            checks.check_job("the stubborn job is cancelled", stubborn, "cancelled", "cancelled"),
            checks.check_job("the hungry job succeeded", hungry, "succeeded", "ok"),
            checks.check_memory(hungry),
        ]

    def _until(self, look: Callable[[], T], otherwise: str) -> T:
        """Look again and again until there is something to see.

        Raises:
            Disappointed: with ``otherwise``, when the time for the whole story is over.
        """
        while not (found := look()):
            if time.monotonic() > self._deadline:
                raise Disappointed(otherwise)
            time.sleep(LOOK_S)
        return found
