"""What a supervisor that was killed leaves in the runtime directory."""

from __future__ import annotations

import socket
from pathlib import Path

from jobyard.supervisor.recovery import sweep_sockets


def bound(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made.bind(str(path))
    made.listen(1)
    return made


def test_sockets_of_zygotes_that_have_ended_are_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in ("z-01234567", "socket"):
        bound(tmp_path / name).close()
    (tmp_path / "z-file").write_text("kept")
    with bound(tmp_path / "z-89abcdef"), bound(tmp_path / "z-full") as full:
        full.listen(0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as waiting:
            waiting.connect(str(tmp_path / "z-full"))
            sweep_sockets(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["socket", "z-89abcdef", "z-file", "z-full"]
