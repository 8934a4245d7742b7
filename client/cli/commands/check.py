"""``jobctl check``."""

from __future__ import annotations

import argparse
import itertools
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ....conf.paths import Paths
from ....conf.settings import Settings
from ....protocol.errors import InvalidConfig
from .. import checkup, examine, examine_pools
from ..checkup import fail, ok
from ..context import Context
from ..render import counted

if TYPE_CHECKING:
    from ..shapes import Check

_HELPER = "from jobyard import run_background_job"
_EXAMPLES = """First the three things that a job needs: the helper can be imported by every pool's interpreter,
both log files can be written, and the config allows something. Then all that jobctl doctor looks at.

Exit codes: 0 nothing failed, 1 something did.

examples:
  jobctl check
  jobctl check --env production"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    found = [_prerequisites(context), examine.machine(), examine.config(context), examine_pools.supervisor(context)]
    return checkup.tell(context, itertools.chain.from_iterable(found))


def _prerequisites(context: Context) -> Iterator[Check]:
    try:
        settings, places = context.loaded.settings, context.paths
    except InvalidConfig:  # told in full further down; one that approves nothing is such a config
        return
    yield from _helpers(settings, context)
    yield from _logs(places)
    allowed = [*settings.allow, *settings.jobs, *(line for pool in settings.pools.values() for line in pool.allow)]
    yield ok("approved", f"the config approves {counted(len(allowed), 'pattern')}: {', '.join(allowed[:5])}")


def _helpers(settings: Settings, context: Context) -> Iterator[Check]:
    """One look per interpreter that pools use."""
    pythons = {
        sys.executable if pool.python is None else _python(settings, pool.python, context): name
        for name, pool in settings.pools.items()
    }
    for python, pool in pythons.items():
        try:
            ended = subprocess.run([python, "-P", "-c", _HELPER], capture_output=True, text=True, check=False)
            said = ended.stderr.strip().rpartition("\n")[2] if ended.returncode else ""
        except OSError as error:
            said = error.strerror or str(error)
        if said:
            advice = f"{python} -m pip install jobyard"
            yield fail("helper", f"{python} (pool {pool}) cannot import run_background_job: {said}", advice)
        else:
            yield ok("helper", f"{python} (pool {pool}) has run_background_job")


def _python(settings: Settings, given: str, context: Context) -> str:
    if "/" in given or given.startswith("~"):
        return str(settings.absolute(given, context.environ))
    return shutil.which(given, path=context.environ.get("PATH")) or given


def _logs(places: Paths) -> Iterator[Check]:
    for name, path in (("log", places.supervisor_log), ("error log", places.error_log)):
        there: Path = next(one for one in (path, *path.parents) if one.exists())
        if there not in (path, path.parent) and path.parent != places.state_dir:  # which a start makes
            yield fail(name, f"{path.parent} is not there", f"mkdir -p {shlex.quote(str(path.parent))}")
        elif os.access(there, os.W_OK):
            yield ok(name, str(path))
        else:
            yield fail(name, f"{path} cannot be written", f"set [logging] file or error_file, or chown {there}")
