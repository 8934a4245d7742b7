"""What is kept for those who missed some: consecutive numbers, both bounds, and where nothing is missing from."""

from __future__ import annotations

from jobyard.supervisor.core.effects import Notify
from jobyard.supervisor.ring import Entry, Ring


def entry(kind: str = "started", text: str | None = None, ids: tuple[int, ...] = ()) -> Entry:
    return Entry(kind, Notify(kind, 1, ids=ids), text)


def filled(count: int, count_max: int = 10, bytes_max: int = 1 << 20) -> Ring:
    ring = Ring(3, count_max, bytes_max)
    for number in range(1, count + 1):
        assert ring.add(entry(text=str(number))) == number
    return ring


def kept(ring: Ring, seq: int) -> list[tuple[int, str | None]]:
    return [(number, one.text) for number, one in ring.after(seq)]


def test_numbers_start_at_one_and_an_empty_ring_misses_nothing() -> None:
    ring = Ring(3, 10, 1 << 20)
    assert (ring.head, ring.tail, kept(ring, 0)) == (0, 0, [])
    assert ring.add(entry()) == 1


def test_entries_after_a_number_keep_their_numbers_when_older_ones_are_gone() -> None:
    ring = filled(25)
    assert (ring.head, ring.tail) == (25, 15)
    assert kept(ring, 22) == [(23, "23"), (24, "24"), (25, "25")]
    assert kept(ring, 0) == [(number, str(number)) for number in range(16, 26)]
    assert kept(ring, 25) == []


def test_long_texts_and_many_ids_count_against_the_bytes() -> None:
    ring = Ring(3, 1000, 10_000)
    for _ in range(100):
        ring.add(entry(text="x" * 1000))
    assert ring.head - ring.tail == 6
    ring.add(entry("pruned", ids=tuple(range(1, 201))))
    assert ring.head - ring.tail == 1


def test_the_newest_stays_even_if_it_alone_is_over_the_bytes() -> None:
    ring = Ring(3, 1000, 600)
    ring.add(entry(text="x" * 1000))
    ring.add(entry(text="y" * 1000))
    assert [number for number, _ in ring.after(0)] == [2]
