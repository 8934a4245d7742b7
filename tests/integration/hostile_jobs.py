"""Jobs that do what they should not: crash, hang, hide, flood, and hurt what carries them."""

from __future__ import annotations

import collections
import ctypes
import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgpack


def add(a, b):
    return a + b


# -- those that crash --------------------------------------------------------------------------------------------------


def crash():
    ctypes.string_at(0)


def leave():
    os._exit(0)


def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def close_all():
    os.closerange(0, 65536)


def become_another():
    os.execvp("true", ["true"])


def kill_zygote():
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


# -- those that do not end ---------------------------------------------------------------------------------------------


def stop_itself():
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(60)


def hold_the_gil():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    collections.deque(itertools.repeat(None), maxlen=0)


def block_all_signals():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    os.umask(0)
    time.sleep(60)


def swallow_everything():
    while True:
        try:
            time.sleep(60)
        except BaseException:
            continue


def relay():
    """A row of processes of which each starts the next and ends: there are never more than a few."""
    until = time.monotonic() + 20
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for _ in range(2):
            os.fork()
        while time.monotonic() < until:
            if os.fork():
                os._exit(0)
            time.sleep(0.002)
        os._exit(0)
    time.sleep(60)


def flood():
    data = b"x" * (1 << 20)
    while True:
        os.write(1, data)


# -- those that leave something behind ---------------------------------------------------------------------------------


def daemons():
    """With sessions of their own, deaf to SIGTERM; one has an environment that tells nothing."""
    script = "trap '' TERM HUP; echo up; while :; do sleep 1; done"
    for env in (None, {"PATH": os.environ["PATH"]}):
        started = subprocess.Popen(["setsid", "-f", "sh", "-c", script], env=env, stdout=subprocess.PIPE)
        started.stdout.readline()
    return "left them"


def leave_threads():
    threading.Thread(target=time.sleep, args=(60,)).start()


def leave_many_processes():
    for _ in range(30):
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)


# -- those that use too much -------------------------------------------------------------------------------------------


def eat_memory():
    kept = []
    while True:
        kept.append(bytearray(16 << 20))


def open_many():
    for _ in range(100_000):
        os.dup(0)


def burn():
    while True:
        pass


# -- those that answer oddly -------------------------------------------------------------------------------------------


class Awkward(Exception):
    def __str__(self):
        raise RuntimeError("no text")

    def __reduce__(self):
        raise RuntimeError("no pickle")


def raise_awkward():
    raise Awkward


def raise_long():
    raise ValueError("m" * 100_000_000)


def return_object():
    return object()


def return_much():
    return b"x" * (32 << 20)


def return_deep():
    value = []
    for _ in range(1000):
        value = [value]
    return value


# -- those that meddle with their surroundings -------------------------------------------------------------------------


def print_garbage():
    os.write(1, bytes(range(256)) * 100 + b"\x1b]0;owned\x07\x1b[2J\r\xff\xfe")
    sys.stderr.buffer.write(b"\xf0\x9f" + os.urandom(5000))


def delete_directory():
    shutil.rmtree(os.readlink("/proc/self/cwd"), ignore_errors=True)


def linger():
    daemons()
    time.sleep(60)


def delete_own_output(directory):
    print("first", flush=True)
    files = [path for path in Path(directory).rglob("*") if path.is_file()]
    while not any(b"first" in path.read_bytes() for path in files):
        time.sleep(0.01)
        files = [path for path in Path(directory).rglob("*") if path.is_file()]
    for path in files:
        path.unlink()
    print("second", flush=True)


def reopen_descriptors():
    for fd in os.listdir("/proc/self/fd"):
        try:
            os.write(os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK), b"garbage")
        except OSError:
            continue


def write_into_its_socket():
    for _ in range(200):
        os.write(3, os.urandom(100))
    for kind in ([], {}, None, 1):
        os.write(3, msgpack.packb(["End", kind, b"", None, None, True, None]))
