"""The history process: answers what the supervisor asks of the history, one request after the other.

``python -m jobyard.supervisor.history.server PATH FD``. Started at the first question, it ends by itself when nothing
was asked for ``IDLE_S``, and when the supervisor is gone. It reads the file, and changes it only to forget jobs. A file
that turns out to be damaged is set aside, so that the next archivist begins a new one.
"""

from __future__ import annotations

import argparse
import socket
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgpack

from ...protocol import schema
from ...protocol.errors import HistoryUnavailable, JobyardError, StorageUnavailable
from ...protocol.history import STATS_ROWS_MAX, Stats
from ...protocol.job import Parent
from ...protocol.messages import List
from .. import output_pruner
from ..core.snapshot import job_from_wire, job_to_wire
from ..core.state import Job
from ..core.turn import describe
from ..spliced import job_elements
from . import query, wire
from .series import latest_first
from .store import Attempts, HistoryDamaged, Store, formers, locked, set_aside, translated

IDLE_S = 60.0
_STEPS = 10_000  # of SQLite's machine between two looks at the clock
_CHANGES = frozenset({"remove", "prune"})  # verbs with a transaction of their own


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="jobyard.supervisor.history.server", description="Answer from the history.")
    parser.add_argument("path", type=Path, help="the file")
    parser.add_argument("fd", type=int, help="a socket connected to the supervisor")
    arguments = parser.parse_args(argv)
    with socket.socket(fileno=arguments.fd) as line:
        serve(line, Server(arguments.path))
    return 0


def serve(line: socket.socket, server: Server) -> None:
    """Until the other side is gone, or silent for long."""
    inbox = wire.Inbox()
    line.settimeout(IDLE_S)
    try:
        while piece := line.recv(1 << 16):
            for number, verb, body, within_s in inbox.feed(piece):
                line.sendall(wire.pack([number, *server.answer(verb, body, within_s)]))
    except (TimeoutError, ConnectionError):
        pass  # nobody asks any more
    finally:
        server.close()


class Server:
    """Keeps the file open between requests, and looks whether it is still the one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._store: Store | None = None
        self._inode = 0
        self._verbs: dict[str, Callable[[Any, Any], Any]] = {
            "page": _page,
            "jobs": _jobs,
            "wires": _wires,
            "ids": _ids,
            "known": _known,
            "remove": _remove,
            "prune": _prune,
            "count": _count,
            "stats": _stats,
        }

    def answer(self, verb: str, body: Any, within_s: float) -> tuple[str, Any]:
        """("ok", value) or (code of an error, [message, hint])."""
        try:
            store = self._open()
            until = time.monotonic() + within_s
            if store is not None:
                store.database.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
            with translated(), nullcontext() if store is None or verb in _CHANGES else store.one_moment():
                return "ok", self._verbs[verb](store, body)
        except JobyardError as error:
            return error.code, [error.message, error.hint]
        except HistoryDamaged as error:
            return self._lost(error)
        except Exception as error:  # one odd request must not end the process for all
            return JobyardError.code, [f"a fault in jobyard: {type(error).__name__}: {error}", "please report it"]

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _open(self) -> Store | None:
        """The file, or None while there is none."""
        try:
            inode = self._path.stat().st_ino
            if self._store is None or inode != self._inode:
                self.close()
                self._inode = inode
                self._store = Store.open(self._path, create=False)
        except FileNotFoundError:
            self.close()
        return self._store

    def _lost(self, error: HistoryDamaged) -> tuple[str, Any]:
        self.close()
        try:
            with locked(self._path):
                if self._path.stat().st_ino != self._inode:  # an archivist was faster
                    what = f"the history was damaged ({error}), and another has taken its place"
                    return HistoryUnavailable.code, [what, "try again"]
                aside = set_aside(self._path)
        except (OSError, HistoryUnavailable) as trouble:
            return HistoryUnavailable.code, [f"the history is damaged ({error}), and stays: {trouble}", "try again"]
        return wire.LOST, [f"the history was damaged ({error}); it is kept as {aside}, and a new one begins", ""]


# -- verbs: each takes the open file (None while there is none) and what was asked -------------------------------------


def _page(store: Store | None, body: Any) -> list[Any]:
    """[id, end, packed info, elements, kin] of each job of a page."""
    if store is None:
        return []
    request = schema.from_wire(List, body["request"])
    found = query.page(store.database, request, body["highest"], body["count"])
    jobs = [_job(store, packed) for _, packed in found]
    return [[job.id, job.finished_at, *_info(store, job)] for job in jobs]


def _jobs(store: Store | None, ids: list[int]) -> list[Any]:
    """[id, packed info, elements, kin] of those that are there."""
    if store is None:
        return []
    return [[job_id, *_info(store, _job(store, packed))] for job_id, packed in query.by_ids(store.database, ids)]


def _wires(store: Store | None, ids: list[int]) -> list[Any]:
    """[id, wire] of those that are there."""
    if store is None:
        return []
    return [[job_id, job_to_wire(_job(store, packed))] for job_id, packed in query.by_ids(store.database, ids)]


def _ids(store: Store | None, ids: list[int]) -> list[int]:
    return list(query.ends(store.database, ids)) if store else []


def _known(store: Store | None, body: Any) -> list[Any]:
    """[uid -> id, id -> how it ended] of those of the uids and ids that are there."""
    if store is None:
        return [{}, {}]
    return [query.ids_of_uids(store.database, body["uids"]), query.ends(store.database, body["ids"])]


def _remove(store: Store | None, body: Any) -> list[int]:
    """Forget jobs, and copies of jobs that are ``here``, in memory; ids of those that are not there at all."""
    if store:
        return store.remove(body["wanted"], dict(body["here"]), lambda gone: _remove_output(body, gone))[1]
    if not body["wanted"]:
        _remove_output(body, {})
    return list(body["wanted"])


def _prune(store: Store | None, body: Any) -> list[int]:
    """Forget what is old, and copies of jobs that are ``here``; ids beside those."""
    if store:
        bounds = body["before"], body["states"], body["limit"], dict(body["here"]), set(body["spared"])
        return list(store.prune(*bounds, lambda gone: _remove_output(body, gone)))
    _remove_output(body, {})
    return []


def _remove_output(body: Any, gone: Attempts) -> None:
    """The output of jobs that are forgotten, here and there."""
    try:
        output_pruner.remove(body["output"], {**gone, **dict(body["here"])})
    except OSError as error:
        hint = "see to that directory ([output] dir), then try again"
        raise StorageUnavailable(f"no job was removed, for its output cannot be: {error}", hint=hint) from None


def _count(store: Store | None, body: Any) -> list[int]:
    """[how many jobs are old, watermark]."""
    if store is None:
        return [0, 0]
    count = query.count_old(store.database, body["before"], body["states"], body["spared"])
    return [count, query.archived_upto(store.database)]


def _stats(store: Store | None, body: Any) -> list[Any]:
    """[watermark, [group, tally]..., [job as it was counted]...]; of the groups, those that may be in the reply."""
    request = schema.from_wire(Stats, body["request"])
    if store is None:
        return [0, [], []]
    upto = query.archived_upto(store.database)
    groups = query.stats(store.database, request)
    first = sorted(groups, key=latest_first)[: STATS_ROWS_MAX + 1]
    known = formers(store.database, body["ids"])
    return [upto, [[group, groups[group].to_wire()] for group in first], known]


def _job(store: Store, packed: bytes) -> Job:
    """A job as it was; how its parents ended is looked up if they did so after it."""
    job = job_from_wire(msgpack.unpackb(packed))
    open_parents = [one for one, ended in job.parents.items() if ended is None]
    if open_parents:
        job.parents.update(query.ends(store.database, open_parents))
    return job


def _info(store: Store, job: Job) -> tuple[bytes, int, list[list[int]]]:
    """Its packed info, how many elements that has, and ``kin`` as of ``kin.py``."""
    children = query.children(store.database, job.id)
    open_parents = [one for one, ended in job.parents.items() if ended is None]
    parents = [Parent(one, ended or "") for one, ended in job.parents.items()]
    info = describe(job, job.attempts[-1].pool if job.attempts else "", parents, len(children))
    packed = msgpack.packb(schema.to_wire(info), unicode_errors="backslashreplace")
    return packed, job_elements(job), [open_parents, children]


if __name__ == "__main__":
    sys.exit(main())
