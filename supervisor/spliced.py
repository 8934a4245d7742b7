"""A reply of jobs of which some are packed already, as the history process gave them: they pass through unopened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import msgpack

from ..protocol import codec, schema
from ..protocol.job import JobInfo
from ..protocol.messages import PROTOCOL_VERSION, Jobs
from .core.state import Job

REPLY_BYTES_MAX = codec.MESSAGE_BYTES_MAX // 2
REPLY_ELEMENTS_MAX = codec.ENVELOPE_ELEMENTS_MAX - 10_000
_JOB_BYTES = 4096  # what a job takes in a reply beside its values, generously
_JOB_ELEMENTS, _ATTEMPT_ELEMENTS, _PARENT_ELEMENTS = 100, 40, 3  # as the codec counts them


class Packed(NamedTuple):
    """A ``JobInfo`` in the form in which it is sent, and how many elements it has."""

    data: bytes
    elements: int


@dataclass(slots=True)
class Spliced:
    """As ``Jobs`` of protocol/messages.py."""

    jobs: list[JobInfo | Packed]
    more: bool = False
    incomplete: str | None = None

    @classmethod
    def fitting(cls, jobs: Iterable[JobInfo | Packed], more: bool = False, incomplete: str | None = None) -> Spliced:
        """With as many of the jobs as one message holds; ``more`` if those are not all."""
        taken: list[JobInfo | Packed] = []
        size = elements = 0
        for job in jobs:
            size += _size(job)
            elements += job.elements if isinstance(job, Packed) else job_elements(job)
            if taken and (size > REPLY_BYTES_MAX or elements > REPLY_ELEMENTS_MAX):
                return cls(taken, True, incomplete)
            taken.append(job)
        return cls(taken, more, incomplete)

    def pack(self, request_id: str) -> bytes:
        """The frame that ``pack_reply`` would make, were all jobs open."""
        packer = msgpack.Packer(unicode_errors="backslashreplace")
        body = schema.to_wire(Jobs([], self.more, self.incomplete))
        parts = [packer.pack_map_header(3), packer.pack("v"), packer.pack(PROTOCOL_VERSION)]
        parts += [packer.pack("id"), packer.pack(request_id), packer.pack("ok"), packer.pack_map_header(len(body))]
        for name, value in body.items():
            parts.append(packer.pack(name))
            if name != "jobs":
                parts.append(packer.pack(value))
                continue
            parts.append(packer.pack_array_header(len(self.jobs)))
            parts += [job.data if isinstance(job, Packed) else packer.pack(schema.to_wire(job)) for job in self.jobs]
        return b"".join(parts)


def job_bytes(values_bytes: int) -> int:
    """What a job takes in a reply whose values take this."""
    return values_bytes + _JOB_BYTES


def job_elements(job: Job | JobInfo) -> int:
    return _JOB_ELEMENTS + _ATTEMPT_ELEMENTS * len(job.attempts) + _PARENT_ELEMENTS * len(job.parents)


def _size(job: JobInfo | Packed) -> int:
    if isinstance(job, Packed):
        return len(job.data)
    errors = sum(len(one.error.message) + len(one.error.traceback) for one in job.attempts if one.error)
    return job_bytes(len(job.payload) + len(job.result_payload or b"") + errors)
