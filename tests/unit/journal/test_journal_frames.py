from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobyard.supervisor.journal import frames


@given(st.sampled_from(sorted(frames.KINDS)), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.binary())
def test_a_frame_is_decoded_as_it_was_encoded(kind: bytes, number: int, salt: int, payload: bytes) -> None:
    data = frames.encode(kind, number, salt, payload)

    frame = frames.decode(memoryview(data), 0)

    assert frame is not None
    assert (frame.kind, frame.number, frame.salt, bytes(frame.payload)) == (kind, number, salt, payload)
    assert (frame.start, frame.end) == (0, len(data))


def test_a_frame_with_any_bit_flipped_is_no_frame() -> None:
    data = bytearray(frames.encode(frames.GROUP, 7, 99, b"twelve bytes"))
    for bit in range(len(data) * 8):
        data[bit // 8] ^= 1 << bit % 8
        assert frames.decode(memoryview(data), 0) is None, f"bit {bit}"
        data[bit // 8] ^= 1 << bit % 8
    assert frames.decode(memoryview(data), 0) is not None


def test_a_cut_frame_is_no_frame() -> None:
    data = frames.encode(frames.GROUP, 7, 99, b"twelve bytes")
    for size in range(len(data)):
        assert frames.decode(memoryview(data[:size]), 0) is None, f"{size} bytes"


def test_a_length_beyond_reason_is_refused_before_anything_is_read() -> None:
    data = frames.encode(frames.GROUP, 1, 2, b"x")
    huge = data[:24] + (frames.PAYLOAD_BYTES_MAX + 1).to_bytes(4, "big") + data[28:]
    assert frames.decode(memoryview(huge), 0) is None


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_garbage_holds_no_frame(data: bytes) -> None:
    assert list(frames.find(memoryview(data), 0)) == []


def test_frames_are_found_behind_garbage_and_false_starts() -> None:
    first, second = frames.encode(frames.GROUP, 1, 5, b"a"), frames.encode(frames.END, 2, 5)
    data = b"junk" + frames.PREFIX + first + frames.PREFIX + b"G" + second + b"\x89"

    assert [(frame.kind, frame.number) for frame in frames.find(memoryview(data), 0)] == [
        (frames.GROUP, 1),
        (frames.END, 2),
    ]


def test_a_frame_inside_the_payload_of_another_is_not_found() -> None:
    inner = frames.encode(frames.GROUP, 9, 5, b"inner")
    data = frames.encode(frames.GROUP, 1, 5, inner)
    assert [frame.number for frame in frames.find(memoryview(data), 0)] == [1]


def test_a_group_is_one_list_of_its_records() -> None:
    packed = [msgpack.packb([1, "a"]) + msgpack.packb([2]), msgpack.packb([3, b"\xff"])]
    assert frames.unpack(memoryview(frames.pack_group(3, packed))) == [[1, "a"], [2], [3, b"\xff"]]


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x93\x01", b"\x01\x01", b"\xdd\xff\xff\xff\xff", b"\xa1\xff"])
def test_a_payload_that_is_not_one_value_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=":"):
        frames.unpack(memoryview(payload))
