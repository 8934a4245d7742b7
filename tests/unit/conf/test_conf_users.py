"""Further users: who they are, and the group through which they come. The user database is made up."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
from jobyard.conf import users
from jobyard.conf.users import Clients, find_clients
from jobyard.protocol.errors import InvalidConfig

PEOPLE = {"me": (1000, 1000), "web": (33, 33), "cron": (34, 34), "alone": (35, 35)}
GROUPS = {33: {"web"}, 34: {"cron"}, 35: {"alone"}, 1000: {"me"}, 50: {"me", "web", "cron"}, 60: {"me", "web"}}


@pytest.fixture(autouse=True)
def people(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {name: SimpleNamespace(pw_name=name, pw_uid=uid, pw_gid=gid) for name, (uid, gid) in PEOPLE.items()}
    by_uid = {entry.pw_uid: entry for entry in entries.values()}

    def memberships(name: str, gid: int) -> list[int]:
        return [group for group, members in GROUPS.items() if name in members]

    patches: dict[str, Any] = {
        "getpwnam": entries.__getitem__,
        "getpwuid": by_uid.__getitem__,
        "getpwall": lambda: list(entries.values()),
    }
    for name, replacement in patches.items():
        monkeypatch.setattr(users.pwd, name, replacement)
    monkeypatch.setattr(users.grp, "getgrgid", lambda group: SimpleNamespace(gr_mem=sorted(GROUPS[group])))
    monkeypatch.setattr(os, "getgrouplist", memberships)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 1000)
    monkeypatch.setattr(os, "getgroups", lambda: memberships("me", 1000))


def test_nobody_else_is_none() -> None:
    assert find_clients([]) is None
    assert find_clients(["me", "1000"]) is None


def test_the_narrowest_group_that_has_all_is_taken() -> None:
    assert find_clients(["web"]) == Clients(frozenset({33}), 60)
    assert find_clients(["web", "34"]) == Clients(frozenset({33, 34}), 50)


def test_root_may_take_a_group_of_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert find_clients(["web"]) == Clients(frozenset({33}), 33)


@pytest.mark.parametrize("name", ["nobody-here", "99999", "9" * 30, "", "web\0"])
def test_a_user_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(InvalidConfig, match=r"supervisor\.clients: there is no user"):
        find_clients(["web", name])


def test_without_a_group_in_common_the_commands_are_told() -> None:
    with pytest.raises(InvalidConfig, match="no group has all of me alone as members") as caught:
        find_clients(["alone"])
    assert "usermod -aG jobyard" in caught.value.hint
