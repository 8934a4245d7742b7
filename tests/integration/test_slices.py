"""Who has short slices of processor time: those that jobs wait for, and never the jobs."""

from __future__ import annotations

import ctypes
import os
import struct
import sys

import pytest
from jobyard.supervisor.executors.slices import SLICE_NS
from live import Yard, wait_for

SCHED_GETATTR = {"x86_64": 315, "aarch64": 275, "riscv64": 275}
ATTR = struct.Struct("=IIQiIQQQ")


def slice_ns(thread: int) -> int:
    """0 where the kernel has no such thing."""
    buffer = ctypes.create_string_buffer(ATTR.size)
    number = ctypes.c_long(SCHED_GETATTR.get(os.uname().machine, -1))
    done = ctypes.CDLL(None).syscall(number, thread, buffer, ATTR.size, 0)
    return ATTR.unpack(buffer.raw)[5] if done == 0 else 0


pytestmark = pytest.mark.skipif(sys.platform != "linux" or not slice_ns(0), reason="Linux 6.12 brought them")


def test_threads_of_the_supervisor_and_zygotes_have_short_slices_and_what_they_start_has_not(yard: Yard) -> None:
    usual = slice_ns(0)
    assert usual != SLICE_NS
    client = yard.client()
    job = client.submit("jobs:sleep", 60)
    wait_for("the job to run", lambda: job.state == "running")
    child = job.info().attempts[-1].pid
    (zygote,) = yard.zygotes()
    threads = [int(name) for name in os.listdir(f"/proc/{yard.pid}/task")]
    assert len(threads) > 2
    assert {slice_ns(thread) for thread in [*threads, zygote]} == {SLICE_NS}
    others = [one.pid for one in yard.left() if one.pid not in (yard.pid, zygote)]
    assert child in others
    assert {slice_ns(pid) for pid in others} - {0} == {usual}  # 0: it has ended meanwhile
    job.cancel(grace=0)
