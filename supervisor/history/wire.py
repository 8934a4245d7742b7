"""Messages between the supervisor and the history process: a length, then msgpack. Both sides trust each other."""

from __future__ import annotations

from typing import Any

import msgpack

LOST = "history_lost"  # kind of an answer: the file was damaged and is set aside
_HEAD_BYTES = 4


def pack(message: Any) -> bytes:
    body: bytes = msgpack.packb(message)
    return len(body).to_bytes(_HEAD_BYTES, "big") + body


class Inbox:
    """Puts messages together from the pieces in which they arrive."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, piece: bytes) -> list[Any]:
        """The messages that are complete with this piece."""
        self._data += piece
        found = []
        while len(self._data) >= _HEAD_BYTES:
            end = _HEAD_BYTES + int.from_bytes(self._data[:_HEAD_BYTES], "big")
            if len(self._data) < end:
                break
            found.append(msgpack.unpackb(bytes(self._data[_HEAD_BYTES:end]), strict_map_key=False))
            del self._data[:end]
        return found
