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
    """The model holds per job: its state, attempts spent and allowed, whether a cancel was asked, and how each of its
    parents ended (None while it has not). A job of the bundle may be gone: ``test_model_disk.py`` loses some."""

    jobs = Bundle("jobs")

    @initialize()
    def begin(self) -> None:
        self.bench = Bench()
        self.model: dict[int, dict[str, Any]] = {}
        self.paused: set[str] = {"off"}
        self.told: set[int] = set()  # jobs of whose end their children know

    @rule(
        target=jobs,
        queue=st.sampled_from(["default", "mail", "off"]),
        priority=st.sampled_from([-10, 0, 10]),
        delay=st.sampled_from([0.0, 0.0, 10.0]),
        attempts=st.integers(1, 3),
        after=st.lists(jobs, max_size=3, unique=True),
        on_parent_failure=st.sampled_from(["cancel", "run"]),
    )
    def submit(
        self, queue: str, priority: int, delay: float, attempts: int, after: list[int], on_parent_failure: str
    ) -> int:
        policy = Policy(retry=RetryPolicy(max_attempts=attempts, delays_s=(5.0,)))
        after = [one for one in after if one in self.model]
        job = self.bench.submit(
            queue=queue, priority=priority, delay_s=delay, policy=policy, after=after,
            on_parent_failure=on_parent_failure,
        )  # fmt: skip
        due = self.bench.t + delay if delay else None
        state = "blocked" if after else "scheduled" if delay else "queued"
        self.model[job.id] = {
            "state": state, "queue": queue, "priority": priority, "due": due, "spent": 0, "max": attempts,
            "cancel": False, "on_parent_failure": on_parent_failure, "parents": dict.fromkeys(after), "doomed": False,
        }  # fmt: skip
        for parent in after:
            if self.model[parent]["state"] in FINISHED:
                self._parent_ended(self.model[job.id], parent)
        self._dispatch()
        return job.id

    @rule(
        job=jobs,
        priority=st.sampled_from([None, -10, 10]),
        queue=st.sampled_from([None, "default", "mail", "off"]),
        delay=st.sampled_from([None, 0.0, 10.0]),
    )
    def change(self, job: int, priority: int | None, queue: str | None, delay: float | None) -> None:
        if job not in self.model:
            return
        reply = self.bench.ask(e.SetAsked(None, [job], "me", priority, queue, delay))
        model = self.model[job]
        waits = model["state"] in ("queued", "scheduled", "blocked")
        assert isinstance(reply, WrongState) == (not waits)
        if waits:
            model.update(priority=priority or model["priority"], queue=queue or model["queue"])
            if delay is not None:
                model["due"] = self.bench.t + delay if delay else None
                if model["state"] != "blocked":
                    model["state"] = "scheduled" if delay else "queued"
        self._dispatch()

    @rule(job=jobs)
    def cancel(self, job: int) -> None:
        if job not in self.model:
            return
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
        if job not in self.model:
            return
        reply = self.bench.ask(e.RetryAsked(None, job, "me"))
        model = self.model[job]
        assert isinstance(reply, WrongState) == (model["state"] not in FINISHED)
        if model["state"] in FINISHED:
            for parent in model["parents"]:
                state = self.model[parent]["state"]
                model["parents"][parent] = state if state in FINISHED else None
            blocked = None in model["parents"].values()
            model.update(state="blocked" if blocked else "queued", spent=0, cancel=False, doomed=False, due=None)
            for child in self._children(job):
                if child["state"] == "blocked":
                    child["parents"][job] = None
        self._dispatch()

    @rule(job=jobs, kind=st.sampled_from(["ok", "error", "give_up", "crash", "retry_later"]))
    def end(self, job: int, kind: str) -> None:
        if job not in self.bench.running:
            return
        model = self.model[job]
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
        self._dispatch()

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

    def _children(self, job: int) -> list[dict[str, Any]]:
        return [model for model in self.model.values() if job in model["parents"]]

    def _parent_ended(self, child: dict[str, Any], parent: int) -> None:
        state = self.model[parent]["state"]
        if child["state"] == "blocked" or child["parents"][parent] is None:
            child["parents"][parent] = state
        if child["state"] == "blocked" and state != "succeeded" and child["on_parent_failure"] == "cancel":
            child["doomed"] = True

    def _unblock(self) -> None:
        """Tell children of ends until nothing more follows."""
        while True:
            for model in self.model.values():
                if model["state"] == "blocked" and model["doomed"]:
                    model["state"] = "cancelled"
            ended = {job for job, model in self.model.items() if model["state"] in FINISHED}
            for job in ended - self.told:
                for child in self._children(job):
                    self._parent_ended(child, job)
            if self.told == ended:
                break
            self.told = ended
        for model in self.model.values():
            if model["state"] == "blocked" and None not in model["parents"].values():
                late = model["due"] is not None and model["due"] > self.bench.t
                model["state"] = "scheduled" if late else "queued"

    def _dispatch(self) -> None:
        """What the machine must have started by now: the model learns which children are left from the machine."""
        self._unblock()
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
