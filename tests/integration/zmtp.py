"""ZMTP 3.0 by hand, as no library would speak it: for peers that are broken or mean harm."""

from __future__ import annotations

import os
import socket

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31)
MORE, LONG, COMMAND = 1, 2, 4


def frame(body: bytes, flags: int = 0, size: int | None = None) -> bytes:
    """A frame; ``size`` if it is to lie about its length."""
    length = len(body) if size is None else size
    if length > 255 or flags & LONG:
        return bytes([flags | LONG]) + length.to_bytes(8, "big") + body
    return bytes([flags, length]) + body


def ready(kind: bytes) -> bytes:
    """The command that ends the handshake of a socket of this type."""
    body = b"\x05READY" + b"\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind
    return frame(body, COMMAND)


class Raw:
    """A connection to an IPC address, greeted or not."""

    def __init__(self, path: str | os.PathLike[str], kind: bytes | None = None) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(os.fspath(path))
        if kind is not None:
            self.socket.sendall(GREETING + ready(kind))
            self.hear(len(GREETING))

    def say(self, data: bytes) -> bool:
        """Whether it was taken; the other side may have hung up."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def hear(self, count: int) -> bytes:
        """So many bytes, or all up to the end."""
        found = b""
        while len(found) < count and (data := self.socket.recv(count - len(found))):
            found += data
        return found

    def message(self) -> bytes:
        """The next frame that is no command; empty at the end of the connection."""
        while head := self.hear(1):
            size = int.from_bytes(self.hear(8 if head[0] & LONG else 1), "big")
            body = self.hear(size)
            if not head[0] & COMMAND:
                return body
        return b""

    def is_closed(self) -> bool:
        """Wait for the other side to hang up."""
        try:
            while self.socket.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True

    def close(self) -> None:
        self.socket.close()
