"""Records into a state. Knows a state only as something that takes chunks and records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from .reader import JournalReader

R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)


class Replayable(Protocol[R_contra]):
    """A state, empty at first."""

    def load(self, chunk: Any) -> None:
        """Take over one chunk of a snapshot."""
        ...

    def apply(self, record: R_contra) -> object: ...

    def dump(self) -> Iterator[Any]:
        """The whole state as chunks of plain values."""
        ...


@dataclass(slots=True)
class Replayed:
    """``records`` were applied; ``skipped`` did not fit, because a repair had to leave out what came before them."""

    records: int = 0
    skipped: int = 0


def replay(
    reader: JournalReader,
    groups: Iterable[list[Any]],
    state: Replayable[R],
    decode: Callable[[Any], R],
    misfit: type[Exception],
) -> Replayed:
    """Bring ``state`` to the end of ``groups``, which come from ``reader``.

    Args:
        decode: makes a record of what stands in a group.
        misfit: what ``apply`` raises for a record that does not fit. It passes through, but behind a gap.

    Raises:
        JournalDamaged, JournalTooNew, OSError, and whatever ``state`` and ``decode`` raise.
    """
    done = Replayed()
    for chunk in reader.snapshot() or ():
        state.load(chunk)
    for group in groups:
        for item in group:
            try:
                state.apply(decode(item))
            except misfit:
                if not reader.gaps:
                    raise
                done.skipped += 1
            else:
                done.records += 1
    return done
