"""Which job waits for which: an index over what each job knows of its parents.

A job holds its parents itself: ``job.parents`` maps the id of each to how it ended, or to None while it has not. Here
is the way back, from a parent to its children, and which blocked jobs need not wait any longer. Only ``State`` uses it,
and tells it of every change; what becomes of a settled job is decided in ``unblock.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...protocol.states import BLOCKED, FINISHED, SUCCEEDED

if TYPE_CHECKING:
    from .state import Job

Jobs = Mapping[int, "Job"]


class Dependencies:
    """The family of all jobs in memory.

    Attributes:
        children: id of a parent -> ids of all jobs that wait or waited for it; ids of parents that were pruned, too.
        settled: blocked jobs whose parents have all ended, or one of whose parents failed where that counts; in the
            order in which that became so, as the keys of a dict.
    """

    __slots__ = ("children", "settled")

    def __init__(self) -> None:
        self.children: dict[int, dict[int, None]] = {}
        self.settled: dict[int, None] = {}

    def add(self, job: Job) -> None:
        """A job is there."""
        for parent_id in job.parents:
            self.children.setdefault(parent_id, {})[job.id] = None

    def remove(self, job: Job) -> None:
        """A job is forgotten."""
        for parent_id in job.parents:
            siblings = self.children[parent_id]
            del siblings[job.id]
            if not siblings:
                del self.children[parent_id]

    def submitted(self, job: Job, jobs: Jobs) -> None:
        """A new job: parents that have ended before count at once, those that have left memory by what it knows."""
        self.add(job)
        for parent_id, ended in job.parents.items():
            state = ended or jobs[parent_id].state
            if state in FINISHED:
                self._note(job, parent_id, state)
        self.settle(job)

    def finished(self, parent: Job, jobs: Jobs) -> None:
        """A job has ended. A child that has been let go remembers what its parents were then."""
        for child_id in self.children.get(parent.id, ()):
            child = jobs[child_id]
            if child.state == BLOCKED or child.parents[parent.id] is None:
                self._note(child, parent.id, parent.state)
                self.settle(child)

    def requeued(self, job: Job, jobs: Jobs) -> bool:
        """A job is wanted again. Children that are still blocked wait for it once more.

        It waits itself for those of its parents that have not ended; how the others ended is no obstacle now, because
        somebody asked for it knowing that.

        Returns:
            Whether it is blocked.
        """
        for child_id in self.children.get(job.id, ()):
            child = jobs[child_id]
            if child.state == BLOCKED:
                child.parents[job.id] = None
                self.settle(child)
        job.failed_parent = None
        for parent_id in job.parents:
            if parent_id in jobs:
                state = jobs[parent_id].state
                job.parents[parent_id] = state if state in FINISHED else None
        return None in job.parents.values()

    def settle(self, job: Job) -> None:
        """Look again whether a job need not wait any longer."""
        if job.state == BLOCKED and (job.failed_parent is not None or None not in job.parents.values()):
            self.settled[job.id] = None
        else:
            self.settled.pop(job.id, None)

    def _note(self, child: Job, parent_id: int, ended: str) -> None:
        child.parents[parent_id] = ended
        counts = child.state == BLOCKED and child.on_parent_failure == "cancel"
        if counts and ended != SUCCEEDED and child.failed_parent is None:
            child.failed_parent = parent_id
