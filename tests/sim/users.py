"""What users ask for: random requests, with the options that a world is about. They know only what they were told."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from clients import Op, SimClient
from jobyard.protocol import codec
from jobyard.protocol import messages as m
from jobyard.protocol.errors import OutcomeUnknown
from life import REF, SETTINGS
from oracle import SECRET

if TYPE_CHECKING:
    from world import World

RETRIES: list[dict[str, Any]] = [
    {},
    {"max_attempts": 1},
    {"max_attempts": 4, "delay": 0.0},
    {"max_attempts": 3, "delay": [1.0, 7.0], "backoff": 2.0, "jitter": 0.3},
    {"max_attempts": 2, "give_up_on": ["ValueError"]},
]
QUEUES = list(SETTINGS.queues)


class Users:
    """All users of a world. ``known`` are ids that they were told; ``doubtful`` the batches of
    which they do not know whether they are stored."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.scheduler.rng
        self._count = 0
        self.known: list[int] = []
        self.doubtful: list[list[m.Submission]] = []

    def ask(self, client: SimClient) -> None:
        """One request of any kind."""
        kinds = (self._submit, self._look, self._wait, self._cancel, self._change, self._remove, self._set_queue)
        self._rng.choices((*kinds, self._compact), (10, 3, 3, 3, 3, 1, 2, 0.5))[0](client)

    # -- submitting ----------------------------------------------------------------------------------------------------

    def _submit(self, client: SimClient) -> None:
        rng = self._rng
        if self.doubtful and rng.random() < 0.4:
            again = self.doubtful.pop(rng.randrange(len(self.doubtful)))
            wanted = [dataclasses.replace(one, resent=True) for one in again]
        else:
            level = rng.choice(["fsync", "fsync", "fsync", "memory"])
            wanted = [self._submission(level) for _ in range(rng.choice([1, 1, 1, 1, 4]))]
            if len(wanted) > 1 and rng.random() < 0.3:
                for one in wanted[:2]:
                    one.options.update(key="a", on_duplicate="replace")
        client.ask(m.Submit(wanted), then=self._submitted)

    def _submitted(self, op: Op) -> None:
        if op.outcome == "ok":
            self.known += [one.id for one in op.reply.jobs]
        elif op.outcome == "unknown" and not self._cannot_be_known(op):
            self.doubtful.append(op.request.jobs)

    def _cannot_be_known(self, op: Op) -> bool:
        """The supervisor has said so itself: to ask again is no use."""
        return isinstance(op.reply, OutcomeUnknown) and "pruned" in op.reply.message

    def _submission(self, level: str) -> m.Submission:
        rng = self._rng
        self._count += 1
        options: dict[str, Any] = {
            "queue": rng.choice(["default", "default", "default", "mail", "mail", "slow", "off"]),
            "priority": rng.choice([-10, 0, 0, 0, 10]),
            "retry": rng.choice(RETRIES),
            "grace": rng.choice([0.5, 3.0]),
            "durability": level,
        }
        if rng.random() < 0.25:
            options["delay"] = rng.choice([0.5, 2.0, 20.0])
        elif rng.random() < 0.1:
            options["at"] = self._world.clock.wall + rng.choice([-5.0, 5.0, 40.0])
        if rng.random() < 0.25:
            options["timeout"] = rng.choice([0.5, 5.0])
        if rng.random() < 0.15:
            options["expires"] = rng.choice([1.0, 20.0])
        if rng.random() < 0.2:
            options["key"] = rng.choice(["a", "b"])
            options["on_duplicate"] = rng.choice(["return", "raise", "replace"])
        if rng.random() < 0.25 and self.known:
            options["after"] = self._some(rng.choice([1, 1, 2, 3]))
            options["on_parent_failure"] = rng.choice(["cancel", "run"])
        if rng.random() < 0.15:
            options["on_lost"] = "fail"
        uid = f"{max(0, int(self._world.clock.wall * 1000)):012x}{self._count:020x}"
        payload = rng.randbytes(rng.randint(0, 9))
        if rng.random() < 0.2:
            payload = codec.pack_arguments((), {"secret": f"{SECRET.decode()}{self._count}"})
        return m.Submission(uid, REF, payload, options=options)

    # -- all else ------------------------------------------------------------------------------------------------------

    def _some(self, count: int) -> list[int]:
        """Of the jobs that are known, the newest most likely; now and then one that never was."""
        if not self.known or self._rng.random() < 0.02:
            return [10**9]
        newest = self.known[-8:] if self._rng.random() < 0.8 else self.known
        return sorted(set(self._rng.choices(newest, k=count)))

    def _look(self, client: SimClient) -> None:
        states = self._rng.choice([[], ["queued"], ["failed", "succeeded"]])
        client.ask(
            self._rng.choice([m.Get(self._some(self._rng.choice([1, 2, 8]))), m.List(m.Filter(states=states), 5)])
        )

    def _wait(self, client: SimClient) -> None:
        request = m.Wait(self._some(self._rng.choice([1, 1, 3])), self._rng.random() < 0.3)
        client.ask(request, self._rng.choice([1.0, 10.0, 1e6]))

    def _cancel(self, client: SimClient) -> None:
        grace_s = self._rng.choice([None, 0.0, 5.0])
        if self._rng.random() < 0.1:
            client.ask(m.Cancel(None, m.Filter(queue=self._rng.choice(QUEUES)), grace_s))
        else:
            client.ask(m.Cancel(self._some(self._rng.choice([1, 1, 3])), None, grace_s, "no longer needed"))

    def _change(self, client: SimClient) -> None:
        rng = self._rng
        if rng.random() < 0.5:
            client.ask(m.RetryJob(self._some(1)[0]))
            return
        options: dict[str, Any] = {"priority": rng.choice([-10, 0, 10])}
        if rng.random() < 0.4:
            options["queue"] = rng.choice(QUEUES)
        if rng.random() < 0.5:
            options["delay"] = rng.choice([0.0, 2.0, 30.0])
        if rng.random() < 0.3:
            options["timeout"] = rng.choice([None, 5.0])
        client.ask(m.SetJob(self._some(rng.choice([1, 3])), options))

    def _remove(self, client: SimClient) -> None:
        if self._rng.random() < 0.7:
            client.ask(m.Remove(self._some(2)))
        else:
            client.ask(m.Prune(self._rng.choice([0.0, 5.0, 60.0]), self._rng.choice([[], ["failed"]])))

    def _compact(self, client: SimClient) -> None:
        client.ask(m.Compact(), self._rng.choice([10.0, 1e6]))
        if self._rng.random() < 0.5:  # nor does everybody wait until it is done before asking again
            again_s = self._rng.uniform(0.0, 2.0)
            self._world.scheduler.after(again_s, lambda: self._compact_again(client))

    def _compact_again(self, client: SimClient) -> None:
        if client in self._world.clients:  # else it has died meanwhile
            client.ask(m.Compact(), 10.0)

    def _set_queue(self, client: SimClient) -> None:
        mode = self._rng.choice(["open", "open", "open", "paused", "draining"])
        client.ask(m.SetQueue(mode, self._rng.choice([*QUEUES, *QUEUES, None])))
