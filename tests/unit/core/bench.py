"""A workbench for the machine: builders for events and a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jobyard.protocol.job import ErrorInfo, Policy, RetryPolicy
from jobyard.supervisor.core import effects as f
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core import records as r
from jobyard.supervisor.core.check import check
from jobyard.supervisor.core.machine import Machine
from jobyard.supervisor.core.rules import PoolRule, QueueRule, Rules
from jobyard.supervisor.core.state import Job, State

BOOT, WALL = 100.0, 1_800_000_000.0
RULES = Rules(
    queues={"default": QueueRule(), "mail": QueueRule(concurrency=1), "off": QueueRule(paused=True)},
    pools={"default": PoolRule(concurrency=2, spare=1)},
)


class Bench:
    """A machine with one zygote that is up. Every step's effects are in ``last``; all records in ``records``."""

    def __init__(self, rules: Rules = RULES, *, zygote: bool = True) -> None:
        self.t = 0.0
        self.uids = 0
        self.kids = 0
        self.records: list[r.Record] = []
        self.replies: dict[Any, Any] = {}
        self.running: dict[int, e.Child] = {}
        self.kills: list[f.Kill] = []
        self.machine = Machine(State(), rules)
        self.last = self._took(self.machine.begin(self.now, "boot"))
        if zygote:
            self.step(e.ZygoteUp("default", "z", 1, 1, "boot"))

    @property
    def now(self) -> e.Now:
        return e.Now(BOOT + self.t, WALL + self.t)

    @property
    def state(self) -> State:
        return self.machine.state

    def step(self, *events: e.Event) -> f.Effects:
        self.last = self._took(self.machine.step(self.now, events))
        check(self.state)
        return self.last

    def _took(self, effects: f.Effects) -> f.Effects:
        self.records += effects.records
        self.kills += effects.kills
        for effect in [*effects.early, *effects.durable]:
            if isinstance(effect, f.Reply):
                self.replies[effect.token] = effect.reply
            elif isinstance(effect, f.Go):
                self.running[effect.order.job_id] = effect.child
        return effects

    def ready(self, count: int = 1) -> None:
        """That many children become ready."""
        zygote = self.machine.pools.get("default").zygote
        assert zygote is not None
        for _ in range(count):
            self.kids += 1
            self.step(e.ChildReady(e.Child("default", zygote, self.kids, 1000 + self.kids, 1)))

    def uid(self) -> str:
        self.uids += 1
        return f"{int((WALL + self.t) * 1000):012x}{self.uids:020x}"

    def want(self, **given: Any) -> e.Wanted:
        given.setdefault("policy", Policy(retry=RetryPolicy(max_attempts=3, delays_s=(5.0,))))
        return e.Wanted(
            **{
                "uid": self.uid(),
                "ref": "app:f",
                "name": "f",
                "payload": b"p",
                "queue": "default",
                "priority": 0,
                **given,
            }
        )

    def submit(self, **given: Any) -> Job:
        """One job, which must be accepted."""
        token = object()
        self.step(e.SubmitAsked(token, [self.want(**given)]))
        return self.state.jobs[self.replies[token].jobs[0].id]

    def ask(self, event: Any) -> Any:
        """Step with a request that has no token yet; gives the reply."""
        token = object()
        object.__setattr__(event, "token", token)
        self.step(event)
        return self.replies[token]

    def end(self, job: Job, kind: str = "ok", *, twice: bool = False, **given: Any) -> None:
        """The job's child says ``kind`` and exits; kind "crash" says nothing."""
        child = self.running.pop(job.id)
        error = ErrorInfo("app.Oops", "no", "Traceback...", ("app.Oops", "builtins.ValueError"))
        end = (
            None
            if kind == "crash"
            else e.End(kind, b"r" if kind == "ok" else None, None if kind in ("ok", "stopped") else error)
        )
        exit_fields = {
            name: given.pop(name) for name in ("exit_code", "signal", "killed", "survivors", "void") if name in given
        }
        if end is not None and given:
            end = e.End(**{**{name: getattr(end, name) for name in end.__slots__}, **given})
        event = e.ChildExited(child, 1, e.Exit(at=self.now.wall, **exit_fields), end)
        self.step(*([event, event] if twice else [event]))

    def run(self, job: Job) -> None:
        """Make children until the job runs."""
        while job.state != "running":
            assert job.state == "queued", job.state
            self.ready()

    def run_in_turn(self, count: int) -> list[int]:
        """Run that many jobs to their end, one after the other; gives their ids."""
        order = []
        for _ in range(count):
            self.ready()
            (job_id,) = self.running
            order.append(job_id)
            self.end(self.state.jobs[job_id])
        return order

    def wait(self, seconds: float) -> None:
        self.t += seconds
        self.step(e.Tick())

    def kinds(self) -> Iterator[str]:
        """Names of the records of the last step."""
        return (type(record).__name__ for record in self.last.records)
