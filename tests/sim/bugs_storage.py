"""Planted bugs of what happens around the disk: outbox, driver, desk, journal, snapshot."""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import Any
from unittest import mock

from disk import SimDisk, SimJournal
from jobyard.supervisor import doubt
from jobyard.supervisor.core import effects as f
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core import state as states
from jobyard.supervisor.core.state import State
from jobyard.supervisor.driver import Driver
from jobyard.supervisor.outbox import Outbox
from jobyard.supervisor.parked import Parked
from jobyard.supervisor.storage import Storage
from planting import Patch, bug, instead

# -- the outbox and the driver -----------------------------------------------------------------------------------------


def _at_once(kind: type) -> list[Patch]:
    def make(add: Any) -> Any:
        def wrong(self: Outbox, effects: Any, ticket: int, synced: int) -> None:
            for effect in effects:
                if isinstance(effect, kind):
                    self._perform(effect)
                else:
                    add(self, [effect], ticket, synced)

        return wrong

    return [instead(Outbox, "add", make)]


@bug("outbox", "replies do not wait for the sync")
def reply_before_sync() -> list[Patch]:
    return _at_once(f.Reply)


@bug("outbox", "attempts do not wait for the sync of their start")
def go_before_sync() -> list[Patch]:
    return _at_once(f.Go)


@bug("outbox", "exits are acknowledged before the end is on disk")
def exit_acknowledged_early() -> list[Patch]:
    return _at_once(f.AckExit)


@bug("outbox", "the stream tells what is not on disk yet")
def notice_before_sync() -> list[Patch]:
    return _at_once(f.Notify)


@bug("outbox", "what waits is let go one group too early")
def one_group_too_early() -> list[Patch]:
    return [instead(Outbox, "release", lambda release: lambda self, synced: release(self, synced + 1))]


@bug("outbox", "a kill overtakes the start of what it is to end")
def kill_overtakes_start() -> list[Patch]:
    def make(add_kills: Any) -> Any:
        def wrong(self: Outbox, kills: Any, ticket: int, synced: int, now: float) -> None:
            for kill in kills:
                self._perform(kill)

        return wrong

    return [instead(Outbox, "add_kills", make)]


@bug(
    "driver",
    "ids are told before the block that they are from is on disk",
    ("submit handed over, not written", "supervisor"),
)
def ids_told_before_reserved() -> list[Patch]:
    def make(commit: Any) -> Any:
        def wrong(self: Driver, effects: f.Effects, now: e.Now) -> None:
            effects.reserves = False
            commit(self, effects, now)

        return wrong

    return [instead(Driver, "commit", make)]


@bug("driver", "when the disk works again, what had waited for it is forgotten")
def forgotten_after_probe() -> list[Patch]:
    def make(take: Any) -> Any:
        def wrong(self: Outbox, is_reply: Any) -> Any:
            taken = take(self, is_reply)
            self._waiting = deque()
            return taken

        return wrong

    return [instead(Outbox, "take_replies", make)]


@bug("storage", "the disk is not tried again once it has refused")
def no_probe() -> list[Patch]:
    return [mock.patch.object(Storage, "_mend", lambda self, now, failed: setattr(self, "_probe_at", None))]


@bug(
    "doubt",
    "a submit that is sent again is refused for a full disk or for their number, though it was stored the first time",
)
def refused_though_stored() -> list[Patch]:
    return [mock.patch.object(doubt, "told", lambda request, error, state=None: error)]


@bug("desk", "whoever waits for a job is not woken by its cancel")
def waiter_not_woken_by_cancel() -> list[Patch]:
    def make(notify: Any) -> Any:
        def wrong(self: Driver, notice: f.Notify) -> None:
            notify(self, dataclasses.replace(notice, job_id=0) if notice.kind == "cancelled" else notice)

        return wrong

    return [instead(Driver, "_notify", make)]


@bug("parked", "of several that wait for a job only the first is answered")
def one_waiter_only() -> list[Patch]:
    def make(finished: Any) -> Any:
        def wrong(self: Parked, job_id: int, answer: Any) -> None:
            if job_id in self._waits:
                self._waits[job_id] = self._waits[job_id][:1]
            finished(self, job_id, answer)

        return wrong

    return [instead(Parked, "finished", make)]


# -- the journal -------------------------------------------------------------------------------------------------------


@bug("journal", "the snapshot misses the last group of its segment")
def snapshot_misses_a_group() -> list[Patch]:
    def make(replay: Any) -> Any:
        def wrong(self: SimDisk, kept: int, upto: int | None = None) -> State:
            last = None if upto is None else self.segments[upto].groups
            if not last:
                return replay(self, kept, upto)
            group = last.pop()
            state = replay(self, kept, upto)
            last.append(group)
            return state

        return wrong

    return [instead(SimDisk, "replay", make)]


@bug("journal", "the newest segment is replayed first")
def segments_out_of_order() -> list[Patch]:
    def make(replay: Any) -> Any:
        def wrong(self: SimDisk, kept: int, upto: int | None = None) -> State:
            tail = sorted(self.segments, reverse=True)
            turned = {number: self.segments[other] for number, other in zip(sorted(self.segments), tail, strict=True)}
            with mock.patch.object(self, "segments", turned):
                return replay(self, kept, upto)

        return wrong

    return [instead(SimDisk, "replay", make)]


@bug("journal", "after a failure the new file holds what was synced, not what is in memory")
def restart_with_old_state() -> list[Patch]:
    def make(restart: Any) -> Any:
        def wrong(self: SimJournal, chunks: Any) -> None:
            restart(self, list(self._disk.replay(5).dump()))

        return wrong

    return [instead(SimJournal, "restart", make)]


@bug("journal", "a sync that fails is taken for done")
def failed_sync_ignored() -> list[Patch]:
    def make(sync: Any) -> Any:
        def wrong(self: SimJournal, items: Any) -> None:
            if self._disk.refuses:
                self.synced = items[-1].ticket
                self._wake()
            else:
                sync(self, items)

        return wrong

    return [instead(SimJournal, "_sync_group", make)]


@bug("state", "a snapshot brings back no uids of finished jobs")
def uids_lost_in_snapshot() -> list[Patch]:
    def make(place: Any) -> Any:
        def wrong(self: State, job: Any) -> None:
            place(self, job)
            if job.finished_at is not None:
                self.uids[job.uid + "x"] = self.uids.pop(job.uid)

        return wrong

    return [instead(State, "_place", make)]


@bug("state", "a snapshot brings back no keys")
def keys_lost_in_snapshot() -> list[Patch]:
    def make(place: Any) -> Any:
        def wrong(self: State, job: Any) -> None:
            place(self, job)
            if self.keys.get(job.key) == job.id:
                del self.keys[job.key]

        return wrong

    return [instead(State, "_place", make)]


@bug(
    "snapshot",
    "a snapshot forgets that a cancel was asked for",
    ("snapshot written, nothing evicted", "supervisor"),
)
def cancel_lost_in_snapshot() -> list[Patch]:
    def make(to_wire: Any) -> Any:
        def wrong(job: Any) -> list[Any]:
            wire = to_wire(job)
            wire[7] = None
            return list(wire)

        return wrong

    return [instead(states, "job_to_wire", make)]
