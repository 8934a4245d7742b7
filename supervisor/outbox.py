"""Effects that wait for the disk, in order. The one place that knows what may happen before which sync.

An effect is kept with the ticket of the last record group handed to the journal when it was decided: it happens once
that group is synced. Kills go early while the disk is slow or refuses, because a job that must end has to end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from .core.effects import Go, Kill, Reply

KILL_PATIENCE_S = 1.0


class Outbox:
    """``perform`` carries one effect out."""

    def __init__(self, perform: Callable[[Any], None]) -> None:
        self._perform = perform
        self._waiting: deque[tuple[int, Any]] = deque()
        self._kills: deque[tuple[int, float, Kill]] = deque()

    def add(self, effects: Iterable[Any], ticket: int, synced: int) -> None:
        """Effects decided when ``ticket`` was the last group; at once if nothing is ahead of them."""
        for effect in effects:
            if ticket <= synced and not self._waiting:
                self._perform(effect)
            else:
                self._waiting.append((ticket, effect))

    def add_early(self, replies: list[Reply], ticket: int, synced: int) -> None:
        """Replies that wait for this group, which is an older one, and for nothing else."""
        if ticket <= synced:
            for reply in replies:
                self._perform(reply)
        else:
            self.add(replies, ticket, synced)

    def add_kills(self, kills: list[Kill], ticket: int, synced: int, now: float) -> None:
        """A kill never overtakes the start of what it is to end: it would hit nothing, and the attempt would run."""
        starting = {effect.child for _, effect in self._waiting if isinstance(effect, Go)} if kills else set()
        for kill in kills:
            if kill.child in starting:
                self._waiting.append((ticket, kill))
            elif ticket <= synced:
                self._perform(kill)
            else:
                self._kills.append((ticket, now, kill))

    def release(self, synced: int) -> None:
        """The journal is synced up to this ticket."""
        while self._kills and self._kills[0][0] <= synced:
            self._perform(self._kills.popleft()[2])
        while self._waiting and self._waiting[0][0] <= synced:
            self._perform(self._waiting.popleft()[1])

    def release_late_kills(self, now: float) -> None:
        """Kills that have waited for the disk long enough."""
        while self._kills and self._kills[0][1] + KILL_PATIENCE_S <= now:
            self._perform(self._kills.popleft()[2])

    def release_all_kills(self) -> None:
        while self._kills:
            self._perform(self._kills.popleft()[2])

    def take_replies(self, is_reply: Callable[[Any], bool]) -> list[Any]:
        """Remove and give back the waiting replies: their records are in doubt."""
        taken = [effect for _, effect in self._waiting if is_reply(effect)]
        self._waiting = deque(item for item in self._waiting if not is_reply(item[1]))
        return taken

    def starts(self) -> int:
        """How many attempts wait for the disk before they may run."""
        return sum(isinstance(effect, Go) for _, effect in self._waiting)

    def wake_at(self) -> float | None:
        """Boot time at which a waiting kill becomes late."""
        return self._kills[0][1] + KILL_PATIENCE_S if self._kills else None

    def __len__(self) -> int:
        return len(self._waiting) + len(self._kills)
