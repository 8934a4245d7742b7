"""The machine on a disk, against the same model: what is not synced is lost in a crash, and nothing else is.

While the disk is off, the machine decides on, and nothing is carried out. A crash takes it back to the last sync, by
the snapshot and what follows it; the zygote may be adopted with its children, or be gone.
"""

from __future__ import annotations

import copy
from typing import Any

import msgpack
import pytest
import tiers
from bench import Bench
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from jobyard.supervisor.core import effects as f
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core import records as r
from jobyard.supervisor.core.machine import Machine
from jobyard.supervisor.core.state import State
from test_model import MachineAgainstModel


class DiskBench(Bench):
    """A bench whose records are on disk once they are synced; ``held`` is what waits for that."""

    def __init__(self) -> None:
        self.on = True
        self.synced = 0
        self.snapshot: list[bytes] = []
        self.covered = 0
        self.held: list[f.Effects] = []
        super().__init__()

    def _took(self, effects: f.Effects) -> f.Effects:
        if self.on:
            super()._took(effects)
            self.synced = len(self.records)
            return effects
        self.records += effects.records
        self.held.append(effects)
        for effect in effects.durable:
            if isinstance(effect, f.Reply):
                self.replies[effect.token] = effect.reply
        return effects

    def sync(self) -> None:
        self.on, held = True, self.held
        self.held = []
        for effects in held:
            arrives = [effect for effect in effects.durable if not self._for_the_dead(effect)]
            super()._took(f.Effects(durable=arrives, kills=effects.kills))
        self.synced = len(self.records)

    def _for_the_dead(self, effect: f.Durable) -> bool:
        """A zygote that is gone meanwhile is told nothing any more."""
        return isinstance(effect, f.Go) and effect.child.zygote not in self.state.zygotes

    def compact(self) -> None:
        self.snapshot, self.covered = [msgpack.packb(chunk) for chunk in self.state.dump()], self.synced

    def crash(self) -> None:
        """Begin again with what is on disk."""
        del self.records[self.synced :]
        self.on = True
        self.held.clear()
        state = State()
        for chunk in self.snapshot:
            state.load(msgpack.unpackb(chunk))
        for record in self.records[self.covered :]:
            state.apply(r.from_wire(msgpack.unpackb(msgpack.packb(r.to_wire(record)))))
        self.machine = Machine(state, self.machine.rules)
        self._took(self.machine.begin(self.now, "boot"))


class MachineOnADisk(MachineAgainstModel):
    """``saved`` is the model as of the last sync."""

    bench: DiskBench
    saved: Any

    @initialize()
    def begin(self) -> None:
        super().begin()
        self.bench = DiskBench()

    @precondition(lambda self: self.bench.on)
    @rule()
    def disk_off(self) -> None:
        self.bench.on = False
        self.saved = copy.deepcopy((self.model, self.paused, self.told))

    @precondition(lambda self: not self.bench.on)
    @rule()
    def disk_on(self) -> None:
        self.bench.sync()

    @precondition(lambda self: self.bench.on)
    @rule()
    def compact(self) -> None:
        self.bench.compact()

    @rule(adopted=st.booleans())
    def crash(self, adopted: bool) -> None:
        """What was decided since the last sync is undone; what was carried out before it stays."""
        bench = self.bench
        if not bench.on:
            self.model, self.paused, self.told = self.saved
        bench.crash()
        running = {job_id: key for key, job_id in bench.state.children.items()}
        (uuid,) = bench.state.zygotes
        if not adopted and any(bench.state.jobs[job].losses == 2 for job in running):
            adopted = True  # the model does not count losses
        if adopted:
            self._adopt(uuid, running)
        else:
            bench.running.clear()
            bench.step(e.ZygoteGone("default", uuid), e.ZygoteUp("default", "z" + uuid, 1, 1, "boot"))
            for job in running:
                self.model[job]["state"] = "cancelled" if self.model[job]["cancel"] else "queued"
        bench.step()
        for model in self.model.values():
            if model["state"] == "scheduled" and model["due"] <= bench.t:
                model["state"] = "queued"
        self._dispatch()

    def _adopt(self, uuid: str, running: dict[int, tuple[str, int]]) -> None:
        kids = frozenset(kid for _, kid in running.values())
        self.bench.running.clear()
        self.bench.step(e.ZygoteAdopted("default", uuid, True, kids))
        assert set(self.bench.running) == set(running), "each is told to go on"


EXAMPLES, STEPS = tiers.size(500, 20_000, 200_000), tiers.size(100, 200, 200)


@pytest.mark.tier("T16")
class TestMachineOnADisk(MachineOnADisk.TestCase):
    settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None)

    def runTest(self) -> None:  # noqa: N802  # as unittest calls it
        super().runTest()
        tiers.report("T16", "random requests against a model", cases=EXAMPLES, steps_max=STEPS, differences=0)
