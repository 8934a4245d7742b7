"""Exceptions as text: what conformance with real jobs does not reach."""

from __future__ import annotations

from jobyard.supervisor.executors.zygote import failure


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
