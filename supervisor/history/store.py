"""The history's file: finished jobs in SQLite. Owns its tables and every change to them.

``jobs`` is narrow, so that walking it is cheap; a job as a whole is in ``wires``, what can be searched in ``texts``,
and what was counted in ``series``. Everything that one call stores is one transaction, on disk when the call returns.
Written by the archivist, and by the history process when jobs are removed; ``query.py`` reads.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgpack

from ...protocol.errors import HistoryUnavailable
from ..core.snapshot import job_to_wire
from ..core.state import Job
from . import text
from .series import ALL_TIME, HOUR_S, Former, Key, Series, Tally

VERSION = 1
BUSY_S = 1.0
EXPIRE_BATCH = 5_000
_LOOK_UP = 500
_WAL_BYTES = 16 << 20
Attempts = dict[int, int]  # id of a job -> number of its last attempt
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, state TEXT NOT NULL, queue TEXT NOT NULL, ref TEXT NOT NULL,
    name TEXT NOT NULL, created_at REAL NOT NULL, finished_at REAL NOT NULL, attempt INTEGER NOT NULL
);
CREATE INDEX jobs_state ON jobs (state);
CREATE INDEX jobs_queue ON jobs (queue, state);
CREATE INDEX jobs_ref ON jobs (ref, state);
CREATE INDEX jobs_name ON jobs (name, state);
CREATE INDEX jobs_created ON jobs (created_at);
CREATE INDEX jobs_finished ON jobs (finished_at);
CREATE TABLE wires (id INTEGER PRIMARY KEY, wire BLOB NOT NULL);
CREATE TABLE tags (tag TEXT NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (tag, id)) WITHOUT ROWID;
CREATE INDEX tags_id ON tags (id);
CREATE TABLE parents (parent INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (parent, id)) WITHOUT ROWID;
CREATE INDEX parents_id ON parents (id);
CREATE TABLE series (
    hour INTEGER NOT NULL, ref TEXT NOT NULL, queue TEXT NOT NULL, tally BLOB NOT NULL, PRIMARY KEY (hour, ref, queue)
) WITHOUT ROWID;
"""
_TEXTS = "CREATE VIRTUAL TABLE texts USING fts5(arguments, error, reason, tokenize = 'trigram')"
_TEXTS_WITHOUT_FTS = "CREATE TABLE texts (arguments TEXT NOT NULL, error TEXT NOT NULL, reason TEXT NOT NULL)"


def _nothing(_: Attempts) -> None:
    pass


class HistoryDamaged(Exception):
    """The file cannot be trusted any more."""


class Store:
    """One connection to the file, made by ``Store.open``; a context that closes it."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database

    @classmethod
    def open(cls, path: Path, *, create: bool = True) -> Store:
        """Open it, and make it if need be.

        Raises:
            FileNotFoundError: there is none, and none is to be made.
            HistoryDamaged, HistoryUnavailable.
        """
        with translated():
            store = cls(_connect(path, create))
            try:
                store._prepare()
            except BaseException:
                store.close()
                raise
        return store

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # whatever matters was committed before
            self.database.close()

    def _prepare(self) -> None:
        run = self.database.execute
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        run("PRAGMA cache_size = -65536")
        version = run("PRAGMA user_version").fetchone()[0]
        if version == 0:
            with self._transaction():
                if run("PRAGMA user_version").fetchone()[0] == 0:
                    self._create()
        elif version != VERSION:
            raise HistoryUnavailable(
                f"the history is of version {version}; this version of jobyard reads {VERSION}",
                hint="start the version that wrote it, or move history.db away",
            )

    def _create(self) -> None:
        for statement in _TABLES.split(";"):
            self.database.execute(statement)
        try:
            self.database.execute(_TEXTS)
        except sqlite3.OperationalError:  # an SQLite without it: searches are slower
            self.database.execute(_TEXTS_WITHOUT_FTS)
        self.database.execute(f"PRAGMA user_version = {VERSION}")

    @contextlib.contextmanager
    def one_moment(self) -> Iterator[None]:
        """All that is read within is of one moment, whatever others store and forget meanwhile."""
        self.database.execute("BEGIN")
        try:
            yield
        finally:
            with contextlib.suppress(sqlite3.Error):
                self.database.execute("ROLLBACK")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with translated():
            self.database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.database.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self.database.execute("ROLLBACK")
                raise

    # -- archiving -----------------------------------------------------------------------------------------------------

    def archive(self, jobs: Iterable[Job], upto: int, expired_before: float) -> int:
        """Store finished jobs and the watermark. What is there already is not counted again.

        Args:
            upto: number, in the order of finishing, of the last job that finished.
            expired_before: jobs that finished before this moment are left out.

        Returns:
            How many were stored.

        Raises:
            HistoryDamaged, HistoryUnavailable: nothing was stored.
        """
        with self._transaction():
            series, count = Series(), 0
            wanted = [job for job in jobs if job.finished_at is not None and job.finished_at >= expired_before]
            for start in range(0, len(wanted), _LOOK_UP):
                count += self._put(wanted[start : start + _LOOK_UP], series)
            self._add(series)
            self.database.execute("REPLACE INTO facts VALUES ('archived_upto', ?)", (upto,))
        return count

    def _put(self, jobs: list[Job], series: Series) -> int:
        there = {one.id: one for one in formers(self.database, [job.id for job in jobs])}
        fresh = [job for job in jobs if job.id not in there or not _is_same(job, there[job.id])]
        replaced = [(job.id,) for job in fresh if job.id in there]
        if replaced:
            self._delete(replaced)
        for job in fresh:
            before = there.get(job.id)
            if before is not None and before.uid == job.uid:  # it had ended, and was put back
                series.taken_back(before)
                series.ended(job, before.attempt)
            else:
                series.submitted(job)
                series.ended(job)
        self._insert(fresh)
        return len(fresh)

    def _insert(self, jobs: list[Job]) -> None:
        many = self.database.executemany
        many(
            "REPLACE INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (job.id, job.uid, job.state, job.queue, job.ref, job.name, job.created_at, job.finished_at, job.attempt)
                for job in jobs
            ),
        )
        many("REPLACE INTO wires VALUES (?, ?)", ((job.id, msgpack.packb(job_to_wire(job))) for job in jobs))
        many(
            "INSERT INTO texts (rowid, arguments, error, reason) VALUES (?, ?, ?, ?)",
            ((job.id, text.arguments(job.shown_payload), text.error(job), text.reason(job)) for job in jobs),
        )
        many(
            "REPLACE INTO tags VALUES (?, ?)",
            ((tag_text(*item), job.id) for job in jobs if job.tags for item in job.tags.items()),
        )
        many("REPLACE INTO parents VALUES (?, ?)", ((parent, job.id) for job in jobs for parent in job.parents))

    def _add(self, series: Series) -> None:
        ever: dict[Key, Tally] = {}
        for (_, ref, queue), tally in series.tallies.items():
            ever.setdefault((ALL_TIME, ref, queue), Tally()).merge(tally)
        for (hour, ref, queue), tally in (*series.tallies.items(), *ever.items()):
            before = self.database.execute(
                "SELECT tally FROM series WHERE hour = ? AND ref = ? AND queue = ?", (hour, ref, queue)
            ).fetchone()
            if before is not None:
                tally.merge(read_tally(before[0]))
            tally.states = +tally.states  # what is taken back from an hour that is forgotten is nowhere
            self.database.execute(
                "REPLACE INTO series VALUES (?, ?, ?, ?)", (hour, ref, queue, msgpack.packb(tally.to_wire()))
            )

    # -- forgetting ----------------------------------------------------------------------------------------------------

    def expire(self, before: float, spared: Container[int] = (), limit: int = EXPIRE_BATCH) -> Attempts:
        """Forget jobs that finished before this moment, the oldest first, and hours that ended before it.

        Args:
            spared: jobs that were put back; what was counted of them is known by what is here.

        Returns:
            The jobs that were forgotten; ``limit`` of them say that there may be more.
        """
        with self._transaction():
            gone = self._forget_finished("finished_at < ?", [before], limit, spared)
            self.database.execute("DELETE FROM series WHERE hour BETWEEN 0 AND ?", (before - HOUR_S,))
        return gone

    def prune(
        self,
        before: float,
        states: Sequence[str],
        limit: int,
        also: Iterable[int],
        spared: Container[int] = (),
        with_them: Callable[[Attempts], None] = _nothing,
    ) -> Attempts:
        """Forget jobs that finished by this moment, in one of these states if any are given, the oldest first, and the
        copies of ``also``. What was counted of them stays.

        Args:
            spared: as of ``expire``.
            with_them: forgets what else there is of them; if it raises, nothing is forgotten.

        Returns:
            As of ``expire``, without ``also``.
        """
        with self._transaction():
            self._delete([(one,) for one in also])
            gone = self._forget_finished(*old(before, states), limit, spared)
            with_them(gone)
        return gone

    def remove(
        self, wanted: Sequence[int], also: Iterable[int], with_them: Callable[[Attempts], None] = _nothing
    ) -> tuple[Attempts, list[int]]:
        """Forget ``wanted`` if all of them are there, and the copies of ``also``; ``with_them`` as of ``prune``.

        Returns:
            Those of ``wanted`` that were forgotten, and those that are not there: then nothing was forgotten.
        """
        find = "SELECT attempt FROM jobs WHERE id = ?"
        with self._transaction():
            rows = {one: self.database.execute(find, (one,)).fetchone() for one in wanted}
            missing = [one for one, row in rows.items() if row is None]
            gone = {} if missing else {one: int(row[0]) for one, row in rows.items()}
            if not missing:
                self._delete([(one,) for one in (*wanted, *also)])
                with_them(gone)
        return gone, missing

    def _forget_finished(self, condition: str, values: list[Any], limit: int, spared: Container[int]) -> Attempts:
        sql = f"SELECT id, attempt FROM jobs WHERE {condition} ORDER BY finished_at"
        rows = self.database.execute(sql, values)
        gone = dict(islice((row for row in rows if row[0] not in spared), limit))
        rows.close()
        self._delete([(one,) for one in gone])
        return gone

    def _delete(self, ids: list[tuple[int]]) -> None:
        self.database.executemany("DELETE FROM jobs WHERE id = ?", ids)
        self.database.executemany("DELETE FROM wires WHERE id = ?", ids)
        self.database.executemany("DELETE FROM texts WHERE rowid = ?", ids)
        self.database.executemany("DELETE FROM tags WHERE id = ?", ids)
        self.database.executemany("DELETE FROM parents WHERE id = ?", ids)


def _connect(path: Path, create: bool) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
    try:
        return sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
    except sqlite3.OperationalError:
        if not create and not path.exists():
            raise FileNotFoundError(path) from None
        raise


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Errors of SQLite in our terms."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE:
            raise HistoryDamaged(str(error)) from None
        raise HistoryUnavailable(f"the history cannot be used: {error}", hint=_advice(error)) from None


def _advice(error: sqlite3.DatabaseError) -> str:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_INTERRUPT"):
        return "narrow it down by job, queue, state or time, or raise [history] answer_within"
    return "try again" if name.startswith("SQLITE_BUSY") else "look at the disk of the state directory"


def old(before: float, states: Sequence[str]) -> tuple[str, list[Any]]:
    """The condition for jobs that finished by this moment, in one of these states if any are given, and its values."""
    within = f" AND state IN ({','.join('?' * len(states))})" if states else ""
    return f"finished_at <= ?{within}", [before, *states]


def tag_text(name: str, value: str) -> str:
    """A tag as it is indexed."""
    return f"{name}={value}"


def formers(database: sqlite3.Connection, ids: list[int]) -> list[Former]:
    """Those of these jobs that are here, as they are here."""
    found: list[Former] = []
    for start in range(0, len(ids), _LOOK_UP):
        part = ids[start : start + _LOOK_UP]
        marks = ",".join("?" * len(part))
        sql = f"SELECT id, uid, state, ref, queue, finished_at, attempt FROM jobs WHERE id IN ({marks})"
        found += map(Former._make, database.execute(sql, part))
    return found


def _is_same(job: Job, there: Former) -> bool:
    return (job.uid, job.finished_at, job.attempt) == (there.uid, there.finished_at, there.attempt)


def read_tally(packed: bytes) -> Tally:
    return Tally.from_wire(msgpack.unpackb(packed, strict_map_key=False))


def key_of(row: Any) -> Key:
    """The key in the first three columns of ``series``."""
    return int(row[0]), str(row[1]), str(row[2])


# -- the file as a whole -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Held by who writes as an archivist or replaces the file.

    Raises:
        HistoryUnavailable: another process has it.
    """
    fd = os.open(path.with_name(path.name + "-lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HistoryUnavailable("the history is being written by another process", hint="try again") from None
        yield
    finally:
        os.close(fd)


def set_aside(path: Path) -> Path:
    """Rename a damaged history, with what belongs to it, so that a new one can begin; gives its new name."""
    number = 1
    while (aside := path.with_name(f"{path.stem}-damaged-{number}{path.suffix}")).exists():
        number += 1
    os.replace(path, aside)
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.replace(path.with_name(path.name + suffix), aside.with_name(aside.name + suffix))
    return aside
