"""Where the config is, and whether it can move anything that clients look for.

Owns the order in which places are searched. Reads no settings: that is ``loader.py``'s, and takes much longer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from ..protocol.errors import InvalidConfig
from .settings import expand_home

CONFIG_NAME = "jobyard.toml"
SYSTEM_CONFIG = Path("/etc/jobyard") / CONFIG_NAME
DROP_INS = "jobyard.d"
VARIABLES = "JOBYARD__"


class NoConfig(InvalidConfig):
    """No config was found; ``details["tried"]`` lists every place."""

    code: ClassVar[str] = "no_config"


def find_config(explicit: str | None, cwd: Path, environ: Mapping[str, str]) -> Path:
    """The real path of the config: ``explicit``, ``JOBYARD_CONFIG``, the nearest one upward, the user's, the system's.

    Raises:
        NoConfig: there is none anywhere.
        InvalidConfig: the one asked for does not exist; or the one that was found is somebody else's.
    """
    for name, given in (("--config", explicit), ("JOBYARD_CONFIG", environ.get("JOBYARD_CONFIG"))):
        if given or (given is not None and name == "--config"):  # a variable that is empty is as if it were not set
            path = cwd / expand_home(given, environ)
            if not given or not os.path.exists(path):
                problem = f"{name} {given or repr(given)}: there is no such file"
                raise InvalidConfig(problem, hint="give the path of a jobyard.toml", details={"problems": [problem]})
            return Path(os.path.realpath(path))
    places = [directory / CONFIG_NAME for directory in (cwd, *cwd.parents)]
    home = environ.get("XDG_CONFIG_HOME") or expand_home("~/.config", environ)
    places += [Path(home, "jobyard", CONFIG_NAME), SYSTEM_CONFIG]
    for path in places:
        if os.path.lexists(path):
            _check_owner(path)
            return Path(os.path.realpath(path))
    raise NoConfig(
        f"no {CONFIG_NAME} in {cwd} or above, nor {places[-2]} or {places[-1]}",
        hint="jobctl init",
        details={"tried": [str(path) for path in places]},
    )


def _check_owner(path: Path) -> None:
    """A config says which programs run, so one that merely lies on the way up, as in /tmp, must be ours or root's.

    Raises:
        InvalidConfig: it, or the link to it, is another user's.
    """
    try:
        owners = {os.lstat(path).st_uid, os.stat(path).st_uid}
    except OSError:
        return  # whoever reads it says what is wrong with it
    for owner in owners - {0, os.geteuid()}:
        import shlex  # none of this is of use to anybody else

        from .paths import be_user, user_name

        problem = f"{path} belongs to user {user_name(owner)}, who could run programs as you by it"
        hint = f"{be_user(owner)}, or if you trust that user: --config {shlex.quote(str(path))}"
        raise InvalidConfig(problem, hint=hint, details={"problems": [problem]})


def leaves_places(file: Path, environ: Mapping[str, str]) -> bool:
    """Whether this config certainly says nothing of where sockets and state are, so that they are at their defaults.

    Only ``[supervisor]`` moves them: a file without that word, and without escapes that could hide it, cannot.
    """
    overlaid = environ.get("JOBYARD_ENV") or any(name.upper().startswith(VARIABLES) for name in environ)
    if overlaid or os.path.lexists(file.parent / DROP_INS):
        return False
    try:
        text = file.read_bytes()
    except OSError:
        return False
    return b"supervisor" not in text and b"\\" not in text
