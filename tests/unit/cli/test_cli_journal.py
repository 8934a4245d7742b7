"""``jobctl journal compact``, as far as the supervisor does it; the rest needs files and is an integration test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from jobyard.protocol import messages
from jobyard.protocol.errors import StorageUnavailable

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("done", "out", "err"),
    [
        (messages.Compacted(7, 5 << 20, 1 << 20), "compacted: 5.0 MiB -> 1.0 MiB\n", ""),
        (
            messages.Compacted(7, 5 << 20, 1 << 20, 1, "disk is full"),
            "compacted: 5.0 MiB -> 1.0 MiB; 1 job went into the history\n",
            "warning: disk is full\n",
        ),
    ],
)
def test_compact_says_what_was_gained_and_what_was_not(
    jobctl: Run, supervisor: Any, done: messages.Compacted, out: str, err: str
) -> None:
    supervisor.answers[messages.Compact] = lambda request: done
    ran = jobctl("journal", "compact")
    assert (ran.code, ran.out, ran.err) == (0, out, err)
    assert jobctl("journal", "compact", "--json").json["trouble"] == done.trouble


def test_compact_that_the_supervisor_refuses_is_not_done_behind_its_back(jobctl: Run, supervisor: Any) -> None:
    def refuse(request: messages.Compact) -> None:
        raise StorageUnavailable("the journal cannot be written (No space left on device)")

    supervisor.answers[messages.Compact] = refuse
    ran = jobctl("journal", "compact")
    assert (ran.code, ran.out) == (5, "")
    assert "No space left" in ran.err
