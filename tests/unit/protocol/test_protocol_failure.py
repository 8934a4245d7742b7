"""Exceptions as text: what conformance with real jobs does not reach."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from jobyard.protocol import failure


class NoTraceback(Exception):
    @property
    def __cause__(self) -> BaseException | None:  # type: ignore[override]
        raise RuntimeError("broken in every way")


def test_exception_whose_cause_is_broken_is_still_described() -> None:
    kind, message, traceback, kinds = failure.describe(NoTraceback("text"), 1000)
    assert kind.endswith("NoTraceback") and message == "text" and kinds[-1] == "BaseException"
    assert traceback == "(no traceback: RuntimeError while it was formatted)\n"


def test_message_can_be_replaced() -> None:
    assert failure.describe(SystemExit(3), 1000, "the job called sys.exit(3)")[:2] == [
        "SystemExit",
        "the job called sys.exit(3)",
    ]


def test_cut_keeps_both_ends_within_the_limit() -> None:
    text = "a" * 5000 + "ü" * 5000 + "z" * 5000
    short = failure.cut(text, 1001)
    assert short.startswith("aaa") and short.endswith("zzz") and "left out" in short
    assert len(short.encode()) < 1001 + 60
    assert failure.cut("short", 1000) == "short"


def test_notes_are_told() -> None:
    error = ValueError("text")
    error.add_note("look here")
    assert "look here" in failure.describe(error, 1000)[2]


def test_very_long_chain_is_limited() -> None:
    error = ValueError("0")
    for number in range(1, 500):
        outer = ValueError(str(number))
        outer.__cause__ = error
        error = outer
    assert failure.describe(error, 1 << 20)[2].count("ValueError") == 20


def test_hostile_class_names_are_text() -> None:
    cls = type("Bad", (Exception,), {"__module__": 5, "__qualname__": "Bad\udcff"})
    kind, _, _, kinds = failure.describe(cls("x"), 1000)
    for text in (kind, *kinds):
        text.encode("utf-8")


def function_of(module: str, name: str, body: str) -> Callable[..., Any]:
    """A function that is defined in ``module``."""
    space: dict[str, Any] = {"__name__": module}
    exec(f"def {name}(then=None, *rest):\n    {body}", space)
    found: Callable[..., Any] = space[name]
    return found


def names_told(chain: list[Callable[..., Any]]) -> list[str]:
    """The functions in the traceback when each calls the next."""
    with pytest.raises(Exception) as caught:
        chain[0](*chain[1:])
    error = caught.value.with_traceback(caught.tb.tb_next)  # without this function
    return re.findall(r", in (\w+)", failure.describe(error, 10_000)[2])


def test_frames_of_ours_are_left_out_wherever_they_are() -> None:
    call = "then(*rest)"
    child = function_of("jobyard.supervisor.executors.zygote.child", "child", call)
    runner = function_of("asyncio.runners", "runner", call)
    main = function_of("jobyard.supervisor.executors.zygote.child", "main", call)
    job, library = function_of("app", "job", call), function_of("jobyard_tools", "library", call)
    user_loop = function_of("asyncio.runners", "user_loop", call)
    track = function_of("jobyard.protocol.running", "track", call)
    callback = function_of("app", "callback", call)
    codec = function_of("jobyard.protocol.codec", "codec", "raise ValueError('x')")
    assert names_told([child, runner, main, job, user_loop, library, track, callback, codec]) == [
        "job",
        "user_loop",
        "library",
        "callback",
    ]
    assert names_told([child, codec]) == []


def test_frames_of_code_without_a_module_name_are_told() -> None:
    job = function_of("app", "job", "then(*rest)")
    nameless = function_of("", "nameless", "raise ValueError('x')")
    nameless.__globals__["__name__"] = None
    assert names_told([job, nameless]) == ["job", "nameless"]


def test_place_in_the_line_is_still_told() -> None:
    """Frames are left out without turning the rest into bare line numbers."""
    with pytest.raises(ValueError, match="invalid literal") as caught:
        int("1") + int("x")
    told = failure.describe(caught.value, 10_000)[2]
    assert re.search(r'    int\("1"\) \+ int\("x"\)\n {15}[~^]{8}\n', told)
