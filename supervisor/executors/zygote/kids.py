"""One child of a zygote, as the supervisor has it in hand, and its exit as the core is told of it."""

from __future__ import annotations

import time

from ....protocol.job import Usage
from ...core.events import Child, Exit
from ..hearing import Ear
from .channel import Gone


class Kid:
    """
    Attributes:
        ear: None if its socket could not be received.
        bound: it was given an attempt.
        begun: it may have been told to begin, by this supervisor or by one before.
        output_name: of files that were made for it.
    """

    __slots__ = ("begun", "bound", "child", "ear", "exited", "output_name")

    def __init__(self, child: Child, ear: Ear | None, begun: bool = False) -> None:
        self.child = child
        self.ear = ear
        self.begun = begun
        self.bound = False
        self.exited = False
        self.output_name: str | None = None

    @property
    def void(self) -> bool:
        """Whether it was certainly never told to begin."""
        return not self.begun and (self.ear is None or self.ear.slot.base() == 0)


def exit_of(gone: Gone, void: bool) -> Exit:
    """``void`` is as of ``Exit``. No exit is later than now, whatever clock its teller goes by."""
    usage = Usage(gone.cpu_user_s, gone.cpu_system_s, gone.peak_bytes, gone.base_bytes, True)
    at = min(gone.at, time.time())
    return Exit(at, gone.exit_code, gone.signal, gone.killed, usage, gone.survivors, gone.reason, void)
