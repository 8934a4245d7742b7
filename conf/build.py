"""From merged items to ``Settings``: the checks that need more than one key, and the shipped values beneath.

Owns what settings mean together. Single values were checked by ``check.py``.
"""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any, TypeVar

from ..protocol import options
from . import schema
from .check import DECLARED, Item, Items, Problems, Where, dotted, is_allow, split
from .locate import KeyPath
from .settings import SHIPPED_DEFAULTS, JobSettings, PoolSettings, QueueSettings, Settings, SupervisorSettings

T = TypeVar("T")


def join_retries(items: Items, problems: Problems) -> Items:
    """``retries = 2`` as ``retry.max_attempts = 3``; where both stand in one section, the later is a problem."""
    joined = dict(items)
    for path, item in items.items():
        section, key = split(path)
        if key != ("retries",):
            continue
        del joined[path]
        rivals = [other for rival, other in items.items() if rival[:-1] == (*section, "retry")]
        if rivals:
            where = max(item.where, *(other.where for other in rivals))
            message = f"{dotted(section)}: both retry and retries are given"
            problems.add(where, message, "retries = 2 is the same as retry with max_attempts = 3; give one", path)
        joined[(*section, "retry", "max_attempts")] = Item(item.value + 1, item.where)
    return joined


def build(file: Path, env: str, items: Items) -> Settings:
    """Settings of items that are all right."""
    defaults = copy.deepcopy(SHIPPED_DEFAULTS)
    given = _options(items, ("defaults",))
    defaults["retry"].update(given.pop("retry", {}))
    defaults.update(given)
    queues = {name: _section(QueueSettings, items, ("queues", name)) for name in names(items, "queues")}
    pools = {name: _section(PoolSettings, items, ("pools", name)) for name in names(items, "pools")}
    shipped = Settings(file=file)
    sections = {
        name: dataclasses.replace(getattr(shipped, name), **_fields(type(getattr(shipped, name)), items, (name,)))
        for name in ("supervisor", "logging", "output", "journal", "history", "limits")
    }
    return Settings(
        file=file,
        env=env,
        defaults=defaults,
        queues=shipped.queues | queues,
        pools=shipped.pools | pools,
        jobs={name: _section(JobSettings, items, ("jobs", name)) for name in names(items, "jobs")},
        **{key: items[(key,)].value for key in ("namespace", "allow", "redact") if (key,) in items},
        **sections,
    )


def build_places(file: Path, env: str, items: Items) -> Settings:
    """Settings of nothing but ``[supervisor]``."""
    fields = _fields(SupervisorSettings, items, ("supervisor",))
    return Settings(file=file, env=env, supervisor=SupervisorSettings(**fields))


def names(items: Items, section: str) -> list[str]:
    """The names declared in ``[section.NAME]``."""
    return [str(path[1]) for path, item in items.items() if path[0] == section and item.value is DECLARED]


def _section(kind: type[T], items: Items, prefix: KeyPath) -> T:
    return kind(**_fields(kind, items, prefix))


def _fields(kind: type, items: Items, prefix: KeyPath) -> dict[str, Any]:
    known = {field.name for field in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    for path, item in items.items():
        if path[: len(prefix)] != prefix or path == prefix:
            continue
        name = schema.FIELDS.get(str(path[len(prefix)]), str(path[len(prefix)]))
        if name == "env":
            values.setdefault("env", {})[str(path[-1])] = item.value
        elif name in known:
            values[name] = item.value
    if "options" in known:
        values["options"] = _options(items, prefix)
    return values


def _options(items: Items, prefix: KeyPath) -> dict[str, Any]:
    """The policy options below ``prefix``."""
    found: dict[str, Any] = {}
    for path, item in items.items():
        rest = path[len(prefix) :]
        if path[: len(prefix)] != prefix or not rest or rest[0] not in options.POLICY_OPTIONS:
            continue
        if len(rest) == 1:
            found[str(rest[0])] = item.value
        else:
            found.setdefault(str(rest[0]), {})[str(rest[1])] = item.value
    return found


def cross_check(file: Path, items: Items, problems: Problems) -> None:
    """What single values cannot show: names that are used and not declared, and a config that allows nothing."""
    queues = {"default", *names(items, "queues")}
    pools = {"default", *names(items, "pools")}
    for path, item in items.items():
        key = split(path)[1]
        if key == ("queue",) and item.value not in queues:
            problems.add(item.where, *_undeclared("queue", path, item.value, queues), path=path)
        elif key == ("pool",) and item.value not in pools:
            problems.add(item.where, *_undeclared("pool", path, item.value, pools), path=path)
    _check_aliases(items, problems)
    _check_transport(items, problems)
    allows = any(is_allow(path) and item.value for path, item in items.items())
    mistaken = any(path and (is_allow(path) or path[0] == "jobs") for path in problems.paths)
    if not allows and not mistaken and not names(items, "jobs"):
        message = "nothing may run: there is no allow line and no [jobs.NAME]"
        problems.add(Where(0, 1, 1, str(file)), message, 'begin with allow = ["jobs:*"]')


def _check_transport(items: Items, problems: Problems) -> None:
    """Others get in by what was meant, and by nothing else."""
    given = {str(path[1]): item for path, item in items.items() if path[0] == "supervisor" and len(path) == 2}
    host = given.get("host")
    if host and not _is_loopback(host.value) and not _is_set(given, "beyond_loopback"):
        message = f"supervisor.host: {host.value} can be reached from other machines"
        hint = 'write "127.0.0.1", or beyond_loopback = true if that is meant'
        problems.add(host.where, message, hint, ("supervisor", "host"))
    if _is_set(given, "clients") and "transport" in given and given["transport"].value == "tcp":
        message = "supervisor.clients: over tcp users are not known"
        problems.add(given["clients"].where, message, "give each a key: jobctl key new NAME", ("supervisor", "clients"))


def _is_loopback(address: str) -> bool:
    import ipaddress  # few configs have one

    return ipaddress.ip_address(address).is_loopback


def _is_set(given: dict[str, Item], key: str) -> bool:
    return key in given and bool(given[key].value)


def _undeclared(what: str, path: KeyPath, name: str, known: set[str]) -> tuple[str, str]:
    best = options.nearest(name, known)
    hint = f"did you mean {best!r}?" if best else f"declare it with [{what}s.{name}]"
    return f"{dotted(path)}: there is no {what} {name!r}", hint


def _check_aliases(items: Items, problems: Problems) -> None:
    spelled: dict[str, str] = {}
    for name in names(items, "jobs"):
        where = items[("jobs", name)].where
        other = spelled.setdefault(name.casefold(), name)
        if other != name:
            problems.add(where, f"jobs.{name} and jobs.{other} differ in case only", "aliases are found in any case")
        path: KeyPath = ("jobs", name, "target")
        if path not in items:
            if path not in problems.paths:
                problems.add(where, f"jobs.{name} has no target", 'write target = "pkg.mod:function"')
            continue
        methods = items.get(("jobs", name, "methods"))
        if methods and methods.value and "." in items[path].value.partition(":")[2]:
            message = f"jobs.{name}: the target {items[path].value!r} names a method already"
            problems.add(methods.where, message, "name the class alone, or leave methods out")
