"""One child of a zygote, as the supervisor has it in hand."""

from __future__ import annotations

from ...core.events import Child
from ..hearing import Ear


class Kid:
    """
    Attributes:
        ear: None if its socket could not be received.
        bound: it was given an attempt.
        output_name: of files that were made for it.
    """

    __slots__ = ("bound", "child", "ear", "exited", "output_name")

    def __init__(self, child: Child, ear: Ear | None) -> None:
        self.child = child
        self.ear = ear
        self.bound = False
        self.exited = False
        self.output_name: str | None = None
