"""What may be submitted: names to entries, arguments against signatures, options to policies.

Made from what was found in the modules of all pools (by ``protocol/describe.py``) and the config. Refuses by name, with
the nearest thing that exists or with the reason why something that is allowed cannot be used. Imports no user code.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..protocol import options, refs
from ..protocol.errors import BadArguments, JobyardError, NotAllowed, UnknownQueue
from ..protocol.messages import CatalogEntry, CatalogProblem
from ..protocol.signatures import check_arguments
from .allow import pool_allows
from .names import Named, Names
from .policies import Policies, Settled
from .redaction import Redaction
from .settings import Settings

_NOT_KEPT = options.POLICY_OPTIONS.keys() - {"queue"}  # a call with one of these is settled anew each time
_SHOWN_CHARS = 200
_SUGGESTIONS_MAX = 500  # looking for the nearest of more would hold up the loop


@dataclass(frozen=True, slots=True)
class Resolved:
    """A name that was understood. ``name`` is for logs and lists; ``alias`` is the one it came through, if it did."""

    entry: CatalogEntry
    name: str
    alias: str | None = None


@dataclass(frozen=True)
class Built:
    """What one pool offers and what is wrong with the rest of what it allows."""

    pool: str
    entries: list[CatalogEntry]
    problems: list[CatalogProblem]


class Catalog:
    """One for each config in force.

    Attributes:
        entries: all that may be submitted, by pool and name, with their aliases.
        problems: what is allowed and cannot be used.
        redaction: what is hidden of arguments.
    """

    def __init__(self, settings: Settings, built: Sequence[Built]) -> None:
        self._settings = settings
        self._allows = {name: pool_allows(settings, name) for name in settings.pools}
        self._policies = Policies(settings)
        self.redaction = Redaction(settings)
        self._settled: dict[tuple[str, str | None, str | None], Settled] = {}
        self._pools: dict[str, dict[str, CatalogEntry]] = {}
        self.problems = [problem for part in built for problem in part.problems]
        known = {entry.ref for part in built for entry in part.entries}
        self._names = Names(known, settings.jobs, settings.namespace)
        for part in built:
            for entry in part.entries:
                self._add(entry)
        self.entries = sorted(
            (self.redaction.described(entry) for pools in self._pools.values() for entry in pools.values()),
            key=lambda entry: (entry.pool, entry.ref),
        )

    check_arguments = staticmethod(check_arguments)

    # -- names ---------------------------------------------------------------------------------------------------------

    def resolve(self, ref: str, method: str | None = None) -> Resolved:
        """The entry that a client means.

        Raises:
            NotAllowed: there is none; with the nearest name, or what is wrong with the module.
        """
        named = self._names.find(ref, method or None)
        if named is None:
            raise self._refusal(f"{ref}.{method}" if method else ref)
        if named.ref not in self._pools:
            raise self._unusable(named.ref, f"{named.alias} is {named.ref}, but")
        return Resolved(self._entry(named), named.name, named.alias)

    def _entry(self, named: Named) -> CatalogEntry:
        """The entry in the pool where the job would run; if it is not there, ``settle`` says so."""
        pools = self._pools[named.ref]
        first = next(iter(pools.values()))
        if len(pools) == 1:
            return first
        alias = self._alias_options(named.ref, named.alias)
        try:
            queue = self._policies.queue({}, alias, first.options)
        except JobyardError:
            return first
        return pools.get(self._settings.queues[queue].pool, first)

    def _refusal(self, text: str) -> NotAllowed:
        if len(text) > _SHOWN_CHARS:
            return NotAllowed(f"{text[:_SHOWN_CHARS]!r}... is longer than any name that is allowed")
        for ref in filter(self._is_allowed, self._meant(text)):
            if ref == text or self._trouble(ref):
                return self._unusable(ref, f"{ref} is allowed, but")
        if refs.is_private(text):
            advice = f"add it to allow in {self._settings.file}, by its full name"
            why = f"{text!r} is not allowed: names that begin with _ are not offered"
            return NotAllowed(why, hint=advice if refs.is_ref(text) else "jobctl catalog")
        return NotAllowed(f"{text!r} is not allowed", hint=self._advice(text))

    def _advice(self, text: str) -> str:
        """What to write instead of a name that stands for nothing; other runners have ``\\`` and ``@`` in theirs."""
        dotted = text.replace("\\", ".").replace("@", ".")
        close = self._nearest(dotted)
        if close:
            return f"did you mean {close!r}?"
        cls = dotted.replace(":", ".").rpartition(".")[0]
        known = (spelling.replace(":", ".").rpartition(".") for spelling in self._names.spellings())
        methods = sorted({method for owner, _, method in known if owner == cls and _last_part(cls)[:1].isupper()})
        if methods:
            return f"known: {', '.join(methods)}"
        return f"add it to allow in {self._settings.file}" if refs.is_ref(text) else "jobctl catalog"

    def _nearest(self, text: str) -> str | None:
        """The spelling most like ``text``, whose last part must be like that of ``text`` for itself.

        Modules are long and much alike: by the whole text, any function of the same module would be near.
        """
        spellings = sorted(set(self._names.spellings()))[:_SUGGESTIONS_MAX]
        last = options.nearest(_last_part(text), {_last_part(known) for known in spellings})
        close = [known for known in spellings if _last_part(known) == last]
        if close and _last_part(text) == text:
            return min(close, key=len)
        return options.nearest(text, close)

    def _meant(self, text: str) -> Iterator[str]:
        """The references that a text could have stood for, had they been there."""
        if ":" in text:
            yield text
            yield from (f"{namespace}.{text}" for namespace in self._settings.namespace)
        else:
            yield from (f"{namespace}:{text}" for namespace in self._settings.namespace)
            words = text.split(".")
            yield from (
                f"{'.'.join(words[:at])}:{'.'.join(words[at:])}" for at in (len(words) - 1, len(words) - 2) if at > 0
            )

    def _is_allowed(self, ref: str) -> bool:
        return refs.is_ref(ref) and any(refs.allowed(patterns, ref) for patterns in self._allows.values())

    def _unusable(self, ref: str, so_far: str) -> NotAllowed:
        """Why something that the config allows is not in the catalogue."""
        trouble = self._trouble(ref)
        if trouble:
            return NotAllowed(f"{so_far} {trouble}", hint="jobctl reload, once that is mended")
        module, _, name = ref.partition(":")
        known = [ref for ref in self._pools if ref.startswith(f"{module}:")]
        close = options.nearest(name, [ref.partition(":")[2] for ref in known])
        hint = f"did you mean '{module}:{close}'?" if close else "jobctl reload if it is new, or jobctl catalog"
        return NotAllowed(f"{so_far} {module} has no public function {name!r}", hint=hint)

    def _trouble(self, ref: str) -> str | None:
        """What went wrong with the module or the pool of ``ref``, if something did."""
        module = ref.partition(":")[0]
        for problem in self.problems:
            if refs.matches(problem.what, ref):
                return problem.why.replace(f"{module} failed to import", "its module failed to import")
        pools = (problem.why for problem in self.problems if problem.what == f"pool {problem.pool}")
        return next((f"the catalogue of its pool is missing: {why}" for why in pools), None)

    # -- options -------------------------------------------------------------------------------------------------------

    def settle(self, resolved: Resolved, call: Mapping[str, Any]) -> Settled:
        """Queue, priority and policy of a job.

        Args:
            call: the options given with the submit, as parsed by ``protocol/options.py``.

        Raises:
            UnknownQueue: the config declares no such queue.
            NotAllowed: the pool of that queue does not have this job.
        """
        if call.keys().isdisjoint(_NOT_KEPT):
            key = (resolved.entry.ref, resolved.alias, call.get("queue"))
            settled = self._settled.get(key)
            if settled is None:
                settled = self._settled[key] = self._settle(resolved, call)
            return settled
        return self._settle(resolved, call)

    def _settle(self, resolved: Resolved, call: Mapping[str, Any]) -> Settled:
        ref = resolved.entry.ref
        alias = self._alias_options(ref, resolved.alias)
        try:
            settled = self._policies.settle(call, alias, resolved.entry.options)
        except UnknownQueue as error:
            raise error if "queue" in call else _unknown_queue(resolved.entry, error.hint) from None
        self.check_queue(ref, settled.queue)
        return settled

    def check_queue(self, ref: str, queue: str) -> None:
        """Raises NotAllowed if the pool of that queue does not have this job; UnknownQueue: there is no such queue."""
        declared = self._policies.queue({"queue": queue}, {}, {})
        pool, pools = self._settings.queues[declared].pool, self._pools.get(ref, {})
        if pool not in pools:
            other = f", or choose a queue of pool {next(iter(pools))!r}" if pools else ""
            raise NotAllowed(
                f"{ref} cannot run in queue {queue!r}: its pool {pool!r} does not have it",
                hint=f"add it to allow in [pools.{pool}]{other}",
            )

    def _alias_options(self, ref: str, alias: str | None) -> Mapping[str, Any]:
        """``[jobs.X]`` follows the target: a name that is no alias takes the first alias that allows it."""
        if alias is None:
            alias = next(iter(self._names.aliases_of(ref)), None)
        return self._settings.jobs[alias].options if alias is not None else {}

    def _add(self, entry: CatalogEntry) -> None:
        given: dict[str, Any] = {}
        try:
            given = options.parse(options.POLICY_OPTIONS, entry.options)
        except BadArguments as error:
            self._complain(entry, f"its @task has options it cannot have: {error.message}")
        queue = given.get("queue")
        if queue is not None and queue not in self._settings.queues:
            hint = options.nearest_hint(queue, self._settings.queues)
            self._complain(entry, f"its @task names the queue {queue!r}, which is not declared ({hint})")
        whole = dataclasses.replace(entry, options=given, aliases=self._names.aliases_of(entry.ref))
        self._pools.setdefault(entry.ref, {})[entry.pool] = whole

    def _complain(self, entry: CatalogEntry, why: str) -> None:
        self.problems.append(CatalogProblem(entry.ref, why, entry.pool))


def _last_part(name: str) -> str:
    return re.split(r"[.:/]", name)[-1]


def _unknown_queue(entry: CatalogEntry, hint: str) -> UnknownQueue:
    """The config's own sections were checked when it was read, so that what the call did not name, ``@task`` did."""
    place = f" ({entry.file}:{entry.line})" if entry.file else ""
    queue = entry.options["queue"]
    return UnknownQueue(
        f"the @task of {entry.ref}{place} names the queue {queue!r}, which the config does not declare", hint=hint
    )
