"""The normative description says what the code does: its transcripts, tables and numbers are checked against it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jobyard.protocol import codec, errors, history, messages
from jobyard.protocol.errors import JobNotFound

README = (Path(__file__).parents[3] / "protocol" / "README.md").read_text()
BLOCKS = re.findall(r"^```json (request|reply)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def plain(value: Any) -> Any:
    """JSON with its bytes restored."""
    if isinstance(value, dict):
        return bytes.fromhex(value["$bytes"]) if value.keys() == {"$bytes"} else {k: plain(v) for k, v in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def shown(frame: bytes) -> str:
    """A frame as JSON, to be put into the README."""
    return json.dumps(codec.unpack(frame), indent=2, ensure_ascii=False, default=lambda data: {"$bytes": data.hex()})


def transcripts() -> list[tuple[Any, Any]]:
    frames = [plain(json.loads(block)) for kind, block in BLOCKS if kind == "request"]
    replies = {frame["id"]: frame for frame in (plain(json.loads(block)) for kind, block in BLOCKS if kind == "reply")}
    return [(frame, replies[frame["id"]]) for frame in frames]


def test_every_verb_has_a_transcript() -> None:
    assert [request["verb"] for request, _ in transcripts()] == list(messages.REQUESTS)
    assert re.findall(r"^### `(\w+)`$", README, re.MULTILINE) == list(messages.REQUESTS)


@pytest.mark.parametrize("request_, reply", transcripts(), ids=list(messages.REQUESTS))
def test_transcript_is_what_the_code_sends(request_: Any, reply: Any) -> None:
    sent = codec.pack(request_)
    request_id, request = messages.unpack_request(sent)
    again = messages.pack_request(request_id, request)
    assert again == sent, f"the README should say:\n{shown(again)}"
    answer = codec.pack(reply)
    found_id, frame = messages.unpack_reply(answer)
    assert found_id == request_id
    again = messages.pack_reply(found_id, messages.read_reply(request.VERB, frame))
    assert again == answer, f"the README should say:\n{shown(again)}"


def test_transcript_of_an_error_is_what_the_code_sends() -> None:
    (frame,) = [plain(json.loads(block)) for kind, block in BLOCKS if '"error": {' in block]
    with pytest.raises(JobNotFound) as caught:
        messages.read_reply("get", frame)
    assert messages.pack_reply(frame["id"], caught.value) == codec.pack(frame)


def test_bytes_of_the_smallest_request_are_right() -> None:
    (hexadecimal,) = re.findall(r"^```hex ping\n(\w+)\n```", README, re.MULTILINE)
    assert bytes.fromhex(hexadecimal) == messages.pack_request("1", messages.Ping())


def test_version_is_the_code_s() -> None:
    assert f"Protocol version: **{messages.PROTOCOL_VERSION}**" in README


def test_limits_are_the_code_s() -> None:
    told = {
        name: int(value.replace(",", "")) for name, value in re.findall(r"^\| `(\w+_MAX)` \| ([\d,]+) \|", README, re.M)
    }
    held = {**vars(codec), **vars(messages), **vars(history)}
    assert told == {name: value for name, value in held.items() if name.endswith("_MAX") and not name.startswith("_")}


def test_errors_are_the_code_s() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \| ", README, re.MULTILINE))
    assert told == {code: cls.__name__ for code, cls in errors.BY_CODE.items()}


def test_types_of_values_are_the_code_s() -> None:
    told = re.findall(r"`((?:datetime|decimal|uuid|pathlib)\.[\w.]+)`", README.partition("## Values")[2])
    assert sorted(told) == sorted(codec._TYPES)
