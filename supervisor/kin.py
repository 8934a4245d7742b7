"""Archived jobs as the supervisor gives them on: with what memory knows of their parents and children.

The history process describes a job by what the history holds. A parent that has not ended, and a child that is not
archived, are known in memory alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgpack

from .core.machine import Machine
from .spliced import Packed


def up_to_date(machine: Machine, job_id: int, packed: Packed, kin: Sequence[list[int]]) -> Packed:
    """The job, opened only if there is something to add.

    Args:
        kin: ids of its parents that had not ended when it had, as far as the history knows, and of archived children.
    """
    open_parents, archived = kin
    here = machine.state.dependencies.children.get(job_id, {}).keys() - archived
    if not here and not open_parents:
        return packed
    info: dict[str, Any] = msgpack.unpackb(packed.data)
    info["children_count"] += len(here)
    jobs = machine.state.jobs
    info["parents"] = [
        {**one, "state": one["state"] or jobs[one["id"]].state}
        for one in info["parents"]
        if one["state"] or one["id"] in jobs  # else it was removed
    ]
    return Packed(msgpack.packb(info, unicode_errors="backslashreplace"), packed.elements)
