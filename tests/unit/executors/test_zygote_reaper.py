"""Ends of children: what they had been given is known by then, however little time lies between."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own, which has exactly these children. The second child is given an attempt, and ends, while the
# first is being buried: its order lies in the socket of the zygote, which ``hear`` stands for.
ORDER_THAT_WAITS = """
import os, signal
from types import SimpleNamespace
from jobyard.supervisor.executors.zygote.control import Kid
from jobyard.supervisor.executors.zygote.deadlines import Deadlines
from jobyard.supervisor.executors.zygote.reaper import Reaper

def child():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return Kid(pid, pid, None, 0, SimpleNamespace(base=lambda: 0))

waiting, asked, told = [], [], []

def report(kid, gone):
    told.append((kid.id, kid.start))
    if kid is first:
        reaper.add(second := child())
        waiting.append(second)

def hear():
    for kid in waiting:
        kid.start = "an attempt"

def end(kid_id):
    asked.append(kid_id)
    return True

reaper = Reaper(
    boot=SimpleNamespace(cpu_s=None, cgroup=None),
    deadlines=Deadlines(),
    control=SimpleNamespace(release=lambda kid: None),
    logs=SimpleNamespace(pid=None, end=end),
    known=set(),
    hear=hear,
    wait=lambda: None,
    report=report,
)
reaper.add(first := child())
reaper.observe()
(second,) = waiting
print(told == [(first.id, None), (second.id, "an attempt")], asked == [second.id])
"""


def test_child_that_is_given_an_attempt_and_ends_while_another_is_buried_has_run_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ORDER_THAT_WAITS], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stderr, done.stdout) == ("", "True True\n")
