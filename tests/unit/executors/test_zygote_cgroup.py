"""Control groups on a file system of paper: who makes which, and what is left alone."""

from __future__ import annotations

import errno
import os

import pytest
from jobyard.supervisor.executors.zygote.cgroup import Groups, settle

SERVICE = "/sys/fs/cgroup/system.slice/jobyard.service"


class Paper:
    """Files and directories by path. ``refused`` are paths that cannot be written."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.directories: list[str] = []
        self.removed: list[str] = []
        self.refused: dict[str, int] = {}

    def read(self, path: str) -> str:
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self.files[path]

    def write(self, path: str, text: str) -> None:
        if path in self.refused:
            raise OSError(self.refused[path], os.strerror(self.refused[path]), path)
        self.files[path] = text

    def mkdir(self, path: str) -> None:
        if path in self.directories:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        self.directories.append(path)

    def rmdir(self, path: str) -> None:
        self.removed.append(path)


def paper(
    group: str = "/system.slice/jobyard.service", members: str = "10\n11\n", controllers: str = "memory pids"
) -> Paper:
    found = Paper()
    found.files["/proc/self/cgroup"] = f"0::{group}\n"
    found.files[f"/sys/fs/cgroup{group}/cgroup.controllers"] = controllers
    found.files[f"/sys/fs/cgroup{group}/cgroup.procs"] = members
    return found


def test_supervisor_moves_aside_and_makes_room_for_its_jobs() -> None:
    files = paper()
    assert settle(files, {10, 11}, {}) == f"{SERVICE}/jobs"
    assert files.directories == [f"{SERVICE}/own", f"{SERVICE}/jobs"]
    assert files.files[f"{SERVICE}/own/cgroup.procs"] == "11", "the last that was moved"
    assert files.files[f"{SERVICE}/cgroup.subtree_control"] == "+memory +pids"
    assert files.files[f"{SERVICE}/jobs/cgroup.subtree_control"] == "+memory +pids"


def test_next_supervisor_finds_what_the_first_has_made() -> None:
    files = paper("/system.slice/jobyard.service/own", "12\n13\n14\n")
    assert settle(files, {12}, {}) == f"{SERVICE}/jobs"
    assert files.directories == []


@pytest.mark.parametrize(
    "files",
    [
        Paper(),
        paper(members="10\n11\n99\n"),
        paper(controllers="cpu pids"),
        paper(group="/"),
        paper(group="/user.slice/a"),
    ],
    ids=["no cgroup v2", "a group of others too", "no controller of memory", "the root", "not writable"],
)
def test_group_that_is_not_ours_is_left_as_it_is(files: Paper) -> None:
    files.refused = {"/sys/fs/cgroup/user.slice/a/own/cgroup.procs": errno.EACCES}
    assert settle(files, {10, 11}, {}) is None
    assert not [path for path in files.files if "subtree_control" in path]


def test_under_a_service_manager_the_group_stays_one_that_the_next_supervisor_can_be_put_into() -> None:
    files = paper()
    before = dict(files.files)
    assert settle(files, {10, 11}, {"NOTIFY_SOCKET": "/run/user/1000/systemd/notify"}) is None
    assert (files.files, files.directories) == (before, [])


def test_attempt_has_a_group_with_the_limits_of_its_pool() -> None:
    files = Paper()
    group = Groups(files, "/g/jobs", "abcd", 1 << 20, 50).make(7, 4711)
    assert group is not None and files.directories == ["/g/jobs/abcd.7"]
    assert files.files == {
        "/g/jobs/abcd.7/memory.oom.group": "1",
        "/g/jobs/abcd.7/memory.max": "1048576",
        "/g/jobs/abcd.7/memory.swap.max": "0",
        "/g/jobs/abcd.7/pids.max": "50",
        "/g/jobs/abcd.7/cgroup.procs": "4711",
    }
    group.kill()
    assert files.files["/g/jobs/abcd.7/cgroup.kill"] == "1"
    group.remove()
    assert files.removed == ["/g/jobs/abcd.7"]


@pytest.mark.parametrize(("name", "number"), [("memory.max", errno.EACCES), ("cgroup.procs", errno.ESRCH)])
def test_group_that_cannot_be_had_is_none_and_leaves_nothing(name: str, number: int) -> None:
    files = Paper()
    files.refused = {f"/g/abcd.7/{name}": number}
    assert Groups(files, "/g", "abcd", 1 << 20, None).make(7, 4711) is None
    assert files.removed == ["/g/abcd.7"]


def test_machine_without_swap_needs_no_limit_of_it() -> None:
    files = Paper()
    files.refused = {"/g/abcd.7/memory.swap.max": errno.ENOENT}
    assert Groups(files, "/g", "abcd", 1 << 20, None).make(7, 4711) is not None


@pytest.mark.parametrize(
    ("events", "ran_out"),
    [("oom 3\noom_kill 0\n", False), ("oom 3\noom_kill 1\n", True), (None, False), ("low 0\n", False)],
)
def test_kernel_that_killed_for_want_of_memory_says_so(events: str | None, ran_out: bool) -> None:
    files = Paper()
    group = Groups(files, "/g", "abcd", 1 << 20, None).make(7, 4711)
    assert group is not None
    if events is not None:
        files.files["/g/abcd.7/memory.events"] = events
    assert group.ran_out() is ran_out


def test_old_kernel_without_a_kill_of_groups_is_no_error() -> None:
    files = Paper()
    group = Groups(files, "/g", "abcd", None, 5).make(7, 4711)
    assert group is not None
    files.refused = {"/g/abcd.7/cgroup.kill": errno.ENOENT}
    group.kill()
