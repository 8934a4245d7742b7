"""Runs in every interpreter of a yard that has this directory on its path, and takes memory away from the supervisor.

A line ``FIRST LAST`` in the pipe that NO_MEMORY names has its allocations fail from the one to before the other,
counted from then on. NO_MEMORY_AT_START does so once the state directory is locked, before the journal is read.
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
    at_start = [int(number) for number in os.environ.get("NO_MEMORY_AT_START", "").split()]

    def arm(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and at_start and str(arguments[0]).endswith("/lock"):
            first, last = at_start
            at_start.clear()
            _testcapi.set_nomemory(first, last)

    if at_start:
        sys.addaudithook(arm)
