"""What happens next: the agenda of a simulated world, and which faults it has.

Everything random comes from one generator that is seeded here. Faults are a "swarm": each seed has a random few of all
kinds, at random rates, because a world with all of them at once hides what a world with two of them finds.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable

from clock import SimClock

# Kinds of faults that happen now and then: the mean time between two, in seconds, at the highest and the lowest rate.
EVENTS = {
    "kill supervisor": (15.0, 150.0),
    "power loss": (40.0, 300.0),
    "stop and start": (40.0, 300.0),
    "kill zygote": (15.0, 150.0),
    "recycle pool": (20.0, 200.0),
    "reload config": (30.0, 300.0),
    "idle child dies": (5.0, 60.0),
    "disk refuses": (30.0, 200.0),
    "disk full": (30.0, 200.0),
    "wall clock set": (10.0, 100.0),
    "connection lost": (5.0, 60.0),
    "client dies": (30.0, 200.0),
    "client stands still": (20.0, 120.0),
    "supervisor stands still": (10.0, 60.0),
}
# Kinds that strike a single operation: the highest and the lowest chance.
CHANCES = {
    "dies at a point": (0.05, 0.003),
    "no child": (0.3, 0.02),
    "no zygote": (0.4, 0.05),
    "no adoption": (0.5, 0.1),
    "unkillable": (0.3, 0.02),
    "orphans": (0.9, 0.1),
    "slow sync": (0.2, 0.01),
    "slow network": (0.3, 0.02),
    "reply lost": (0.2, 0.02),
    "slow history": (0.5, 0.1),
    "history refuses": (0.5, 0.1),
    "archivist fails": (0.5, 0.1),
    "exit told twice": (0.3, 0.05),
    "talkative": (0.5, 0.1),
}
KIND_SHARES = (0.1, 0.3, 0.6)  # of all kinds, so many in one world


class Faults:
    """The mix of one seed: ``every`` has the mean seconds between two events, ``chances`` the chance per operation."""

    def __init__(self, rng: random.Random) -> None:
        share = rng.choice(KIND_SHARES)
        self.every = {kind: _between(rng, *bounds) for kind, bounds in EVENTS.items() if rng.random() < share}
        self.chances = {kind: _between(rng, *bounds) for kind, bounds in CHANCES.items() if rng.random() < share}

    def end(self) -> None:
        """From now on everything works."""
        self.every.clear()
        self.chances.clear()

    def __str__(self) -> str:
        every = [f"{kind} every {mean:.0f} s" for kind, mean in self.every.items()]
        return ", ".join([*every, *(f"{kind} {chance:.0%}" for kind, chance in self.chances.items())]) or "none"


class Scheduler:
    """The agenda. ``pick`` and its like are the only sources of chance in a world."""

    def __init__(self, seed: int, clock: SimClock) -> None:
        self.rng = random.Random(seed)
        self.clock = clock
        self.faults = Faults(self.rng)
        self._agenda: list[tuple[float, float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, t: float, act: Callable[[], None]) -> None:
        """Do it at this true time; of those with the same time, any may come first."""
        self._count += 1
        heapq.heappush(self._agenda, (t, self.rng.random(), self._count, act))

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        self.at(self.clock.t + seconds, act)

    def next(self) -> bool:
        """Let the next thing happen; False if there is none."""
        if not self._agenda:
            return False
        t, _, _, act = heapq.heappop(self._agenda)
        self.clock.t = max(self.clock.t, t)
        act()
        return True

    # -- chance --------------------------------------------------------------------------------------------------------

    def strikes(self, kind: str) -> bool:
        """Whether this fault happens to the present operation."""
        chance = self.faults.chances.get(kind)
        return chance is not None and self.rng.random() < chance

    def delay(self, typical_s: float, slow: str | None = None) -> float:
        """How long something takes; a hundred times as long or more if ``slow`` strikes."""
        factor = self.rng.uniform(50.0, 3000.0) if slow is not None and self.strikes(slow) else 1.0
        return typical_s * self.rng.uniform(0.2, 2.0) * factor

    def gap(self, mean_s: float) -> float:
        """Time between two events that have nothing to do with each other."""
        return self.rng.expovariate(1.0 / mean_s)


def _between(rng: random.Random, one: float, other: float) -> float:
    """Evenly on a scale of factors."""
    return math.exp(rng.uniform(math.log(one), math.log(other)))
