"""Every verb of jobctl that shows something, run against a yard: what it prints for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from jobyard.client.cli import verbs
from jobyard.client.cli.main import main
from live import Yard

# Each with arguments that make it show as much as it can; {ids} are jobs that have finished, {some} a few
# of them, {live} others.
_LOOKS = (
    "status", "ping", "list --limit 500", "show {ids}", "show {live}",
    "why {live}", "logs {some} --attempt all", "logs {some}",
    "logs {some} --time", "events --since oldest --job {one}", "wait {ids}", "why {ids}", "retries", "retry {one}",
    "set {one} --priority 1", "cancel {one}", "catalog", "queue list", "queue show default",
    "queue set default open", "pause default", "resume default", "drain default", "resume default", "pool list",
    "top", "stats --since 1d", "metrics", "doctor", "check", "config check", "config show", "config show --origin",
    "config schema", "log-format", "reload", "journal check", "journal dump", "journal compact", "key list",
    "prune --older 30d", "process",
)  # fmt: skip
# What these do is no look at a yard: they make one, run jobs of their own, or end it.
_OTHERS = {
    "init", "up", "down", "run", "submit", "run-job", "rm", "pool recycle", "selftest", "make-job", "demo",
    "journal repair", "schema", "completion", "restart", "key new", "key revoke",
}  # fmt: skip
_LINES_ONLY = ("journal dump", "config schema")


class Look(NamedTuple):
    """What a command line printed."""

    line: str
    code: int
    out: str
    err: str


def all_looks(yard: Yard, ids: list[int], live: list[int], capfd: pytest.CaptureFixture[str]) -> Iterator[Look]:
    """One after the other; ``ids`` have finished, ``live`` may not have."""
    given = {"ids": ",".join(map(str, ids)), "some": ",".join(map(str, ids[:20])), "one": str(ids[0])}
    given["live"] = ",".join(map(str, live or ids[:1]))
    for template in _LOOKS:
        line = template.format(**given)
        for form in ((), ("--json",)):
            if form and template.startswith(_LINES_ONLY):
                continue
            capfd.readouterr()
            code = main(["--config", str(yard.config), *line.split(), *form])
            yield Look(" ".join((line, *form)), code, *capfd.readouterr())


def forgotten() -> set[str]:
    """Verbs that are neither looked at here nor known to be something else."""
    return {
        verb for verb in verbs.VERBS if verb not in _OTHERS and not any(f"{x} ".startswith(f"{verb} ") for x in _LOOKS)
    }
