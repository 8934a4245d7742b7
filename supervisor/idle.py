"""Whether there is nothing left to do now, for a supervisor that is to end then (``jobctl process``).

A job that is due but cannot start, because its queue is paused or its pool does not come up, holds nothing up: what
cron starts has to end. Jobs whose time has not come wait for the next run.
"""

from __future__ import annotations

from .core.machine import Machine
from .core.pools import queue_mode
from .sites import Sites


def is_idle(machine: Machine, sites: Sites) -> bool:
    """No job runs, and none that is due can be started."""
    return not machine.state.children and not any(
        machine.state.queue(name).counts["queued"]
        and queue_mode(machine.state.queue(name), rule) != "paused"
        and sites.pools[rule.pool].state != "failed"
        for name, rule in machine.rules.queues.items()
    )
