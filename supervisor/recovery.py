"""From what lies on disk to a machine that may begin: replay the journal, fence what a dead supervisor left behind.

Until running jobs can be taken over again, every zygote in the journal is fenced: it and all that it ever started are
killed and waited for before any of its jobs may run once more.
"""

from __future__ import annotations

import logging
import socket
from dataclasses import dataclass
from pathlib import Path

from ..conf.settings import JournalSettings
from .core import events as e
from .core import records as r
from .core.state import State
from .core.transitions import IllegalRecord
from .journal.journal import Journal
from .journal.replay import replay
from .unfenced import fence_zygote

log = logging.getLogger("jobyard")


@dataclass(frozen=True, slots=True)
class Recovered:
    state: State
    journal: Journal


def recover(directory: Path, settings: JournalSettings, kept_attempts: int) -> Recovered:
    """Replay what is there and open the journal for more.

    Raises:
        JournalDamaged, BadRecord, IllegalRecord, OSError: it cannot be trusted, or not be read; nothing was changed.
    """
    recovery = Journal.open(directory, settings)
    state = State(kept_attempts)
    replayed = replay(recovery, recovery.groups(), state, r.from_wire, IllegalRecord)
    if replayed.skipped:
        log.error("journal: it was repaired; %d records that rest on lost ones are left out", replayed.skipped)
    journal = recovery.begin()
    for note in recovery.notes:
        log.warning("journal: %s", note)
    if state.jobs:
        log.info("journal: %d jobs, %d of them unfinished", len(state.jobs), state.unfinished_count)
    return Recovered(state, journal)


def sweep_sockets(directory: Path) -> None:
    """Remove the sockets of zygotes that have ended, which a supervisor that was killed could not do."""
    for path in directory.glob("z-*"):
        if not path.is_socket():
            continue
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            probe.setblocking(False)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
            except OSError:
                pass  # somebody listens, with whom we have nothing to do


def fence_all(state: State) -> list[e.ZygoteGone]:
    """Fence every zygote that the journal knows; one event for each."""
    events = []
    for zygote in list(state.zygotes.values()):
        running = len(state.running_in(zygote.uuid))
        if running:
            log.warning(
                "zygote %d of pool %s was left behind with %d jobs: ending them", zygote.pid, zygote.pool, running
            )
        fenced = fence_zygote(state, zygote)
        events.append(e.ZygoteGone(zygote.pool, zygote.uuid, fenced, "left behind by a dead supervisor"))
    return events
