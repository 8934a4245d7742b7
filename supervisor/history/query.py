"""Reading the history: pages, jobs by id and uid, counts. Plain functions of a connection; nothing is changed.

A page is found in two steps: ids by the narrowest index that the conditions allow, then the jobs themselves.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ...protocol.history import Stats
from ...protocol.messages import Filter, List
from ...protocol.states import FINISHED
from .series import ALL_TIME, Group, Tally, grouped, hour_of
from .store import key_of, old, read_tally, tag_text

TRIGRAM = 3  # shorter words are not in the index
CHILDREN_MAX = 1000
Wires = list[tuple[int, bytes]]

_AFTER = {"newest": "{id} < ?", "oldest": "{id} > ?", "finished": "(j.finished_at, {id}) < (?, ?)"}
_ORDER = {"newest": "{id} DESC", "oldest": "{id} ASC", "finished": "j.finished_at DESC, {id} DESC"}


class Conditions:
    """SQL conditions joined by AND, and their values."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.values: list[Any] = []

    def add(self, text: str, *values: Any) -> None:
        self.texts.append(text)
        self.values += values

    def __str__(self) -> str:
        return " AND ".join(self.texts) or "1"


def page(database: sqlite3.Connection, request: List, highest: int | None, count: int) -> Wires:
    """At most ``count`` archived jobs that match, in the order asked for.

    Args:
        highest: no job above this id, if given.
    """
    states = sorted(FINISHED & set(request.filter.states) if request.filter.states else FINISHED)
    if not states:
        return []
    found: set[tuple[Any, ...]] = set()
    for walk in _walks(database, request, states):
        rest = _rest(database, request, highest, states, walk.id)
        where = f"{walk.narrow} AND {rest}"
        order = _ORDER[request.sort].format(id=walk.id)
        sql = f"SELECT j.id, j.finished_at FROM {walk.source} WHERE {where} ORDER BY {order} LIMIT ?"
        found.update(database.execute(sql, [*walk.narrow.values, *rest.values, count]).fetchall())
    if request.sort == "finished":
        ordered = sorted(found, key=lambda row: (row[1], row[0]), reverse=True)
    else:
        ordered = sorted(found, reverse=request.sort == "newest")
    return by_ids(database, [row[0] for row in ordered[:count]])


class _Walk(NamedTuple):
    """What to walk through: a FROM clause, conditions that make it narrow, and the column of ids for its order."""

    source: str
    narrow: Conditions
    id: str = "j.id"


def _walks(database: sqlite3.Connection, request: List, states: list[str]) -> list[_Walk]:
    """Walks of which the page is the union."""
    wanted, narrow = request.filter, Conditions()
    matched = _match(wanted) if _has_index(database) else ""
    if matched:
        narrow.add("texts MATCH ?", matched)
        return [_Walk("texts CROSS JOIN jobs AS j ON j.id = texts.rowid", narrow, "texts.rowid")]
    if wanted.after is not None:
        narrow.add("p.parent = ?", wanted.after)
        return [_Walk("parents AS p CROSS JOIN jobs AS j ON j.id = p.id", narrow, "p.id")]
    if wanted.tags:
        narrow.add("g.tag = ?", tag_text(*next(iter(wanted.tags.items()))))
        return [_Walk("tags AS g CROSS JOIN jobs AS j ON j.id = g.id", narrow, "g.id")]
    if request.sort == "finished":
        return [_Walk("jobs AS j INDEXED BY jobs_finished", narrow)]
    columns = ["ref", "name"] if wanted.ref is not None else ["queue"] if wanted.queue is not None else []
    if not columns and not wanted.states:
        return [_Walk("jobs AS j", narrow)]
    return [
        _Walk(f"jobs AS j INDEXED BY jobs_{column}", _on_index(column, wanted, state))
        for column in columns or ["state"]
        for state in states
    ]


def _on_index(column: str, wanted: Filter, state: str) -> Conditions:
    narrow = Conditions()
    if column != "state":
        narrow.add(f"j.{column} = ?", wanted.queue if column == "queue" else wanted.ref)
    narrow.add("j.state = ?", state)
    return narrow


def _rest(database: sqlite3.Connection, request: List, highest: int | None, states: list[str], id_: str) -> Conditions:
    """All conditions, whether or not a source makes some of them true already."""
    wanted, rest = request.filter, Conditions()
    if wanted.states:
        rest.add(f"j.state IN ({','.join('?' * len(states))})", *states)
    if wanted.queue is not None:
        rest.add("j.queue = ?", wanted.queue)
    if wanted.ref is not None:
        rest.add("(j.ref = ? OR j.name = ?)", wanted.ref, wanted.ref)
    for item in wanted.tags.items():
        rest.add("EXISTS (SELECT 1 FROM tags WHERE tag = ? AND id = j.id)", tag_text(*item))
    if wanted.after is not None:
        rest.add("EXISTS (SELECT 1 FROM parents WHERE parent = ? AND id = j.id)", wanted.after)
    if wanted.error == "":
        rest.add("EXISTS (SELECT 1 FROM texts AS x WHERE x.rowid = j.id AND x.error <> '')")
    _between(database, request, rest, id_)
    for words, columns in _short_words(database, wanted):
        for word in words:
            each = " OR ".join(f"x.{column} LIKE ? ESCAPE '\\'" for column in columns)
            within = f"EXISTS (SELECT 1 FROM texts AS x WHERE x.rowid = j.id AND ({each}))"
            rest.add(within, *[_like(word)] * len(columns))
    if request.before is not None:
        after = [request.before_at, request.before] if request.sort == "finished" else [request.before]
        rest.add(_AFTER[request.sort].format(id=id_), *after)
    if highest is not None:
        rest.add(f"{id_} <= ?", highest)
    return rest


def _between(database: sqlite3.Connection, request: List, rest: Conditions, id_: str) -> None:
    """The time of the submit; as a range of ids, too, so that a walk by id ends there."""
    for at, compare, pick, bound in (
        (request.filter.since, ">=", "min", f"{id_} >= ?"),
        (request.filter.until, "<", "max", f"{id_} <= ?"),
    ):
        if at is not None:
            sql = f"SELECT {pick}(id) FROM jobs INDEXED BY jobs_created WHERE created_at {compare} ?"
            edge = database.execute(sql, (at,)).fetchone()[0]
            rest.add(f"j.created_at {compare} ?", at)
            if edge is not None:
                rest.add(bound, edge)


# -- text --------------------------------------------------------------------------------------------------------------


def _has_index(database: sqlite3.Connection) -> bool:
    return bool(database.execute("SELECT 1 FROM sqlite_master WHERE name = 'texts' AND sql LIKE '%fts5%'").fetchone())


def _match(wanted: Filter) -> str:
    """An expression for the index: every word that is long enough for it."""
    parts = [_quoted(word) for word in (wanted.search or "").split() if len(word) >= TRIGRAM]
    if wanted.error is not None and len(wanted.error) >= TRIGRAM:
        parts.append("error : " + _quoted(wanted.error))
    return " AND ".join(parts)


def _short_words(database: sqlite3.Connection, wanted: Filter) -> list[tuple[list[str], list[str]]]:
    """Words that the index does not find, with the columns to look for them in."""
    index = _has_index(database)
    words = [word for word in (wanted.search or "").split() if not index or len(word) < TRIGRAM]
    phrase = wanted.error if wanted.error and (not index or len(wanted.error) < TRIGRAM) else None
    return [(words, ["arguments", "error", "reason"]), ([phrase] if phrase else [], ["error"])]


def _quoted(word: str) -> str:
    return '"' + word.replace("\0", " ").replace('"', '""') + '"'


def _like(word: str) -> str:
    word = word.replace("\0", " ")
    for special in "\\%_":
        word = word.replace(special, "\\" + special)
    return f"%{word}%"


# -- jobs, counts ------------------------------------------------------------------------------------------------------


def by_ids(database: sqlite3.Connection, ids: Iterable[int]) -> Wires:
    """The jobs with these ids that are there, in this order."""
    found: Wires = []
    for job_id in ids:
        row = database.execute("SELECT wire FROM wires WHERE id = ?", (job_id,)).fetchone()
        if row is not None:
            found.append((job_id, row[0]))
    return found


def ids_of_uids(database: sqlite3.Connection, uids: Iterable[str]) -> dict[str, int]:
    """The ids of those of the uids that are there."""
    found = {}
    for uid in uids:
        row = database.execute("SELECT id FROM jobs WHERE uid = ?", (uid,)).fetchone()
        if row is not None:
            found[uid] = int(row[0])
    return found


def ends(database: sqlite3.Connection, ids: Iterable[int]) -> dict[int, str]:
    """How those of the jobs ended that are there."""
    found = {}
    for job_id in ids:
        row = database.execute("SELECT state FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is not None:
            found[job_id] = str(row[0])
    return found


def children(database: sqlite3.Connection, job_id: int) -> list[int]:
    """Some of the jobs that waited for this one."""
    sql = "SELECT id FROM parents WHERE parent = ? LIMIT ?"
    return [int(row[0]) for row in database.execute(sql, (job_id, CHILDREN_MAX))]


def count_old(database: sqlite3.Connection, before: float, states: Sequence[str], spared: Iterable[int] = ()) -> int:
    """How many jobs ``prune`` would forget."""
    condition, values = old(before, states)
    count = f"SELECT count(*) FROM jobs WHERE {condition}"
    kept = sum(database.execute(f"{count} AND id = ?", [*values, one]).fetchone()[0] for one in spared)
    return int(database.execute(count, values).fetchone()[0] - kept)


def archived_upto(database: sqlite3.Connection) -> int:
    """The watermark: all jobs that finished up to this number are counted."""
    row = database.execute("SELECT value FROM facts WHERE name = 'archived_upto'").fetchone()
    return int(row[0]) if row is not None else 0


def stats(database: sqlite3.Connection, request: Stats) -> dict[Group, Tally]:
    """Tallies by group."""
    where = Conditions()
    for column, value in (("ref", request.ref), ("queue", request.queue)):
        if value is not None:
            where.add(f"{column} = ?", value)
    if request.since is None and request.until is None and "hour" not in request.by:
        where.add("hour = ?", ALL_TIME)
    else:
        where.add("hour >= ?", 0 if request.since is None else hour_of(request.since))
        if request.until is not None:
            where.add("hour <= ?", hour_of(request.until))
    rows = database.execute(f"SELECT hour, ref, queue, tally FROM series WHERE {where}", where.values)
    return grouped(((key_of(row), read_tally(row[3])) for row in rows), request.by)
