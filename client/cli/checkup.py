"""What ``doctor``, ``check`` and ``selftest`` find, and how it is told: a line each, with what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from . import documents, exits
from .context import Context
from .render import clean

if TYPE_CHECKING:
    from .shapes import Check, Checks

_STYLES = {"ok": "32", "warn": "33", "fail": "1;31"}
_NAME_CHARS = 14


def ok(name: str, text: str) -> Check:
    return {"name": name, "verdict": "ok", "text": text, "advice": ""}


def warn(name: str, text: str, advice: str) -> Check:
    return {"name": name, "verdict": "warn", "text": text, "advice": advice}


def fail(name: str, text: str, advice: str) -> Check:
    return {"name": name, "verdict": "fail", "text": text, "advice": advice}


def tell(context: Context, found: Iterable[Check]) -> int:
    """Print each finding as it is made, or all as one document; the exit code."""
    checks: list[Check] = []
    for check in found:
        checks.append(check)
        if context.args.output != "json":
            _print(context, check)
    failed = sum(check["verdict"] == "fail" for check in checks)
    warned = sum(check["verdict"] == "warn" for check in checks)
    if context.args.output == "json":
        body: Checks = {"ok": not failed, "checks": checks}
        context.out.document(documents.CHECKS, body)
    else:
        context.out.line(f"{len(checks) - failed - warned} ok, {warned} to look at, {failed} failed")
    return exits.JOB_FAILED if failed else exits.OK


def _print(context: Context, check: Check) -> None:
    verdict = check["verdict"].ljust(4)
    if context.out.color:
        verdict = f"\x1b[{_STYLES[check['verdict']]}m{verdict}\x1b[0m"
    text, *more = check["text"].splitlines() or [""]
    indent = " " * (_NAME_CHARS + 8)
    # The colour is ours; all else is cleaned.
    context.out.stdout.write(f"{verdict}  {clean(check['name']):<{_NAME_CHARS}}  {clean(text)}\n")
    for line in more:
        context.out.line(indent + line)
    if check["advice"]:
        context.out.line(f"{indent}try: {check['advice']}")
    context.out.stdout.flush()
