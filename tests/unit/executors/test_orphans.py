"""What the supervisor knows of the processes that it has started itself."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own, since it becomes a reaper.
HELPERS = """
import subprocess
from jobyard.supervisor.executors import orphans
orphans.become_reaper()
stays = subprocess.Popen(["sleep", "60"])
orphans.note_own(stays.pid)
for _ in range(20):
    helper = subprocess.Popen(["true"])
    orphans.note_own(helper.pid)
    helper.wait()
print(sorted(orphans._own.started) == sorted([stays.pid, helper.pid]), orphans.kill_orphans(), stays.poll())
stays.kill()
stays.wait()
"""


def test_helpers_that_have_ended_are_forgotten_and_those_that_live_are_not_killed() -> None:
    done = subprocess.run([sys.executable, "-c", HELPERS], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stderr, done.stdout) == ("", "True 0 None\n")
