"""Taking over a zygote that was found: what it has told of its children, against what the journal says of them.

Owns the comparison, and when it is settled. Sends nothing and asks nobody.
"""

from __future__ import annotations

from collections.abc import Container

from ...core.events import Child, ChildReady, ZygoteAdopted
from .channel import Welcome
from .process import Found
from .procs import is_dead, start_time


class Adoption:
    """One adoption.

    Attributes:
        told: the zygote has told everything.
        strangers: children that run an attempt of which the journal knows nothing, because it was repaired; nothing may
            start before they have ended.
    """

    def __init__(self, found: Found) -> None:
        self.told = False
        self.strangers: set[int] = set()
        self._found = found
        self._running = {child.kid: child for child in found.running}
        self._kids: set[int] = set()
        self._idle: list[Child] = []

    def add(self, child: Child, bound: bool) -> None:
        """The zygote has this child; ``bound``: it was given an attempt."""
        self._kids.add(child.kid)
        if not bound:
            self._idle.append(child)
        elif child.kid not in self._running:
            self.strangers.add(child.kid)

    def objection(self, welcome: Welcome) -> str | None:
        """Why what it has told cannot be true."""
        if welcome.uuid != self._found.uuid:
            return f"another zygote answers at {self._found.socket}"
        for kid, child in self._running.items():
            if kid not in self._kids and start_time(child.pid) == child.pid_started and not is_dead(child.pid):
                return f"its process {child.pid} runs a job, and it does not know it"
        return None

    def events(self, welcome: Welcome, exited: Container[int]) -> list[ZygoteAdopted | ChildReady]:
        """What is to be told of it, besides the exits."""
        found = self._found
        current = found.current and welcome.fresh
        adopted = ZygoteAdopted(found.pool, found.uuid, current, frozenset(self._kids), found.pid)
        return [adopted, *(ChildReady(child) for child in self._idle if child.kid not in exited)]
