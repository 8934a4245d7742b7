"""When hidden values of jobs that have ended are to leave the journal.

Owns two moments, since while one compaction is under way more such jobs end, and the next one is for those. What is
hidden, and what a snapshot leaves out, is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable


class HiddenValues:
    """Times are boot time, in seconds.

    Args:
        within: for how long the journal may hold them.
    """

    def __init__(self, within: Callable[[], float]) -> None:
        self._within = within
        self._since: float | None = None  # the journal holds some
        self._anew: float | None = None  # as well, beyond what the compaction under way takes in

    def dropped(self, now: float, under_way: bool) -> None:
        """A job with hidden values has ended. ``under_way``: a compaction is, which may not take it in."""
        if under_way:
            self._anew = now if self._anew is None else self._anew
        else:
            self._since = now if self._since is None else self._since

    def due_at(self) -> float | None:
        """When the journal is to be compacted for their sake."""
        return None if self._since is None else self._since + self._within()

    def are_due(self, now: float) -> bool:
        due_at = self.due_at()
        return due_at is not None and due_at <= now

    def gone(self) -> None:
        """The compaction that was under way is done."""
        self._since, self._anew = self._anew, None

    def put_off(self, now: float) -> None:
        """It failed: it is not tried again at once."""
        if self._since is not None or self._anew is not None:
            self._since, self._anew = now, None
