"""Short slices of processor time, for processes that need it seldom and little, but then at once.

A process that has just woken up waits until the one that runs has had its slice. Linux 6.12 and later let a process ask
for a short slice: it gets no larger share, but its turn comes sooner, also where jobs keep all processors busy. Source:
sched_setattr(2), and the kernel's documentation of EEVDF, its scheduler. Elsewhere nothing happens.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

SLICE_NS = 500_000  # a shorter one cuts what they do into pieces, which costs throughput
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274, "riscv64": 274}  # numbers of the system call; glibc 2.41 has a name
_RESET_ON_FORK = 1
_ATTR = struct.Struct("=IIQiIQQQ")  # size, policy, flags, nice, priority, slice in ns, deadline, period


def shorten(inherited: bool) -> None:
    """Ask for short slices for this thread.

    Args:
        inherited: threads and processes that it makes from now on have them too.
    """
    if sys.platform != "linux" or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return
    number = _SCHED_SETATTR.get(os.uname().machine)
    if number is None:
        return
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    wanted = _ATTR.pack(_ATTR.size, os.SCHED_OTHER, 0 if inherited else _RESET_ON_FORK, nice, 0, SLICE_NS, 0, 0)
    ctypes.CDLL(None).syscall(ctypes.c_long(number), 0, wanted, 0)  # one that is refused changes nothing
