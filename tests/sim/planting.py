"""How a defect is planted: as patches of the product that are in force for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

Patch = Any


@dataclass(frozen=True)
class Bug:
    """``what`` somebody did wrong, and where. ``doom``: the point of the work at which it shows, if that is seldom
    reached otherwise, and who dies there."""

    name: str
    where: str
    what: str
    patches: Callable[[], list[Patch]]
    doom: tuple[str, str] | None = None

    @contextlib.contextmanager
    def planted(self) -> Iterator[None]:
        """The product has this bug meanwhile."""
        with contextlib.ExitStack() as stack:
            for patch in self.patches():
                stack.enter_context(patch)
            yield


BUGS: dict[str, Bug] = {}


def bug(where: str, what: str, doom: tuple[str, str] | None = None) -> Callable[[Callable[[], list[Patch]]], None]:
    """Enter a function that makes the patches as a bug of its name."""

    def add(patches: Callable[[], list[Patch]]) -> None:
        BUGS[patches.__name__] = Bug(patches.__name__, where, what, patches, doom)

    return add


def instead(owner: Any, name: str, make: Callable[[Any], Any]) -> Patch:
    """Replace a function by what ``make`` makes of it."""
    return mock.patch.object(owner, name, make(getattr(owner, name)))
