"""How notices are published: the topics, and the frames of a message.

A message has three frames: the topic, a header, and the notices. The header tells the epoch, the seq of the last notice
that was published under this topic before, and the last seq of this message. So whoever gets it knows whether a message
is missing between the one before and this one.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from . import codec, errors, schema
from .errors import JobyardError, ProtocolError, VersionMismatch
from .messages import PROTOCOL_VERSION
from .notices import KINDS, EventFilter, Notice

ALL = b"all/"
# A subscription to HELLO, a word, "/" and a topic is answered with one message under all of that: from then on nothing
# that is published under the topic is missed, or an error says why it is not published.
HELLO = b"hello/"
TOPIC_BYTES_MAX = 128
# Exact: a topic ends with "/", so that none is the beginning of another.
_MANY = re.compile(rb"job/[1-9]\d{0,18}/|queue/[A-Za-z0-9_.-]+/")
_FEW = frozenset({ALL, *(b"kind/%b/" % kind.encode() for kind in KINDS)})
_HEADER = struct.Struct(">QQQ")


class Published(NamedTuple):
    """A message of the stream: ``notices`` are those after ``before`` and up to ``last`` of its topic."""

    epoch: int
    before: int
    last: int
    body: bytes

    def notices(self) -> list[Notice]:
        """
        Raises:
            JobyardError: what the supervisor says instead. ProtocolError, VersionMismatch: it is of another version.
        """
        message = codec.unpack(self.body)
        if isinstance(message, dict) and isinstance(message.get("error"), dict):
            raise errors.from_wire(message["error"])
        if not isinstance(message, dict) or not isinstance(message.get("notices"), list):
            raise ProtocolError("not a message of the status stream")
        if message.get("v") != PROTOCOL_VERSION:
            raise VersionMismatch(
                f"the status stream is of protocol version {message.get('v')!r}, this client speaks {PROTOCOL_VERSION}",
                hint="install the same version of jobyard on both sides",
            )
        return [schema.from_wire(Notice, wire) for wire in message["notices"]]


def is_topic(topic: bytes) -> bool:
    """Whether notices may be published under it."""
    return topic in _FEW or is_one_of_many(topic)


def is_one_of_many(topic: bytes) -> bool:
    """Whether it is a topic of which there may be any number."""
    return _MANY.fullmatch(topic) is not None


def of(kind: str, job_id: int | None, queue: str | None) -> list[bytes]:
    """Every topic that such a notice is published under."""
    found = [ALL, b"kind/%b/" % kind.encode()]
    if job_id is not None:
        found.append(b"job/%d/" % job_id)
    if queue is not None:
        found.append(b"queue/%b/" % queue.encode())
    return found


def for_filter(wanted: EventFilter) -> bytes:
    """The narrowest topic under which all that a filter lets through is published."""
    if wanted.job_id is not None:
        return b"job/%d/" % wanted.job_id
    if wanted.queue is not None:
        return b"queue/%b/" % wanted.queue.encode()
    return b"kind/%b/" % wanted.kinds[0].encode() if len(wanted.kinds) == 1 else ALL


def is_exact(wanted: EventFilter) -> bool:
    """Whether a filter lets all through that is published under its topic."""
    given = (wanted.job_id is not None) + (wanted.queue is not None) + len(wanted.kinds)
    return given <= 1


def matches(wanted: EventFilter, kind: str, job_id: int | None, queue: str | None) -> bool:
    """Whether a filter lets such a notice through: all that it gives must hold."""
    return (
        (wanted.job_id is None or wanted.job_id == job_id)
        and (wanted.queue is None or wanted.queue == queue)
        and (not wanted.kinds or kind in wanted.kinds)
    )


def pack(epoch: int, before: int, last: int, notices: Sequence[dict[str, Any]]) -> list[bytes]:
    """The frames after the topic; ``notices`` as ``schema.to_brief_wire`` makes them."""
    return [_HEADER.pack(epoch, before, last), codec.pack({"v": PROTOCOL_VERSION, "notices": notices})]


def pack_refusal(epoch: int, error: JobyardError) -> list[bytes]:
    """The frames after the topic of a hello, when there will be nothing under the topic."""
    return [_HEADER.pack(epoch, 0, 0), codec.pack({"v": PROTOCOL_VERSION, "error": error.to_wire()})]


def unpack(frames: Sequence[bytes]) -> Published:
    """The message in these frames, the topic included.

    Raises:
        ProtocolError: they are none.
    """
    if len(frames) != 3 or len(frames[1]) != _HEADER.size:
        raise ProtocolError("not a message of the status stream")
    epoch, before, last = _HEADER.unpack(frames[1])
    return Published(epoch, before, last, frames[2])
