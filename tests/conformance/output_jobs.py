"""Jobs that write, each in its own way: whole lines, pieces, bytes, from C, from processes of their own."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time

from conformance_jobs import here, mark


def say(path: str | None = None) -> None:
    print("to stdout")
    print("to stderr", file=sys.stderr)
    here().log("to the log\nsecond line", level="warning")
    logging.getLogger("app.mail").info("sent %d", 3)
    logging.getLogger("app.mail").debug("not told")


def say_after_configuring() -> None:
    logging.basicConfig(format="own: %(message)s", stream=sys.stdout)
    logging.getLogger("app").warning("configured")


def print_bytes(total: int) -> None:
    line = b"".join(b"%019d\n" % index for index in range(3200))
    for _ in range(total // len(line)):
        os.write(1, line)


def print_raw(data: bytes) -> None:
    os.write(1, data)


def print_surrogate() -> None:
    print("bad \udcff text")


def print_numbers(count: int, path: str) -> None:
    mark(path, "began")
    for number in range(count):
        os.write(1, b"%09d\n" % number)
        if number % 100 == 0:
            time.sleep(0.001)


def close_stdout() -> str:
    os.close(1)
    return "closed"


def print_and_crash() -> None:
    os.write(1, b"last words\n")
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for_file(path: str) -> None:
    while not os.path.exists(path):
        time.sleep(0.01)


def print_when_told(go: str, end: str | None = None) -> None:
    """Prints, prints again when the first file is there, and ends when the second is, if one is named."""
    print("first")
    wait_for_file(go)
    print("second")
    if end is not None:
        wait_for_file(end)


def print_from_everywhere() -> None:
    """Each way out, in an order that the streams keep."""
    libc = ctypes.CDLL(None)
    print("print")
    libc.printf(b"C line\n")
    os.write(1, b"descriptor\n")
    subprocess.run(["sh", "-c", "echo subprocess; echo its errors >&2"], check=True)
    sys.stderr.write("errors\n")
    here().log("log", level="error")
    logging.getLogger("app").warning("record")
    here().progress(1, 2, "half")
    print("unfinished print", end="")
    libc.printf(b"unfinished C")


def print_c_line_and_wait(path: str) -> None:
    ctypes.CDLL(None).printf(b"from C\n")
    wait_for_file(path)
