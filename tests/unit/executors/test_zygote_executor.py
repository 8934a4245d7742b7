"""The supervisor's side of a zygote's channel, where the supervisor is at its end."""

from __future__ import annotations

from pathlib import Path

import pytest
from jobyard.supervisor.executors.base import PoolSpec
from jobyard.supervisor.executors.zygote import channel, heard
from jobyard.supervisor.executors.zygote.executor import ZygoteExecutor


def test_zygote_is_not_blamed_for_want_of_memory_in_the_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be killed, with all that runs in it."""

    def no_memory(message: object) -> None:
        raise MemoryError

    monkeypatch.setattr(heard, "check", no_memory)
    executor = ZygoteExecutor.__new__(ZygoteExecutor)  # without a process
    executor._process = None
    with pytest.raises(MemoryError):
        executor._message(channel.Ready([], ""), [])


def test_socket_that_cannot_be_removed_does_not_end_the_supervisor(tmp_path: Path) -> None:
    """Such as one on a disk that takes no change any more; a directory cannot be unlinked either."""
    executor = ZygoteExecutor(
        PoolSpec("default", "python", "/", [], {}, [], str(tmp_path), "/out"), generation=1, salt=""
    )
    Path(executor._socket_path).mkdir()
    executor.close()
    assert executor._closed
