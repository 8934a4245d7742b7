"""A block device with a cache that a power cut loses, under a real file system: for root on Linux, with FUSE and loop.

``VolatileDisk`` formats and mounts it. Behind the file system is a loop device, behind that a single file, and that is
served through /dev/fuse by a process of this module. So each write and each flush of the kernel's file system is seen,
in its order, and the device can be asked at any moment what a power cut would leave: everything that was flushed, and
of the writes since then any of them, whole or in part. What runs on the disk does not notice.
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import errno
import os
import random
import select
import shutil
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SECTOR_BYTES = 512
SIZES = {"ext4": 96 << 20, "xfs": 320 << 20}  # xfs takes no less
MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-J", "size=4", "-E", "lazy_itable_init=0,nodiscard"],
    "xfs": ["mkfs.xfs", "-q", "-f", "-K"],
}
BESIDE = {"ext4": "loop", "xfs": "loop,nouuid"}  # to mount what is left while the disk it is left of is mounted

# -- the device: a process that runs this module -----------------------------------------------------------------------

_REQUEST_BYTES = 256 << 10
_WRITE_BYTES_MAX = 128 << 10
# How requests and answers are packed, from linux/fuse.h.
_HEAD = struct.Struct("=IIQQIIIHH")
_ANSWER = struct.Struct("=IiQ")
_INIT_OUT = struct.Struct("=4I2H2I2HI28x")
_ATTR_OUT = struct.Struct("=QII6Q10I")
_OPEN_OUT = struct.Struct("=QII")
_PIECE_IN = struct.Struct("=QQI20x")  # of a read and of a write, which its data follow
_WRITE_OUT = struct.Struct("=II")
_DIRECT_IO = 1  # every request comes here, none is answered by the kernel's cache
_MODE = stat.S_IFREG | 0o600


class Op(enum.IntEnum):
    """Numbers of requests, from linux/fuse.h."""

    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    OPEN = 14
    READ = 15
    WRITE = 16
    RELEASE = 18
    FSYNC = 20
    FLUSH = 25
    INIT = 26
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42


class Device:
    """What is on the medium, a file at ``medium``, and what has been written since the last flush."""

    def __init__(self, medium: Path) -> None:
        self.size = medium.stat().st_size
        self._path = medium
        self._medium = os.open(medium, os.O_RDWR)
        self._shown = os.open(_copy(medium, medium.with_suffix(".shown")), os.O_RDWR)
        self._unflushed: list[tuple[int, bytes]] = []

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._shown, size, offset)

    def write(self, offset: int, data: bytes) -> None:
        os.pwrite(self._shown, data, offset)
        self._unflushed.append((offset, data))

    def flush(self) -> None:
        for offset, data in self._unflushed:
            os.pwrite(self._medium, data, offset)
        self._unflushed.clear()

    def lose_power(self, chance: random.Random, path: Path) -> int:
        """Put into ``path`` what may be on the medium if the power went now; how many writes were not flushed."""
        share = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        torn = chance.random() < 0.5
        with open(_copy(self._path, path), "r+b") as left:
            for offset, data in self._unflushed:
                step = SECTOR_BYTES if torn else len(data)
                for at in range(0, len(data), step):
                    if chance.random() < share:
                        left.seek(offset + at)
                        left.write(data[at : at + step])
        return len(self._unflushed)


def _copy(source: Path, target: Path) -> Path:
    subprocess.run(["cp", "--sparse=always", str(source), str(target)], check=True)
    return target


class Server:
    """Answers the kernel, and on its standard input the test."""

    def __init__(self, image: Path, mount_point: Path) -> None:
        self._device = Device(image)
        self._fuse = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self._fuse},rootmode={_MODE:o},user_id=0,group_id=0"
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"jobyard-test", os.fsencode(mount_point), b"fuse", 0, options.encode()) != 0:
            sys.exit(f"a file cannot be served through FUSE here: {os.strerror(ctypes.get_errno())}")
        print("mounted", flush=True)

    def run(self) -> None:
        """Until the file is unmounted, or nobody is there who asks."""
        while True:
            ready, _, _ = select.select([self._fuse, 0], [], [])
            if self._fuse not in ready:
                if not self._command(sys.stdin.readline()):
                    return
                continue
            try:
                request = os.read(self._fuse, _REQUEST_BYTES)
            except OSError as error:
                if error.errno != errno.ENODEV:  # it is: unmounted
                    raise
                return
            self._answer(request)

    def _command(self, line: str) -> bool:
        """``SEED PATH``: put what a power cut would leave into that file."""
        if not line:
            return False
        seed, path = line.rstrip("\n").split(" ", 1)
        print(self._device.lose_power(random.Random(int(seed)), Path(path)), flush=True)
        return True

    def _answer(self, request: bytes) -> None:
        _, number, unique, *_ = _HEAD.unpack_from(request)
        if number in (Op.FORGET, Op.BATCH_FORGET, Op.INTERRUPT):
            return
        body = self._body(number, request[_HEAD.size :])
        code, data = (-errno.ENOSYS, b"") if body is None else (0, body)
        with contextlib.suppress(FileNotFoundError):  # who asked was interrupted
            os.write(self._fuse, _ANSWER.pack(_ANSWER.size + len(data), code, unique) + data)

    def _body(self, number: int, asked: bytes) -> bytes | None:
        """What to answer; None if this is not done here."""
        match number:
            case Op.INIT:
                return _INIT_OUT.pack(7, 31, 0, 0, 8, 6, _WRITE_BYTES_MAX, 1, 0, 0, 0)
            case Op.GETATTR | Op.SETATTR:
                size, times = self._device.size, [0] * 6
                return _ATTR_OUT.pack(1, 0, 0, 1, size, size // 512, *times, _MODE, 1, 0, 0, 0, 4096, 0)
            case Op.OPEN:
                return _OPEN_OUT.pack(0, _DIRECT_IO, 0)
            case Op.READ:
                _, offset, size = _PIECE_IN.unpack_from(asked)
                return self._device.read(offset, size)
            case Op.WRITE:
                _, offset, size = _PIECE_IN.unpack_from(asked)
                self._device.write(offset, asked[_PIECE_IN.size : _PIECE_IN.size + size])
                return _WRITE_OUT.pack(size, 0)
            case Op.FSYNC:
                self._device.flush()
                return b""
            case Op.RELEASE | Op.FLUSH | Op.DESTROY:
                return b""
            case _:
                return None


# -- what a test has of it ---------------------------------------------------------------------------------------------


class VolatileDisk:
    """A file system on such a device, mounted at ``path``.

    Args:
        kind: "ext4" or "xfs".
        options: to mount it with.

    Attributes:
        unflushed_counts: how many writes were not flushed at each power cut.
    """

    def __init__(self, directory: Path, kind: str = "ext4", options: str = "noatime") -> None:
        self.path = directory / "disk"
        self._kind, self._options = kind, options
        self._directory, self._device = directory, directory / "device"
        self.unflushed_counts: list[int] = []
        self._mounted: list[Path] = []
        self._loop = ""
        image = directory / "image"
        self.path.mkdir()
        self._device.touch()
        _make(image, kind)
        command = [sys.executable, __file__, str(image), str(self._device)]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        assert self._server.stdout is not None
        if self._server.stdout.readline() != "mounted\n":
            pytest.skip("a file cannot be served through FUSE here")
        self._mounted.append(self._device)
        attached = _run("losetup", "--find", "--show", str(self._device))
        if attached.returncode != 0:
            pytest.skip(f"there is no loop device: {attached.stderr.strip()}")
        self._loop = attached.stdout.strip()
        trouble = self._mount(self._loop, self.path, self._options)
        if trouble:
            pytest.skip(f"{self._kind} cannot be mounted here: {trouble}")

    def _mount(self, what: str, where: Path, options: str) -> str:
        """Why it could not be mounted; empty if it is."""
        done = _run("mount", "-t", self._kind, "-o", options, what, str(where))
        if done.returncode == 0:
            self._mounted.append(where)
        return "" if done.returncode == 0 else done.stderr.strip()

    def cut_power(self, seed: int) -> Path:
        """What would be on the medium after a power cut now, as an image."""
        assert self._server.stdin is not None and self._server.stdout is not None
        image = self._directory / "after-image"
        self._server.stdin.write(f"{seed} {image}\n")
        self._server.stdin.flush()
        self.unflushed_counts.append(int(self._server.stdout.readline()))
        return image

    @contextlib.contextmanager
    def after(self, image: Path) -> Iterator[Path]:
        """Such an image as the next boot would mount it: where its files are. It is removed in the end."""
        where = self._directory / "after"
        where.mkdir(exist_ok=True)
        trouble = self._mount(str(image), where, f"{BESIDE[self._kind]},{self._options}")
        assert not trouble, f"after the power cut the file system cannot be mounted: {trouble}"
        try:
            yield where
        finally:
            _run("umount", str(where))
            self._mounted.remove(where)
            image.unlink()

    def close(self) -> None:
        """Unmount and detach all of it; whatever is open there is cut off."""
        for where in reversed(self._mounted):
            if where == self._device and self._loop:
                _run("losetup", "--detach", self._loop)
            _run("umount", "--lazy", str(where))
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.close()
        self._server.stdout.close()
        self._server.wait(20)


def _make(image: Path, kind: str) -> None:
    with image.open("wb") as file:
        file.truncate(SIZES[kind])
    done = _run(*MAKE[kind], str(image))
    assert done.returncode == 0, done.stderr


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def why_not(kind: str = "ext4") -> str:
    """Why there can be no such disk here; empty if there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "only root on Linux may mount a file system"
    missing = [name for name in (MAKE[kind][0], "losetup", "mount") if shutil.which(name) is None]
    missing += [path for path in ("/dev/fuse", "/dev/loop-control") if not os.path.exists(path)]
    return f"there is no {missing[0]} here" if missing else ""


if __name__ == "__main__":
    Server(Path(sys.argv[1]), Path(sys.argv[2])).run()
