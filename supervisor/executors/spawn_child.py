"""One child without a zygote: a fresh interpreter that becomes a job process.

Owns the way from exec to waiting for an attempt; from there on it is the child of ``zygote/child.py``. Started by
``spawn.py`` as ``python -P -m jobyard.supervisor.executors.spawn_child PARENT SLOT``, with its socket as descriptor 3
and the shared page as descriptor 5.
"""

from __future__ import annotations

import os
import socket
import sys

from .zygote import boot, channel, child, joblog, limits, stacks, stdio
from .zygote.page import Page

PAGE_FD = 5


def main() -> None:
    parent, slot_index = map(int, sys.argv[1:3])
    limits.default_signals()
    limits.die_with_parent(parent)
    limits.no_core_files()
    stdio.line_buffered()
    os.umask(0o077)
    given: channel.Boot = channel.decode(boot.read_stdin(), channel.BOOT)
    slot = Page(PAGE_FD).slot(slot_index)
    os.closerange(child.FIRST_FREE_FD, child.FD_MAX)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=child.SOCKET_FD)
    sock.set_inheritable(False)
    oom_score = limits.oom_score()
    open_files = limits.open_files(given.nofile)
    if given.stack_dump:
        stacks.install()

    def prepare() -> None:
        try:
            boot.enter(given)
            joblog.install()
            if given.setup is not None:
                child.call_by_name(given.setup)
            child.confinement(given, open_files, oom_score)()
        finally:
            channel.send(sock, channel.encode(channel.Up()), wait=True)

    child.mind_forks()
    child.Child(given, sock, limits.peak_since_exec, prepare).run(slot)


if __name__ == "__main__":
    main()
