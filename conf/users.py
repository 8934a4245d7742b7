"""Users who may connect beside the supervisor's own: who they are, and by which group they reach its sockets.

Owns names, numbers and membership. What such users may ask for is decided by the supervisor.
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Sequence

from ..protocol.errors import InvalidConfig
from ..protocol.plain import dataclass

KEY = "supervisor.clients"


@dataclass(frozen=True)
class Clients:
    """Further users: their ids, and a group of which all of them and the supervisor's user are members."""

    uids: frozenset[int]
    group: int


def find_clients(names: Sequence[str]) -> Clients | None:
    """The users of ``[supervisor] clients``; None if there are none but the supervisor's own.

    Raises:
        InvalidConfig: there is no such user, or no group in common.
    """
    users = [user for user in map(_user, names) if user.pw_uid != os.geteuid()]
    if not users:
        return None
    theirs = [set(os.getgrouplist(user.pw_name, user.pw_gid)) for user in users]
    shared = set.intersection(*theirs)
    if os.geteuid() != 0:  # root may give its directories to any group
        shared &= {os.getegid(), *os.getgroups()}
    if not shared:
        raise _no_group(users)
    return Clients(frozenset(user.pw_uid for user in users), min(shared, key=_width))


def _user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(name)) if name.isascii() and name.isdigit() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        raise _refused(f"there is no user {name!r}", f"getent passwd {name}") from None


def _width(group: int) -> tuple[int, int]:
    """How many users a group lets in beside those that are meant; the narrowest is best."""
    try:
        members = set(grp.getgrgid(group).gr_mem)
    except KeyError:
        members = set()
    members |= {user.pw_name for user in pwd.getpwall() if user.pw_gid == group}
    return len(members), group


def _no_group(users: Sequence[pwd.struct_passwd]) -> InvalidConfig:
    me = pwd.getpwuid(os.geteuid()).pw_name
    names = " ".join(dict.fromkeys([me, *(user.pw_name for user in users)]))
    return _refused(
        f"no group has all of {names} as members, as this process sees it",
        f"sudo groupadd jobyard; for user in {names}; do sudo usermod -aG jobyard $user; done; then log in anew",
    )


def _refused(problem: str, hint: str) -> InvalidConfig:
    message = f"{KEY}: {problem}"
    return InvalidConfig(message, hint=hint, details={"problems": [message]})
