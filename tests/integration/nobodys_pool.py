"""A pool that runs as another user: an interpreter and packages which that user may read."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from others import open_directory

USER = "nobody"
PACKAGES = ("jobyard", "jobyard.client", "jobyard.conf", "jobyard.protocol", "jobyard.supervisor", "msgpack")
PROGRAM = "import msgpack, jobyard.supervisor.executors.zygote.zygote"  # the import alone does nothing


@pytest.fixture(scope="session")
def as_nobody() -> Iterator[str]:
    """Lines for the table of a pool, whose jobs run as ``USER`` then."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with open_directory() as packages:
        copy_packages(packages)
        python = usable_python(packages)
        if python is None:
            pytest.skip(f"there is no Python 3.11 or newer here that {USER} may execute")
        yield f'user = "{USER}"\npython = "{python}"\nenv.PYTHONPATH = "{packages}"\n'


def copy_packages(target: Path) -> None:
    """All that a zygote imports: both the checkout and site-packages may be closed to other users.

    Where jobyard is installed editable, its packages lie in different places.
    """
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.origin is not None
        shutil.copytree(Path(spec.origin).parent, target.joinpath(*name.split(".")), dirs_exist_ok=True)


def usable_python(packages: Path) -> str | None:
    """The running interpreter, or else one of the system's."""
    same = "python{}.{}".format(*sys.version_info)
    system = [f"{place}/{name}" for name in (same, "python3") for place in ("/usr/local/bin", "/usr/bin")]
    return next((python for python in (sys.executable, *system) if can_use(python, packages)), None)


def can_use(python: str, packages: Path) -> bool:
    try:
        done = subprocess.run(
            [python, "-P", "-c", PROGRAM],
            env={"PYTHONPATH": str(packages)},
            cwd="/",
            user=USER,
            group=pwd.getpwnam(USER).pw_gid,
            extra_groups=[],
            capture_output=True,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0
