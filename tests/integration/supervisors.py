"""Somebody who says to a zygote that it is its supervisor."""

from __future__ import annotations

import socket
from typing import Any, Self

from jobyard.supervisor.executors.zygote import channel
from live import Yard


class Impostor:
    """Connected to the yard's only zygote, from ``with`` to its end, and told everything."""

    def __init__(self, yard: Yard, generation: int) -> None:
        (path,) = yard.path(".jobyard/run").glob("z-*")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(20)
        self.sock.connect(str(path))
        salt = str(yard.path(".jobyard/journal"))
        channel.send(self.sock, channel.encode(channel.Hello(channel.ADOPTION_VERSION, generation, salt)))
        self.told: list[Any] = []
        while not self.told or not isinstance(self.told[-1], channel.Ready):
            self.told.append(self._receive())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.sock.close()

    def _receive(self) -> Any:
        data, fds = channel.receive(self.sock)
        channel.close_all(fds)
        message = channel.decode(data, channel.TO_SUPERVISOR)
        assert not isinstance(message, channel.Refused), message
        return message

    def kids(self) -> list[list[int]]:
        """``[kid, pid, pid_started, slot, job_id, attempt]`` of each child."""
        return [kid for message in self.told if isinstance(message, channel.Kids) for kid in message.kids]

    def exits(self) -> list[channel.Gone]:
        return [channel.Gone(*one) for told in self.told if isinstance(told, channel.Exits) for one in told.exits]

    def acknowledge(self, count: int) -> None:
        """Take that many exits off the zygote, so that it forgets them."""
        while len(self.exits()) < count:
            self.told.append(self._receive())
        channel.send(self.sock, channel.encode(channel.Ack([gone.seq for gone in self.exits()])))
