"""How a job is to be treated: the one place that knows which of the places that may say so wins.

Precedence: the call, then ``[jobs.X]``, ``@task``, ``[queues.X]``, ``[defaults]``. A retry policy is put together key
by key. Knows nothing of names and arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..protocol import options
from ..protocol.errors import UnknownQueue
from ..protocol.job import Policy, RetryPolicy
from .settings import Settings

_INTERNED_MAX = 10_000
Given = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Settled:
    """What a job was given when all was said. ``expires_s`` counts from the submit."""

    queue: str
    priority: int
    policy: Policy
    expires_s: float | None


class Policies:
    """One for each config in force. Equal policies are the same object, since a million jobs may share one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._interned: dict[Policy, Policy] = {}

    def settle(self, call: Given, alias: Given, task: Given) -> Settled:
        """What holds for a job.

        Args:
            call, alias, task: parsed options of ``protocol/options.py``; others than those of a policy are left alone.

        Raises:
            UnknownQueue: the config declares no such queue.
        """
        queue = self.queue(call, alias, task)
        layers = (self._settings.defaults, self._settings.queues[queue].options, task, alias, call)
        merged: dict[str, Any] = {}
        retry: dict[str, Any] = {}
        for layer in layers:
            merged.update(layer)
            retry.update(layer.get("retry", {}))
            if "retries" in layer:
                retry["max_attempts"] = layer["retries"] + 1
        return Settled(queue, merged["priority"], self._policy(merged, retry), merged["expires"])

    def queue(self, call: Given, alias: Given, task: Given) -> str:
        """The queue of a job; raises UnknownQueue."""
        for layer in (call, alias, task, self._settings.defaults):
            if "queue" in layer:
                name: str = layer["queue"]
                break
        if name not in self._settings.queues:
            known = options.nearest_hint(name, self._settings.queues)
            raise UnknownQueue(f"the config declares no queue {name!r}", hint=known)
        return name

    def _policy(self, merged: Given, retry: Given) -> Policy:
        delay = retry["delay"]
        policy = Policy(
            retry=RetryPolicy(
                max_attempts=retry["max_attempts"],
                delays_s=tuple(delay) if isinstance(delay, list | tuple) else (delay,),
                backoff=retry["backoff"],
                max_delay_s=retry["max_delay"],
                jitter=retry["jitter"],
                on=tuple(retry["on"]),
                give_up_on=tuple(retry["give_up_on"]),
            ),
            timeout_s=merged["timeout"],
            soft_timeout_s=merged["soft_timeout"],
            stall_timeout_s=merged["stall_timeout"],
            grace_s=merged["grace"],
            on_lost=merged["on_lost"],
        )
        if len(self._interned) >= _INTERNED_MAX:
            self._interned.clear()
        return self._interned.setdefault(policy, policy)
