"""The log writer: moves what jobs print from their pipes to their files, for all children of one zygote.

Owns the files of the running attempts. A byte goes from pipe to file within the kernel, so a writer that is killed
takes none with it, and the next one goes on where the file ends. A job never waits for the disk: what the disk refuses
is read, counted and dropped. Neither lines nor encodings are known here.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import time
from typing import NoReturn

from ....protocol import logfile
from . import channel
from .control import now
from .loop import Handler, Loop
from .page import Page, Slot
from .wire import Wire

CHUNK_BYTES = 64 * 1024
CHUNKS_PER_TURN = 16  # then the other jobs get theirs
PART_BYTES_MIN = 4096
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Spilt(OSError):
    """The disk refused ``size`` bytes that had been taken out of the pipe."""

    def __init__(self, error: OSError, size: int) -> None:
        super().__init__(error.errno, error.strerror)
        self.size = size


class Part:
    """One file of an output and its index, open for writing. ``start`` and ``end`` are positions in the output."""

    def __init__(self, base: str, part: str, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._unwritten = b""
        self.index = os.open(logfile.index_file(base, part), _FLAGS, 0o600)
        try:
            self.data = os.open(logfile.data_file(base, part), _FLAGS, 0o600)
        except OSError:
            os.close(self.index)
            raise
        self.index_size = 0
        self.size = 0
        self.start = 0
        self.end = 0
        self.refused = 0  # bytes that its index tells of as refused by the disk

    def begin(self, start: int) -> None:
        """Make it empty; what follows is at ``start``."""
        os.ftruncate(self.index, 0)  # first: an index must never speak of bytes that are not there
        os.ftruncate(self.data, 0)
        self.index_size = self.size = 0
        self.start = self.end = start
        self.note(start, 0, 0, 0)

    def resume(self, start: int | None) -> bool:
        """Go on where an earlier writer was killed; False if where the file starts is neither given nor noted."""
        count = os.fstat(self.index).st_size // logfile.RECORD.size
        self.index_size = count * logfile.RECORD.size
        if count:
            self.start = self._record(0)[0]
            at, file_at, length, _, refused, _ = self._record(count - 1)
            self.end = at + length
            self.size = file_at + (0 if refused else length)
        elif start is None:
            return False
        else:
            self.start = self.end = start
            self.size = 0
        self.refused = self.end - self.start - self.size
        unnoted = os.fstat(self.data).st_size - self.size
        if unnoted > 0:  # killed between the data and its record
            self.note(self.end, self.size, unnoted, 0)
            self.size += unnoted
        return True

    def _record(self, number: int) -> tuple[int, int, int, int, int, float]:
        size = logfile.RECORD.size
        return logfile.RECORD.unpack(os.pread(self.index, size, number * size))

    @property
    def up_to_date(self) -> bool:
        """Whether its index tells of all that is in it."""
        return not self._unwritten

    def room(self) -> int:
        """Bytes that may still come in; the index counts as well."""
        return self._bytes_max - self.size - self.index_size - logfile.RECORD.size

    def splice(self, pipe: int) -> int:
        """Move what is in ``pipe``, as far as there is room; gives how much that was, which is to be noted.

        Raises:
            BlockingIOError: the pipe is empty.
            OSError: the disk refuses; nothing was taken out of the pipe, unless it is ``Spilt``.
        """
        size = min(CHUNK_BYTES, self.room())
        try:
            moved = os.splice(pipe, self.data, size, offset_dst=self.size, flags=os.SPLICE_F_NONBLOCK)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            moved = self._copy(pipe, size)  # a file system without splice
        self.size += moved
        return moved

    def _copy(self, pipe: int, size: int) -> int:
        data = os.read(pipe, size)
        done = 0
        try:
            while done < len(data):
                done += os.pwrite(self.data, data[done:], self.size + done)
        except OSError as error:
            raise Spilt(error, len(data)) from None
        return done

    def note(self, at: int, file_at: int, length: int, stream: int, refused: int = 0) -> None:
        """Append a record to the index; one that the disk refuses is written with the next.

        Args:
            at: position in the output.
            file_at: position in the file.
            refused: errno with which the disk refused these bytes, 0 for bytes that are in the file.
        """
        self._unwritten += logfile.RECORD.pack(at, file_at, length, stream, refused, time.time())
        self.end = max(self.end, at + length)
        try:
            written = os.pwrite(self.index, self._unwritten, self.index_size)
        except OSError:
            return
        self.index_size += written
        self._unwritten = self._unwritten[written:]

    def close(self) -> None:
        os.close(self.data)
        os.close(self.index)


class Output:
    """All that one attempt prints: its head, and its end in two tails by turns once the head is full.

    Attributes:
        end: position after all that was printed.
        kept: position after the last byte that was written, and noted.
        unwritten: how many bytes the disk has refused, lately with ``errno``.
    """

    def __init__(self, base: str, bytes_max: int) -> None:
        self._base = base
        self._sizes = {logfile.HEAD: max(PART_BYTES_MIN, bytes_max // 2)}
        self._sizes.update(dict.fromkeys(logfile.TAILS, max(PART_BYTES_MIN, bytes_max // 4)))
        self._part: Part | None = None
        self._name = logfile.HEAD
        self._resume_due = False
        self._gap = 0  # so many bytes before ``end`` were refused, and no index tells of it yet
        self.end = self.kept = 0
        self.unwritten = self.errno = 0

    def resume(self) -> None:
        """Go on after an earlier writer, now or as soon as the disk lets it."""
        self._resume_due = True
        try:
            self._resume()
        except OSError:
            return

    def _resume(self) -> None:
        self.unwritten = self._gap
        for name in (logfile.HEAD, *logfile.TAILS):
            if os.path.exists(logfile.index_file(self._base, name)):
                self._resume_part(name)
        if self._part is not None:
            self.kept = self._part.end
            self.end = self.kept + self._gap
        self._resume_due = False

    def _resume_part(self, name: str) -> None:
        """Take this file for the present one if it is the latest so far."""
        part = Part(self._base, name, self._sizes[name])
        begun = part.resume(0 if name == logfile.HEAD else None)
        self.unwritten += part.refused
        if not begun or (self._part is not None and part.start < self._part.start):
            part.close()
            return
        if self._part is not None:
            self._part.close()
        self._part, self._name = part, name

    def take(self, pipe: int, stream: int) -> bool:
        """Move a piece out of ``pipe``; False at its end.

        Raises:
            BlockingIOError: the pipe is empty.
        """
        try:
            part = self._place()
            moved = part.splice(pipe)
        except BlockingIOError:
            raise
        except OSError as error:  # no space, no permission, a broken disk: the job must go on
            moved = error.size if isinstance(error, Spilt) else len(os.read(pipe, CHUNK_BYTES))
            self._refused(moved, error.errno or errno.EIO)
        else:
            if moved:
                file_at = part.size - moved
                self._note_gap(part, file_at)
                part.note(self.end, file_at, moved, stream)
                if part.up_to_date:  # otherwise no reader would find it
                    self.kept = self.end + moved
        self.end += moved
        return moved > 0

    def _refused(self, size: int, why: int) -> None:
        self._gap += size
        self.unwritten += size
        self.errno = why

    def _note_gap(self, part: Part, file_at: int) -> None:
        """Have the index tell of what was refused just before ``end``, and before ``file_at`` in the file."""
        at = self.end - self._gap
        while at < self.end:
            length = min(self.end - at, logfile.LENGTH_MAX)
            part.note(at, file_at, length, 0, self.errno)
            at += length
        self._gap = 0

    def _place(self) -> Part:
        if self._resume_due:
            self._resume()
        part = self._part
        if part is None:
            os.makedirs(os.path.dirname(self._base), 0o700, exist_ok=True)
            self._part = part = self._fresh(logfile.HEAD)
        elif part.room() <= 0:
            name = logfile.TAILS[self._name == logfile.TAILS[0]]
            self._part, self._name = self._fresh(name), name
            part.close()
            part = self._part
        return part

    def _fresh(self, name: str) -> Part:
        part = Part(self._base, name, self._sizes[name])
        try:
            part.begin(self.end - self._gap)
        except OSError:
            part.close()
            raise
        return part

    def close(self) -> None:
        """Write down what was refused at the end, if that can be written, and close."""
        if self._gap:
            try:
                part = self._place()
                self._note_gap(part, part.size)
            except OSError:
                pass  # nor has it room for this; the supervisor was told
        if self._part is not None:
            self._part.close()


class Stream:
    """One attempt whose pipes are open."""

    __slots__ = ("kid", "name", "open", "output", "slot", "told", "watch")

    def __init__(self, kid: int, name: str, output: Output, slot: Slot) -> None:
        self.kid = kid
        self.name = name
        self.output = output
        self.slot = slot
        self.told = 0  # so many of the bytes that the disk refused
        self.open = len(logfile.STREAMS)
        self.watch: int | None = None


class Writer:
    """The loop of the process."""

    def __init__(self, sock: socket.socket, page: Page, output_dir: str, bytes_max: int) -> None:
        self._page = page
        self._output_dir = output_dir
        self._bytes_max = bytes_max
        self._loop = Loop()
        self._streams: dict[int, Stream] = {}
        self._alone = False
        self._wire = Wire(self._loop, sock, channel.TO_WRITER, self._message, self._left_alone)

    def run(self) -> None:
        """Until the zygote is gone and all pipes have ended."""
        while self._streams or not self._alone:
            self._loop.run_once(None)

    def _left_alone(self) -> None:
        self._alone = True

    def _message(self, message: channel.Open | channel.Watch, fds: list[int]) -> None:
        match message:
            case channel.Open():
                self._open(message, fds)
            case channel.Watch():
                self._watch(message)

    def _open(self, message: channel.Open, pipes: list[int]) -> None:
        output = Output(os.path.join(self._output_dir, message.name), self._bytes_max)
        if message.again:
            output.resume()
        stream = self._streams[message.kid] = Stream(message.kid, message.name, output, self._page.slot(message.slot))
        for index, pipe in enumerate(pipes):
            self._loop.watch(pipe, self._reader(stream, pipe, index))

    def _reader(self, stream: Stream, pipe: int, index: int) -> Handler:
        return lambda events: self._readable(stream, pipe, index)

    def _watch(self, message: channel.Watch) -> None:
        stream = self._streams.get(message.kid)
        if stream is not None:  # otherwise Done is on its way
            stream.watch = message.size
            self._tell_growth(stream)

    def _readable(self, stream: Stream, pipe: int, index: int) -> None:
        stream.slot.beat(now())
        try:
            for _ in range(CHUNKS_PER_TURN):
                if not stream.output.take(pipe, index):
                    self._ended(stream, pipe)
                    return
        except BlockingIOError:
            pass
        if stream.output.unwritten >= 2 * stream.told:  # seldom, however much there is
            self._tell_unwritten(stream)
        self._tell_growth(stream)

    def _tell_unwritten(self, stream: Stream) -> None:
        output = stream.output
        if output.unwritten > stream.told:
            stream.told = output.unwritten
            self._wire.put(channel.Unwritten(stream.name, output.unwritten, output.errno))

    def _tell_growth(self, stream: Stream) -> None:
        if stream.watch is not None and stream.output.kept > stream.watch:  # what is lost is nothing to read
            stream.watch = None
            self._wire.put(channel.Grew(stream.kid))

    def _ended(self, stream: Stream, pipe: int) -> None:
        self._loop.forget(pipe)
        os.close(pipe)
        stream.open -= 1
        if stream.open == 0:
            stream.output.close()
            self._tell_unwritten(stream)
            del self._streams[stream.kid]
            self._wire.put(channel.Done(stream.kid))


def run(sock: socket.socket, page: Page, output_dir: str, output_fd: int | None, bytes_max: int) -> NoReturn:
    """From the fork to the end of the process."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if output_fd is not None:
            os.fchdir(output_fd)
            output_dir = "."
        os.dup2(sock.fileno(), 3, inheritable=False)
        os.closerange(4, 1 << 20)
        own = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=3)
        Writer(own, page, output_dir, bytes_max).run()
        os._exit(0)
    except BaseException:  # nothing may return into the zygote's code; it starts another writer
        sys.excepthook(*sys.exc_info())
        os._exit(1)
