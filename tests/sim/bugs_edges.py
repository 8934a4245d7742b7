"""Planted bugs of adoption, of requests that are sent again, and of the status stream."""

from __future__ import annotations

import dataclasses
from typing import Any
from unittest import mock

from jobyard.client import session
from jobyard.client.events import Follower
from jobyard.client.session import Session
from jobyard.protocol import notices as n
from jobyard.protocol import topics
from jobyard.supervisor.core import attempts
from jobyard.supervisor.core import effects as f
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core.pools import Pools
from jobyard.supervisor.ring import Ring
from planting import Patch, bug, instead
from procs import SimZygote

# -- adoption ----------------------------------------------------------------------------------------------------------


@bug("zygote", "the go of an adopted child is taken for another attempt, which it makes as well")
def adopted_goes_twice() -> list[Patch]:
    def make(go: Any) -> Any:
        def wrong(self: SimZygote, kid: int, order: Any) -> None:
            child = self.children.get(kid)
            if child is not None and child.order is not None:
                child.order = None
            go(self, kid, order)

        return wrong

    return [instead(SimZygote, "go", make)]


@bug("zygote", "exits that nobody heard of are not told to the next supervisor")
def exits_forgotten() -> list[Patch]:
    def make(greet: Any) -> Any:
        def wrong(self: SimZygote) -> None:
            self.unacked.clear()
            greet(self)

        return wrong

    return [instead(SimZygote, "greet", make)]


@bug("pools", "children that run in an adopted zygote are called lost")
def adopted_called_lost() -> list[Patch]:
    def make(adopted: Any) -> Any:
        return lambda self, turn, event: adopted(self, turn, dataclasses.replace(event, kids=frozenset()))

    return [instead(Pools, "decide_adopted", make)]


@bug("attempts", "a start that is on disk is not followed by a go after adoption")
def go_not_sent_again() -> list[Patch]:
    def wrong(turn: Any, job: Any) -> None:
        if job.cancel is not None:
            attempts.kill(turn, job, "cancel", job.cancel.grace_s, job.cancel.reason)

    return [mock.patch.object(attempts, "go_on", wrong)]


@bug(
    "attempts",
    "a cancel that is on disk is not carried out after adoption",
    ("cancel decided, kill not sent", "supervisor"),
)
def kill_not_sent_again() -> list[Patch]:
    def wrong(turn: Any, job: Any) -> None:
        turn.durable(f.Go(attempts.child_of(job), attempts.order(job)))

    return [mock.patch.object(attempts, "go_on", wrong)]


@bug("pools", "an adopted child that was given its attempt is taken for a spare one")
def adopted_taken_for_spare() -> list[Patch]:
    def wrong(self: Pools, turn: Any, event: e.ChildReady) -> None:
        pool = self.get(event.child.pool)
        self._unproven.discard(event.child.zygote)
        if event.child.zygote != pool.zygote:
            attempts.discard(turn, event.child)
            return
        pool.asked = max(0, pool.asked - 1)
        pool.free.append(event.child)

    return [mock.patch.object(Pools, "decide_ready", wrong)]


@bug("zygote", "deadlines end with the supervisor that gave them", ("end synced, not acknowledged", "supervisor"))
def deadlines_die_with_supervisor() -> list[Patch]:
    def make(kill: Any) -> Any:
        def wrong(self: SimZygote, kid: int, kind: str, grace_s: float) -> None:
            if kind != "timeout" or self.line is not None:
                kill(self, kid, kind, grace_s)

        return wrong

    return [instead(SimZygote, "kill", make)]


# -- the network and the stream ----------------------------------------------------------------------------------------


@bug("session", "requests that were under way are not sent again after a reconnect")
def not_sent_again() -> list[Patch]:
    def make(connected: Any) -> Any:
        def wrong(self: Session) -> list[bytes]:
            before = {request_id for request_id, entry in self._pending.items() if entry.sent}
            frames = connected(self)
            return [frame for request_id, frame in zip(self._pending, frames, strict=True) if request_id not in before]

        return wrong

    return [instead(Session, "connected", make)]


@bug("session", "a request that must not be sent twice is sent twice")
def resent_though_not_twice() -> list[Patch]:
    return [mock.patch.object(session, "_resent", lambda request: _with_fresh_uids(request))]


def _with_fresh_uids(request: Any) -> Any:
    jobs = getattr(request, "jobs", None)
    if jobs is None:
        return request
    return dataclasses.replace(
        request, jobs=[dataclasses.replace(one, uid=f"{one.uid[:12]}f{one.uid[13:]}") for one in jobs]
    )


@bug("follower", "gaps in the stream are not noticed")
def gaps_not_noticed() -> list[Patch]:
    def make(published: Any) -> Any:
        def wrong(self: Follower, frames: Any) -> Any:
            if self._seq is not None:
                self._seq = max(self._seq, topics.unpack(frames).before)
            return published(self, frames)

        return wrong

    return [instead(Follower, "published", make)]


@bug("ring", "the oldest notices are gone without a word")
def truncation_not_told() -> list[Patch]:
    def make(answered: Any) -> Any:
        def wrong(self: Follower, reply: Any) -> Any:
            kept = [one for one in reply.notices if one.kind != n.TRUNCATED]
            return answered(self, dataclasses.replace(reply, notices=kept))

        return wrong

    return [instead(Follower, "answered", make)]


@bug("ring", "an answer to a follower leaves out the first notice that he missed")
def refill_off_by_one() -> list[Patch]:
    return [instead(Ring, "after", lambda after: lambda self, seq: after(self, seq + 1))]
