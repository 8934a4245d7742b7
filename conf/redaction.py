"""Which values are hidden: the patterns of ``redact``, at the top of the config and in ``[jobs.X]``.

Owns what a pattern matches. What stands in the place of a hidden value is ``protocol/redaction.py``'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from ..protocol import redaction, refs
from ..protocol.messages import CatalogEntry, Parameter
from ..protocol.plain import dataclass
from .allow import alias_refs
from .settings import Settings

_NAMES_KEPT, _NAME_CHARS_KEPT = 4096, 100  # of names that were looked at: clients choose them, at any length
_HARMLESS_DEFAULTS = (None, "None", "True", "False", "''", "b''")
_SEPARATORS = "_-. "
_SEPARATOR_BYTES = _SEPARATORS.encode()
_FOLD = {ord(char): None for char in _SEPARATORS} | {ord(char): char.lower() for char in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def folded(name: str) -> str:
    """A name as it is compared: ``API-Key``, ``api_key`` and ``apiKey`` are one."""
    return name.translate(_FOLD)


class Patterns:
    """Names, each exactly or with ``*`` for anything."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._parts = [folded(pattern).split("*") for pattern in dict.fromkeys(patterns)]
        self._needles = [max(pieces, key=len).encode() for pieces in self._parts]
        self._known = lru_cache(_NAMES_KEPT)(self._match)

    def match(self, name: str) -> bool:
        """Whether values of this name are hidden."""
        return self._known(name) if len(name) <= _NAME_CHARS_KEPT else self._match(name)

    def _match(self, name: str) -> bool:
        name = folded(name)
        return any(_fits(name, pieces) for pieces in self._parts)

    def may_be_in(self, payload: bytes) -> bool:
        """False only if no name in it matches; so much cheaper than to look at each that all but a few are spared."""
        data = payload.translate(None, _SEPARATOR_BYTES).lower()
        for needle in self._needles:  # noqa: SIM110 - any() would take three times as long, for every job
            if needle in data:
                return True
        return False


def _fits(name: str, pieces: Sequence[str]) -> bool:
    """Whether these pieces are in the name, with anything in between; in one pass, however odd the name is."""
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return name == first
    at, end = len(first), len(name) - len(last)
    if at > end or not name.startswith(first) or not name.endswith(last):
        return False
    for piece in pieces[1:-1]:
        at = name.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True


@dataclass(frozen=True, slots=True)
class _Hidden:
    """What is hidden of one function's arguments: names, positions, and all positions from ``rest`` on."""

    patterns: Patterns
    positions: frozenset[int]
    rest: int | None

    def at(self, position: int) -> bool:
        return position in self.positions or (self.rest is not None and position >= self.rest)

    @property
    def any_position(self) -> bool:
        return bool(self.positions) or self.rest is not None


class Redaction:
    """One for each config in force."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[tuple[str, str], _Hidden] = {}

    def shown(self, entry: CatalogEntry, payload: bytes) -> bytes | None:
        """What may be shown of a job's arguments; None if that is all of them.

        Raises:
            ProtocolError: ``payload`` is not one of arguments.
        """
        key = entry.pool, entry.ref
        hidden = self._known.get(key)
        if hidden is None:
            hidden = self._known[key] = self._hidden(entry)
        if not hidden.any_position and not hidden.patterns.may_be_in(payload):
            return None
        return redaction.hide(payload, hidden.at, hidden.patterns.match)

    def described(self, entry: CatalogEntry) -> CatalogEntry:
        """The entry without the defaults of parameters whose values are hidden: code may take them from anywhere."""
        match = self._patterns(entry).match
        shown = [
            replace(one, default=redaction.HIDDEN) if one.default not in _HARMLESS_DEFAULTS and match(one.name) else one
            for one in entry.parameters
        ]
        return replace(entry, parameters=shown)

    def _hidden(self, entry: CatalogEntry) -> _Hidden:
        patterns = self._patterns(entry)
        return _Hidden(patterns, *_positions(patterns, entry.parameters))

    def _patterns(self, entry: CatalogEntry) -> Patterns:
        """``[jobs.X] redact`` holds for the target, whichever name was submitted."""
        jobs = [job for job in self._settings.jobs.values() if job.redact and refs.allowed(alias_refs(job), entry.ref)]
        return Patterns([*self._settings.redact, *(one for job in jobs for one in job.redact)])


def _positions(patterns: Patterns, parameters: Sequence[Parameter]) -> tuple[frozenset[int], int | None]:
    named = [one.name for one in parameters if one.kind in ("positional", "either")]
    rest = any(one.kind == "args" and patterns.match(one.name) for one in parameters)
    return frozenset(at for at, name in enumerate(named) if patterns.match(name)), len(named) if rest else None
