"""A throw-away process that imports what one pool allows and describes it; started by ``catalog_build.py``.

Run by the pool's interpreter, in its environment and directory. Looking at user code is the business of
``protocol/describe.py``. It may hang or die in a module: it says first which one it is about to import, and whoever
started it goes on without that one.

On standard input: ``{"path": [...], "setup": ref or null, "allow": [pattern...], "skip": {module: why}}`` as JSON. On
standard output a line of JSON per step, ``{"setup": ref}`` or ``{"module": name}``, then ``{"entries": [...],
"problems": [...]}``. What the modules print goes to standard error.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import sys
from collections.abc import Callable
from typing import Any

from ..protocol import describe

_ORPHAN_S = 90  # nobody stops a hanging builder whose supervisor is gone, so it ends by itself


def main() -> None:
    """Read the request, report, and leave without waiting for threads that modules have started."""
    report = _take_standard_streams()
    request = json.load(report.request)
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.path[:0] = request["path"]
    found = _run(request, report.say)
    report.say(found)
    os._exit(0)


class _Report:
    """The way back to the supervisor, out of reach of ``print``."""

    def __init__(self, fd: int, request: Any) -> None:
        self._fd = fd
        self.request = request

    def say(self, line: dict[str, Any]) -> None:
        faulthandler.dump_traceback_later(_ORPHAN_S, exit=True)
        data = json.dumps(line).encode() + b"\n"
        while data:
            data = data[os.write(self._fd, data) :]


def _take_standard_streams() -> _Report:
    request = os.fdopen(os.dup(0), "rb")
    report = os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return _Report(report, request)


def _run(request: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    setup = request["setup"]
    if setup:
        say({"setup": setup})
        why = describe.call_setup(setup)
        if why is not None:
            return {"entries": [], "problems": [{"what": setup, "why": why}]}
    return describe.look(request["allow"], request["path"], request["skip"], lambda name: say({"module": name}))


if __name__ == "__main__":
    main()
