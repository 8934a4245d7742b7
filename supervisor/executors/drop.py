"""Become another user for good, then another program: ``drop.py UID GID GROUPS PROGRAM ARGUMENT...``.

Owns the order of these steps, and the proof that there is no way back. It is run as a file, by the supervisor's own
interpreter with ``-I -S``, since whatever else is loaded before would be run by root. ``run_as.py`` writes its command.
"""

from __future__ import annotations

import ctypes
import os
import sys

PREFIX = "_FOR_THE_USER_"  # before the name of each variable of the program, so that none means anything before
_PR_SET_NO_NEW_PRIVS = 38


def main() -> None:
    uid, gid, groups, *command = sys.argv[1:]
    prefix = PREFIX.encode()
    environment = {name[len(prefix) :]: value for name, value in os.environb.items() if name.startswith(prefix)}
    try:
        become(int(uid), int(gid), [int(group) for group in groups.split(",")])
        os.execve(command[0], command, environment)
    except OSError as error:
        sys.exit(f"cannot run {command[0]} as user {uid}: {error.strerror}")


def become(uid: int, gid: int, groups: list[int]) -> None:
    """Raises OSError: the system does not let this process, or would let it be root again."""
    os.setgroups(groups)  # first: who is no longer root may not
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "new privileges cannot be ruled out")
    if os.getresuid() != (uid,) * 3 or os.getresgid() != (gid,) * 3 or {*os.getgroups()} - {*groups, gid}:
        raise OSError(0, "the system has not changed the user")
    try:
        os.setuid(0)
    except PermissionError:
        return
    raise OSError(0, "it could be root again")


if __name__ == "__main__":
    main()
