"""A client that runs each job in this process, within ``submit``: for tests of programs that submit jobs.

Owns where its config comes from. Everything a program can ask of a client it asks of this one in the same way.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...conf import find, loader
from ...conf.allow import pool_allows
from ...conf.catalog import Built, Catalog
from ...conf.settings import Settings
from ...protocol import describe, refs, schema
from ...protocol.errors import BadArguments
from ...protocol.messages import CatalogEntry, CatalogProblem, Request
from ..handle import Job
from .desk import Desk
from .local import LocalClient


class InlineClient(LocalClient):
    """Runs a job when it is submitted, and keeps what became of it.

    As with a supervisor, a job must be allowed by the config, its arguments must fit, they and the result go through
    the codec, ``current_job()`` works, and a failed attempt is followed by the next as its policy says, without the
    wait. Otherwise than there, a job shares the process with its test: it sees its globals and mocks, nothing limits
    it, ``delay`` and ``at`` are noted and not waited for, and only Python's own output is kept.

    Args:
        config: the config file; if neither it nor ``allow`` is given, it is found as ``Client`` finds it.
        allow: patterns that are allowed, instead of a config.
        run_retries: False leaves a job that failed "scheduled" for its next attempt; ``run_waiting`` runs it.

    Raises:
        BadArguments: both ``config`` and ``allow``, or a pattern that is none.
        InvalidConfig: there is no config, or it has mistakes.
    """

    def __init__(
        self,
        config: str | os.PathLike[str] | None = None,
        *,
        allow: Sequence[str] | None = None,
        run_retries: bool = True,
    ) -> None:
        super().__init__()
        settings = _settings(config, allow)
        allowed = {name: pool_allows(settings, name) for name in settings.pools}
        catalog = Catalog(settings, [_built(pool, patterns) for pool, patterns in allowed.items()])
        everywhere = [pattern for patterns in allowed.values() for pattern in patterns]
        self._desk = Desk(catalog, everywhere, run_retries=run_retries)

    def request(self, request: Request, timeout: float | None = None) -> Any:
        """Answer a request at once; raises what a supervisor would answer."""
        return self._desk.answer(request)

    def run_waiting(self) -> list[Job[Any]]:
        """Run each job that waits for its time (after ``RetryLater``, or for its next attempt) once; those jobs."""
        return [self.get(job_id) for job_id in self._desk.run_waiting()]


def _settings(config: str | os.PathLike[str] | None, allow: Sequence[str] | None) -> Settings:
    if allow is None:
        file = find.find_config(None if config is None else os.fspath(config), Path.cwd(), os.environ)
        return loader.load(file, environ=os.environ).settings
    if config is not None:
        raise BadArguments("both config and allow say what is allowed", hint="give one of them")
    wrong = [pattern for pattern in allow if not isinstance(pattern, str) or not refs.is_pattern(pattern)]
    if isinstance(allow, str) or wrong:
        shown = allow if isinstance(allow, str) else wrong[0]
        raise BadArguments(f"allow={shown!r} is no list of patterns", hint='allow=["app.mail:*"]')
    return Settings(file=Path.cwd() / find.CONFIG_NAME, allow=tuple(allow))


def _built(pool: str, patterns: list[str]) -> Built:
    """What a pool offers, by importing it here."""
    found = describe.look(patterns, sys.path, {}, lambda module: None)
    return Built(
        pool,
        [schema.from_wire(CatalogEntry, {**item, "pool": pool}) for item in found["entries"]],
        [schema.from_wire(CatalogProblem, {**item, "pool": pool}) for item in found["problems"]],
    )
