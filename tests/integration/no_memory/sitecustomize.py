"""Runs in every interpreter of a yard that has this directory on its path, and takes memory away from the supervisor.

A line ``FIRST LAST`` in the pipe that NO_MEMORY names has its allocations fail from the one to before the other,
counted from then on. NO_MEMORY_AT_START does so at the start.
"""

import os
import sys
import threading

if "jobyard.supervisor" in sys.orig_argv:
    import _testcapi

    def listen(path: str) -> None:
        while True:
            with open(path) as pipe:
                for line in pipe:
                    first, last = map(int, line.split())
                    _testcapi.set_nomemory(first, last)

    threading.Thread(target=listen, args=(os.environ["NO_MEMORY"],), daemon=True).start()
    if at_start := os.environ.get("NO_MEMORY_AT_START"):
        _testcapi.set_nomemory(*map(int, at_start.split()))
