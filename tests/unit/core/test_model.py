"""The machine against a model that is a plain dict, driven by Hypothesis: equal after every step."""

from __future__ import annotations

from typing import Any

from bench import RULES, Bench
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from jobyard.protocol.errors import JobNotFound, WrongState
from jobyard.protocol.job import Policy, RetryPolicy
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core.state import State

FINISHED = ("succeeded", "failed", "cancelled")


class MachineAgainstModel(RuleBasedStateMachine):
    """The model holds per job: its state, attempts spent and allowed, and whether a cancel was asked."""

    jobs = Bundle("jobs")

    @initialize()
    def begin(self) -> None:
        self.bench = Bench()
        self.model: dict[int, dict[str, Any]] = {}
        self.paused: set[str] = {"off"}

    @rule(
        target=jobs,
        queue=st.sampled_from(["default", "mail", "off"]),
        priority=st.sampled_from([-10, 0, 10]),
        delay=st.sampled_from([0.0, 0.0, 10.0]),
        attempts=st.integers(1, 3),
    )
    def submit(self, queue: str, priority: int, delay: float, attempts: int) -> int:
        policy = Policy(retry=RetryPolicy(max_attempts=attempts, delays_s=(5.0,)))
        job = self.bench.submit(queue=queue, priority=priority, delay_s=delay, policy=policy)
        due = self.bench.t + delay if delay else None
        self.model[job.id] = {
            "state": "scheduled" if delay else "queued", "queue": queue, "priority": priority, "due": due, "spent": 0,
            "max": attempts, "cancel": False,
        }  # fmt: skip
        self._dispatch()
        return job.id

    @rule(job=jobs)
    def cancel(self, job: int) -> None:
        reply = self.bench.ask(e.CancelAsked(None, [job], "me"))
        model = self.model[job]
        assert (reply.finished == [job]) == (model["state"] in FINISHED)
        if model["state"] == "running":
            model["cancel"] = True
        elif model["state"] not in FINISHED:
            model["state"] = "cancelled"
        self._dispatch()

    @rule(job=jobs)
    def retry(self, job: int) -> None:
        reply = self.bench.ask(e.RetryAsked(None, job, "me"))
        model = self.model[job]
        assert isinstance(reply, WrongState) == (model["state"] not in FINISHED)
        if model["state"] in FINISHED:
            model.update(state="queued", spent=0, cancel=False)
        self._dispatch()

    @rule(job=jobs, kind=st.sampled_from(["ok", "error", "give_up", "crash", "retry_later"]))
    def end(self, job: int, kind: str) -> None:
        model = self.model[job]
        if model["state"] != "running":
            return
        self.bench.end(self.bench.state.jobs[job], kind)
        if kind == "ok":
            model["state"] = "succeeded"
        elif model["cancel"]:
            model["state"] = "cancelled"
        elif kind == "retry_later":
            model.update(state="scheduled", due=self.bench.t + 5.0)
        elif kind == "give_up" or model["spent"] + 1 >= model["max"]:
            model["state"] = "failed"
        else:
            model.update(state="scheduled", due=self.bench.t + 5.0, spent=model["spent"] + 1)
        self._dispatch()

    @rule(count=st.integers(1, 3))
    def children(self, count: int) -> None:
        self.bench.ready(count)
        self._dispatch()

    @rule(seconds=st.sampled_from([0.5, 5.0, 20.0]))
    def wait(self, seconds: float) -> None:
        self.bench.wait(seconds)
        for model in self.model.values():
            if model["state"] == "scheduled" and model["due"] <= self.bench.t:
                model["state"] = "queued"
        self._dispatch()

    @rule(queue=st.sampled_from(["default", "mail", "off"]), mode=st.sampled_from(["open", "paused"]))
    def set_queue(self, queue: str, mode: str) -> None:
        self.bench.ask(e.QueueSetAsked(None, [queue], mode))
        (self.paused.add if mode == "paused" else self.paused.discard)(queue)
        self._dispatch()

    @rule()
    def lose_the_zygote(self) -> None:
        uuid = self.bench.machine.pools.get("default").zygote
        assert uuid is not None
        running = [job for job, model in self.model.items() if model["state"] == "running"]
        if any(self.bench.state.jobs[job].losses == 2 for job in running):
            return
        self.bench.running.clear()
        self.bench.step(e.ZygoteGone("default", uuid), e.ZygoteUp("default", "z" + uuid, 1, 1, "boot"))
        for job in running:
            self.model[job]["state"] = "cancelled" if self.model[job]["cancel"] else "queued"
        self.bench.step()
        self.zygote = "z" + uuid

    @rule()
    def replay(self) -> None:
        state = State()
        for record in self.bench.records:
            state.apply(record)
        assert list(state.dump()) == list(self.bench.state.dump())

    @rule()
    def ask_for_nonsense(self) -> None:
        assert isinstance(self.bench.ask(e.CancelAsked(None, [10**6], "me")), JobNotFound)

    @invariant()
    def agrees(self) -> None:
        if hasattr(self, "bench"):
            assert {job.id: job.state for job in self.bench.state.jobs.values()} == {
                job: model["state"] for job, model in self.model.items()
            }

    def _dispatch(self) -> None:
        """What the machine must have started by now: the model learns which children are left from the machine."""
        bench = self.bench
        started = [job.id for job in bench.state.jobs.values() if job.state == "running"]
        for job_id in started:
            model = self.model[job_id]
            assert model["state"] in ("running", "queued")
            if model["state"] == "queued":
                assert model["queue"] not in self.paused
                model["state"] = "running"
        running = [model for model in self.model.values() if model["state"] == "running"]
        assert len(running) <= RULES.pools["default"].concurrency
        assert sum(model["queue"] == "mail" for model in running) <= 1
        if bench.machine.pools.get("default").free and len(running) < 2:
            mail_full = any(model["queue"] == "mail" for model in running)
            could = [
                job
                for job, model in self.model.items()
                if model["state"] == "queued"
                and model["queue"] not in self.paused
                and not (model["queue"] == "mail" and mail_full)
            ]
            assert not could, f"jobs {could} could run"


TestMachineAgainstModel = MachineAgainstModel.TestCase
TestMachineAgainstModel.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
