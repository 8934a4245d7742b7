"""What the service manager is told, in the words of sd_notify(3): ready, reloading, stopping, and that the loop turns.

Owns those words and when the next ping of the watchdog is due. The loop itself sends the pings, so that they end when
it hangs. Without a service manager nothing is sent and nobody is woken.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import MutableMapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .driver import Driver

log = logging.getLogger("jobyard")
PINGS_PER_DEADLINE = 2
STARTING, READY, RELOADING, STOPPING = "starting", "ready", "reloading", "stopping"


class ServiceManager:
    """Tells what the driver is at. Takes the variables that are meant for this process alone out of ``environ``."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._address = _address(environ.pop("NOTIFY_SOCKET", ""))
        self._ping_s = _ping_s(environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", ""))
        self._ping_at = None if self._address is None or self._ping_s is None else 0.0
        self._phase = STARTING
        self._status = ""

    def wake_at(self) -> float | None:
        """Boot time of the next ping; None without a watchdog."""
        return self._ping_at

    def reloading(self) -> None:
        """A reload begins. ``mind`` tells its end."""
        if self._phase == READY:
            self._phase = RELOADING
            self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def mind(self, driver: Driver, now: float) -> None:
        """Tell what is new. To be called in every turn of the loop."""
        if self._address is None:
            return
        if self._ping_at is not None and self._ping_s is not None and now >= self._ping_at:
            self._ping_at = now + self._ping_s
            self._send("WATCHDOG=1")
        if driver.machine.stopping is not None:
            if self._phase != STOPPING:
                self._phase = STOPPING
                self._send("STOPPING=1")
        elif self._phase in (STARTING, RELOADING) and driver.office.settled:
            self._phase = READY
            self._send("READY=1", f"MAINPID={os.getpid()}")
        self._tell_status(driver)

    def _tell_status(self, driver: Driver) -> None:
        status = self._phase
        if self._phase == STOPPING:
            status = f"stopping: {len(driver.machine.state.children)} jobs run"
        elif driver.degraded is not None:
            status = f"the journal cannot be written ({driver.degraded}): nothing new is accepted"
        if status != self._status:
            self._status = status
            self._send(f"STATUS={status}")

    def _send(self, *lines: str) -> None:
        """Never waits: to a manager that does not listen, nothing can be told."""
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.setblocking(False)
                out.sendto("\n".join(lines).encode(errors="backslashreplace"), self._address)
        except OSError as error:
            log.warning("the service manager cannot be told %s: %s", lines[0], error)


def _address(text: str) -> str | None:
    """The address of a socket, whose name may be abstract; None if there is none that can be reached."""
    if text.startswith("@"):
        return "\0" + text[1:]
    if text and not text.startswith("/"):
        log.warning(
            "NOTIFY_SOCKET is %r, which is no socket of this machine: the service manager is told nothing", text
        )
    return text if text.startswith("/") else None


def _ping_s(deadline_us: str, pid: str) -> float | None:
    """Seconds between two pings; None if this process is to send none."""
    meant = not pid or pid == str(os.getpid())
    if not meant or not deadline_us.isascii() or not deadline_us.isdigit() or not int(deadline_us):
        return None
    return int(deadline_us) / 1e6 / PINGS_PER_DEADLINE
