"""Jobs of every kind that the soak test submits: none takes long, and each ends in one known way."""

from __future__ import annotations

import os
import signal
import time

from jobyard import GiveUp, RetryLater, current_job

BLOB = bytes(range(256)) * 800  # 200 KiB: over what fits into one message between processes


def add(a, b=0):
    return a + b


def fail():
    raise ValueError("m" * 2000)


def fail_first():
    if current_job().attempt == 1:
        raise ValueError("the first time")
    return current_job().attempt


def later():
    if current_job().attempt == 1:
        raise RetryLater(0.05)


def give_up():
    raise GiveUp("it would not help")


def rest(seconds):
    time.sleep(seconds)


def crash(how):
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGKILL)


def take(blob):
    return len(blob)


def give():
    return BLOB


def unpackable():
    return object()


def talk(lines):
    job = current_job()
    for number in range(lines):
        print("line", number, "x" * 80)
        job.progress(number, lines, "talking")
    job.log("done")


def leave_a_process():
    if os.fork() == 0:
        os.setsid()
        time.sleep(600)
        os._exit(0)


def use_scratch():
    with open(os.path.join(current_job().scratch, "file"), "w") as file:
        file.write("something")
