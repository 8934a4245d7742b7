"""Simulated time: one true time that only goes forward, and the clocks that a machine derives from it.

Boot time starts anew with each boot; wall time is true time plus an offset that anybody may change. Nothing here is
random and nothing waits.
"""

from __future__ import annotations

from collections.abc import Callable

from jobyard.supervisor.core.events import Now

EPOCH = 1_800_000_000.0


class SimClock:
    """``t`` is true time in seconds, for the simulation alone. ``stepped`` is called when the wall clock is set."""

    def __init__(self) -> None:
        self.t = 0.0
        self.boots = 1
        self.stepped: Callable[[], None] = lambda: None
        self._booted_at = -1000.0
        self._offset = EPOCH

    @property
    def boot(self) -> float:
        return self.t - self._booted_at

    @property
    def wall(self) -> float:
        return self.t + self._offset

    @property
    def boot_id(self) -> str:
        return f"boot-{self.boots}"

    def now(self) -> Now:
        return Now(self.boot, self.wall)

    def true_time(self, boot: float) -> float:
        """When this boot's boot time will be ``boot``."""
        return self._booted_at + boot

    def step_wall(self, seconds: float) -> None:
        self._offset += seconds
        self.stepped()

    def reboot(self, up_since_s: float) -> None:
        """The machine has been up again for so long."""
        self.boots += 1
        self._booted_at = self.t - up_since_s


class SimTimer:
    """As ``supervisor.clock.Timer`` with a descriptor: readable from its time on.

    Args:
        wake: has the world look again at a true time.
    """

    def __init__(self, clock: SimClock, fd: int, wake: Callable[[float], None]) -> None:
        self._clock = clock
        self._fd = fd
        self._wake = wake
        self._at: float | None = None

    def fileno(self) -> int:
        return self._fd

    def set(self, at: float | None) -> None:
        if at != self._at:
            self._at = at
            if at is not None:
                self._wake(max(self._clock.t, self._clock.true_time(at)))

    def clear(self) -> None:
        self._at = None

    def ready(self) -> bool:
        return self._at is not None and self._at <= self._clock.boot + 1e-9

    def timeout_s(self) -> None:
        return None

    def close(self) -> None:
        pass


class SimStepWatch:
    """As ``supervisor.clock.StepWatch``."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.stepped = False

    def fileno(self) -> int:
        return self._fd

    def ready(self) -> bool:
        return self.stepped

    def clear(self) -> None:
        self.stepped = False

    def close(self) -> None:
        pass
