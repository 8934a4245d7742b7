"""The page that children share with those who watch them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jobyard.supervisor.executors.zygote.page import SLOTS, Noted, Page, Slot


@pytest.fixture
def page() -> Iterator[Page]:
    page = Page.create()
    yield page
    page.close()


def test_new_slot_is_empty(page: Page) -> None:
    slot = page.slot(3)
    assert (slot.last_beat(), slot.base(), slot.has_scratch(), slot.noted()) == (0.0, 0, False, None)


def test_what_one_side_writes_the_other_reads(page: Page) -> None:
    writer, reader = page.slot(5), page.slot(5)
    writer.beat(12.5)
    writer.set_base(1 << 33)
    writer.set_scratch()
    writer.note(Noted(1.0, None, "begun", 99.0))
    assert (reader.last_beat(), reader.base(), reader.has_scratch()) == (12.5, 1 << 33, True)
    assert reader.noted() == Noted(1.0, None, "begun", 99.0)
    writer.note(Noted(2.0, 3.0, "", 100.0))
    assert reader.noted() == Noted(2.0, 3.0, "", 100.0)


def test_slots_do_not_touch_each_other(page: Page) -> None:
    for index in (0, 1, 2, SLOTS - 1):
        page.slot(index).note(Noted(float(index), 1.0, "x" * 10_000, 0.0))
    page.slot(1).clear()
    assert page.slot(1).noted() is None
    for index in (0, 2, SLOTS - 1):
        noted = page.slot(index).noted()
        assert noted is not None and noted.done == index


def test_long_text_is_cut_between_characters(page: Page) -> None:
    slot = page.slot(0)
    slot.note(Noted(0.0, None, "ü" * 1000, 0.0))
    noted = slot.noted()
    assert noted is not None and 200 < len(noted.text) < 256 and set(noted.text) == {"ü"}


def test_text_that_cannot_be_encoded_is_replaced(page: Page) -> None:
    slot = page.slot(0)
    slot.note(Noted(0.0, None, "a\udcffb", 0.0))
    noted = slot.noted()
    assert noted is not None and noted.text == "a?b"


def test_progress_that_is_half_written_is_passed_over(page: Page) -> None:
    slot = page.slot(0)
    slot.note(Noted(1.0, None, "whole", 0.0))
    version_at = 24
    page._memory[version_at] |= 1
    assert slot.noted() is None
    slot.note(Noted(2.0, None, "whole again", 0.0))
    noted = slot.noted()
    assert noted is not None and noted.text == "whole again"


def test_slot_that_does_not_exist_is_refused(page: Page) -> None:
    for index in (-1, SLOTS):
        with pytest.raises(IndexError):
            page.slot(index)


class Memory(bytearray):
    """Lets somebody look after each write. What is packed into it goes by without a look, so nothing may be: other
    processes would see it as zeros, and then byte by byte."""

    look: Callable[[], object] = staticmethod(lambda: None)

    def __setitem__(self, at: Any, value: Any) -> None:
        super().__setitem__(at, value)
        self.look()


def test_each_step_of_a_write_shows_what_was_or_what_is_or_nothing() -> None:
    memory = Memory(512)
    writer, reader = Slot(memory, 0), Slot(memory, 0)  # type: ignore[arg-type]
    first, second = Noted(1.0, None, "a long text", 99.0), Noted(2.0, 3.0, "short", 100.0)
    writer.note(first)
    writer.beat(12.5)
    seen: list[Any] = []
    memory.look = lambda: seen.append((reader.last_beat(), reader.noted()))
    writer.note(second)
    writer.beat(13.5)
    assert seen == [(12.5, None), (12.5, None), (12.5, second), (13.5, second)]
