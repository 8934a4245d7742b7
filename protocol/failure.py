"""Exceptions as text, whatever they are: of any size, with causes in a circle, or broken themselves.

Owns the form in which an error leaves the child: ``[type, message, traceback, kinds]``. No values of local variables
are in it, and no lines of jobyard's: a traceback is for whoever wrote the job.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

MESSAGE_CHARS_MAX = 8 * 1024
KINDS_MAX = 64
_CAUSES_MAX = 20
_MEMBERS_MAX = 10
_OWN = frozenset({__name__.partition(".")[0]})
_WAY_IN = _OWN | {"__main__", "asyncio", "importlib"}  # the program is ours, and what runs and imports jobs for us


def describe(error: BaseException, traceback_bytes: int, message: str | None = None) -> list[Any]:
    """The wire form of ``error``. ``message`` replaces its own."""
    if message is None:
        message = text_of(error)
    try:
        traceback = cut("".join(_chain(error)), traceback_bytes)
    except BaseException as broken:
        traceback = f"(no traceback: {type(broken).__name__} while it was formatted)\n"
    return [
        _plain(qualified(type(error))),
        _plain(_middle_out(message, MESSAGE_CHARS_MAX)),
        _plain(traceback),
        _kinds(error),
    ]


def qualified(cls: type) -> str:
    """``module.Class``; built-in names stand alone."""
    module, name = str(cls.__module__), str(cls.__qualname__)
    return name if module == "builtins" else f"{module}.{name}"


def text_of(error: BaseException) -> str:
    """``str(error)``, or what is wrong with it."""
    try:
        return str(error)
    except BaseException as broken:
        return f"(its message is unknown: {type(error).__name__}.__str__ raised {type(broken).__name__})"


def cut(text: str, size: int) -> str:
    """``text`` in at most about ``size`` bytes: its beginning and its end."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= size:
        return text
    half = size // 2
    head, tail = data[:half].decode("utf-8", "ignore"), data[-half:].decode("utf-8", "ignore")
    return f"{head}\n... {len(data) - 2 * half:,} bytes left out ...\n{tail}"


def _middle_out(text: str, size: int) -> str:
    if len(text) <= size:
        return text
    half = size // 2
    return f"{text[:half]} ... {len(text) - 2 * half:,} characters left out ... {text[-half:]}"


def _plain(text: str) -> str:
    """Without lone surrogates, which cannot be sent."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _kinds(error: BaseException) -> list[str]:
    return [_plain(qualified(cls)) for cls in type(error).__mro__ if cls is not object][:KINDS_MAX]


def _chain(error: BaseException) -> list[str]:
    """The tracebacks of ``error`` and of what caused it, oldest first."""
    links: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(seen) < _CAUSES_MAX:
        seen.add(id(current))
        links.append(_one(current))
        if current.__cause__ is not None:
            links.append("\nThe above exception was the direct cause of the following exception:\n\n")
            current = current.__cause__
        elif current.__context__ is not None and not current.__suppress_context__:
            links.append("\nDuring handling of the above exception, another exception occurred:\n\n")
            current = current.__context__
        else:
            current = None
    if len(links) % 2 == 0:
        links.pop()
    return links[::-1]


def _one(error: BaseException) -> str:
    import traceback  # slow to import, and few jobs fail

    head = "Traceback (most recent call last):\n"
    frames = "".join(traceback.format_tb(_without_ours(error.__traceback__)))
    return (head + frames if frames else "") + _last_lines(error)


def _last_lines(error: BaseException) -> str:
    import traceback

    if isinstance(error, SyntaxError):
        return "".join(traceback.format_exception_only(type(error), error))
    lines = f"{qualified(type(error))}: {_middle_out(text_of(error), MESSAGE_CHARS_MAX)}".rstrip(": ") + "\n"
    notes = getattr(error, "__notes__", None)
    if isinstance(notes, list | tuple):
        lines += "".join(f"{note}\n" for note in notes[:_MEMBERS_MAX])
    if isinstance(error, BaseExceptionGroup):
        for index, member in enumerate(error.exceptions[:_MEMBERS_MAX], 1):
            lines += f"  +-- {index} of {len(error.exceptions)}\n"
            lines += "".join(f"  | {line}\n" for line in _one(member).splitlines())
    return lines


def _without_ours(traceback: TracebackType | None) -> TracebackType | None:
    """The frames of the job: those before it and those of jobyard's that it has called are left out."""
    kept: list[TracebackType] = []
    while traceback is not None:
        if _package(traceback) not in (_OWN if kept else _WAY_IN):
            kept.append(traceback)
        traceback = traceback.tb_next
    told = None
    for link in reversed(kept):
        told = TracebackType(told, link.tb_frame, link.tb_lasti, link.tb_lineno)
    return told


def _package(traceback: TracebackType) -> str:
    return str(traceback.tb_frame.f_globals.get("__name__")).partition(".")[0]
