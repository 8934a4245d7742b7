"""T10: whatever bytes come in, the desk answers or says nothing, and goes on.

Frames are made of valid requests by damaging them, at the level of bytes and at the level of values. One seed makes all
of them; it is printed when a frame is not survived.
"""

from __future__ import annotations

import gc
import logging
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
import tiers
from desk_bench import OWNER, DeskBench
from jobyard.protocol import messages as m
from jobyard.protocol.codec import pack_arguments
from jobyard.protocol.notices import EventFilter, Events

FRAMES = tiers.size(200_000, 10_000_000, 100_000_000)
FRESH_EACH = 20_000  # frames, after which a new desk takes over, so that memory can be compared
TURN_EACH = 32
SLOWEST_S = 10.0  # a hang; what is quick and what is slow is for benchmarks to say
UID = "019a8f2c4b7e5d0c9be1f2a34c5d6e7f"
CODES = frozenset(
    [
        "bad_request",
        "too_deep",
        "too_large",
        "version_mismatch",
        "not_allowed",
        "bad_arguments",
        "unknown_queue",
        "queue_full",
        "queue_draining",
        "duplicate_job",
        "job_not_found",
        "wrong_state",
        "unauthorised",
        "rate_limited",
        "history_unavailable",
        "outcome_unknown",
    ]
)
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 0.5, float("nan"), float("inf"), -0.0, 1e308, "", "x",
    "\0", "\x1b[31m", "\u202e", "../../etc/passwd", "9" * 5000, "\ud800", b"", b"\xc0", [], {}, [[]], {"": {}},
    "queued", "mail", "jobs:add", "open", "now", [1], [2**64 - 1], ["x"] * 50, {"x": "y"}, UID, [float("nan")],
)  # fmt: skip


def _requests() -> list[dict[str, Any]]:
    """One valid request of each verb and of each of its branches, as a map."""
    payload = pack_arguments((1, 2), {})
    made: list[Any] = [
        m.Ping(), m.Status(), m.Catalog(), m.Counters(), m.Reload(), m.LogFormat("json"), m.RecyclePool("default"),
        m.Submit([m.Submission(UID, "jobs:add", payload, 2)]),
        m.Submit([m.Submission(UID[:-1] + "0", "jobs:Mail", payload, 2, [], "send",
                  {"queue": "mail", "priority": 5, "tags": {"a": "b"}, "key": "k", "delay": 60, "after": [1]})]),
        m.Get([1, 2]), m.Wait([1]), m.Wait([1, 2], any=True), m.Cancel([1, 2]), m.RetryJob(1), m.Logs(1),
        m.Cancel(None, m.Filter(queue="mail"), 1.0, "why"), m.SetQueue("paused", "mail"), m.SetQueue("open"),
        m.List(m.Filter(states=["queued"], search="a b", error="x", tags={"a": "b"}), 10, sort="oldest"),
        m.Logs(1, 1, 5, True, 10), Events(None, None, True, EventFilter(job_id=1)), Events(1, 0),
        m.SetJob([1], {"priority": 3, "delay": 0.0, "queue": "mail"}), m.Remove([1]), m.Prune(60.0, ["failed"]),
        m.Why(1), m.Stats(["hour", "queue"], queue="mail", since=1.0),
    ]  # fmt: skip
    return [msgpack.unpackb(m.pack_request("1", request)) for request in made]


class Mutator:
    """Damaged requests without an end, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.valid = _requests()

    def frame(self) -> bytes:
        rng = self.rng
        request = rng.choice(self.valid)
        kind = rng.random()
        if kind < 0.02:
            return rng.randbytes(rng.randrange(200))
        if kind < 0.03:
            return self._bomb()
        if kind > 0.15:
            request = self._changed(request)
        if rng.random() < 0.7:
            request = self._new_uid(request)
        try:
            data = bytes(msgpack.packb(request, unicode_errors="surrogatepass"))
        except (ValueError, OverflowError):
            return b""
        return self._damaged(data) if 0.5 < kind < 0.7 else data

    def _changed(self, value: Any) -> Any:
        """The value with something in it replaced, left out, doubled or moved."""
        rng = self.rng
        if isinstance(value, dict) and value and rng.random() < 0.9:
            changed = dict(value)
            key = rng.choice(list(changed))
            what = rng.random()
            if what < 0.8:
                changed[key] = self._changed(changed[key])
            elif what < 0.9:
                del changed[key]
            else:
                changed[rng.choice(["x", "ids", "v", "id", b"id", 7])] = rng.choice(ODD)
            return changed
        if isinstance(value, list) and value and rng.random() < 0.7:
            at = rng.randrange(len(value))
            return [*value[:at], self._changed(value[at]), *value[at + (rng.random() < 0.8) :]]
        if isinstance(value, int) and not isinstance(value, bool) and rng.random() < 0.4:
            return rng.randrange(-2, 600)
        return rng.choice(ODD)

    def _new_uid(self, request: Any) -> Any:
        """If it is a submit, it is of another job."""
        body = request.get("body") if isinstance(request, dict) else None
        jobs = body.get("jobs") if isinstance(body, dict) else None
        if not isinstance(jobs, list) or not jobs or not isinstance(jobs[0], dict):
            return request
        jobs = [{**jobs[0], "uid": f"{self.rng.getrandbits(128):032x}"}, *jobs[1:]]
        return {**request, "body": {**request["body"], "jobs": jobs}}

    def _damaged(self, data: bytes) -> bytes:
        rng = self.rng
        found = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(found)) if found else 0
            match rng.randrange(4):
                case 0 if found:
                    found[at] ^= 1 << rng.randrange(8)
                case 1:
                    found[at:at] = rng.randbytes(rng.randrange(5))
                case 2:
                    del found[at : at + rng.randrange(5)]
                case _:
                    del found[at:]
        return bytes(found)

    def _bomb(self) -> bytes:
        rng = self.rng
        count = rng.choice((31, 33, 600, 5000))
        deep = rng.choice((b"\x91", b"\x81\xa1x")) * count + b"\xc0"
        wide = b"\xdc\xff\xff" + b"\x90" * 65535
        false_length = rng.choice((b"\xdd", b"\xdf", b"\xc6", b"\xdb")) + b"\xff\xff\xff\xff"
        ext = b"\x83\xa1v\x01\xa2id\xa11\xa4body" + rng.choice((b"\xd4\x01\x00", b"\xd6\xff\x00\x00\x00\x00"))
        inside = b"\x84\xa1v\x01\xa2id\xa11\xa4verb\xa4ping\xa4body" + deep
        return rng.choices((deep, wide, false_length, ext, inside), weights=(10, 1, 10, 10, 10))[0]


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.fixture
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.tier("T10")
def test_no_frame_is_too_odd_for_the_desk(quiet: None, request: pytest.FixtureRequest) -> None:
    seed = request.config.getoption("--seed") or random.SystemRandom().randrange(1 << 32)
    mutator = Mutator(seed)
    answered: dict[str, int] = {}
    slowest = 0.0
    sizes: list[int] = []
    done = 0
    while done < FRAMES:
        bench = DeskBench()
        for at in range(0, FRESH_EACH, TURN_EACH):
            frames = [mutator.frame() for _ in range(TURN_EACH)]
            for frame in frames:
                bench.feed(frame, OWNER, b"%d" % (at % 7))
            began = time.monotonic()
            try:
                while bench.requests.arrived or bench.front.busy:
                    for _, answer in bench.turn():
                        _count(answered, answer)
            except Exception as error:
                shown = "\n".join(frame.hex() for frame in frames if len(frame) < 2000)
                raise AssertionError(f"not survived: --seed {seed}, one of these frames:\n{shown}") from error
            slowest = max(slowest, time.monotonic() - began)
        assert bench.machine.stopping is None
        done += FRESH_EACH
        del bench
        gc.collect()
        sizes.append(resident_bytes())
    assert slowest < SLOWEST_S, f"--seed {seed}"
    assert answered.keys() <= CODES | {"ok"}, f"--seed {seed}: {answered}"
    assert {"ok", "bad_request", "too_deep", "not_allowed"} <= answered.keys(), "else not much was tried"
    assert sizes[-1] < 1.05 * max(sizes[: len(sizes) // 2]), f"--seed {seed}: memory grows without an end: {sizes}"
    tiers.report("T10", "damaged requests, in process", frames=done, answers=sum(answered.values()), uncaught=0)


def _count(answered: dict[str, int], answer: dict[str, Any]) -> None:
    error = answer.get("error")
    code = "ok" if error is None else error["code"]
    assert error is None or "a fault in jobyard" not in error["message"], error
    answered[code] = answered.get(code, 0) + 1
