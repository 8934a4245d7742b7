"""``jobctl init``."""

from __future__ import annotations

import argparse
import os
from importlib import resources
from pathlib import Path

from .. import documents, exits
from ..context import Context
from ..exits import UsageError

_EXAMPLES = """Nothing that exists is overwritten.

examples:
  jobctl init
  jobctl init --config                  # the config alone, with every key and its default
  jobctl init --config conf/jobyard.toml
  jobctl init myproject"""

_CONFIG = """\
# What jobyard may run, and how. `jobctl config show --origin` prints every setting and where it comes from.

# Which functions may be submitted; everything else is refused. "jobs:*" means the public functions that
# are defined in jobs.py.
allow = ["jobs:*"]

# [defaults]
# timeout = "10m"                               # kill an attempt that takes longer; without it there is no limit
# retry = { max_attempts = 3, delay = "5s" }    # what happens when a job raises or crashes

# [queues.mail]
# concurrency = 2                               # at most two jobs of this queue at once

# [pools.default]
# concurrency = 4                               # jobs at once; without it one per CPU

# [jobs.Hello]                                  # another name for a function, with options of its own
# target = "jobs:hello"
# timeout = "30s"
"""

_JOBS = '''\
"""Functions that run in the background, each call in a process of its own."""

import time

from jobyard import current_job


def hello(name: str = "World") -> str:
    """Greet somebody."""
    print(f"Hello, {name}!")
    return f"greeted {name}"


def count(to: int = 10, pause: float = 0.5) -> int:
    """Count slowly and say how far it is; good for trying jobctl cancel and jobctl logs -f."""
    job = current_job()
    for number in range(1, to + 1):
        print(number)
        job.progress(number, to)
        time.sleep(pause)
    return to
'''

_NEXT = """\
try: {cd}jobctl up -d
     jobctl run jobs:hello {name}
     jobctl submit jobs:count 20
     jobctl logs -f last
     jobctl down"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options] [DIR]"
    parser.add_argument(
        "directory", metavar="DIR", nargs="?", default=".", help="where (default: here); made if it is not there"
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        nargs="?",
        const="jobyard.toml",
        help="write nothing but a config with every key, its default and what it is for (default: jobyard.toml)",
    )
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    if args.config is not None:
        return _publish(context.cwd / args.directory / args.config, context)
    directory = context.cwd / args.directory
    config, jobs = directory / "jobyard.toml", directory / "jobs.py"
    if os.path.lexists(config):
        raise UsageError(f"{config} exists already; nothing was written", hint="jobctl up")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        written = [str(path) for path, text in ((config, _CONFIG), (jobs, _JOBS)) if _write(path, text)]
    except OSError as error:
        raise UsageError(
            f"cannot write to {str(directory)!r}: {error.strerror}", hint="name another directory"
        ) from None
    if args.output == "json":
        context.out.document(documents.INIT, {"written": written})
        return exits.OK
    for name in written:
        context.out.line(f"wrote {name}")
    if str(jobs) not in written:
        context.out.say(f"{jobs} was there already and is as it was")
    context.out.say(_NEXT.format(cd="" if args.directory == "." else f"cd {args.directory} && ", name="Ann"))
    return exits.OK


def _publish(config: Path, context: Context) -> int:
    """Write all of default.toml, with an ``allow`` line, since a config that allows nothing is refused."""
    text = resources.files("jobyard.conf").joinpath("default.toml").read_text("utf-8")
    text = text.replace("allow = []\n", 'allow = ["jobs:*"]\n', 1)
    try:
        config.parent.mkdir(parents=True, exist_ok=True)
        written = _write(config, text)
    except OSError as error:
        raise UsageError(f"cannot write {str(config)!r}: {error.strerror}", hint="name another file") from None
    if not written:
        raise UsageError(f"{config} exists already; nothing was written", hint="name another file")
    if context.args.output == "json":
        context.out.document(documents.INIT, {"written": [str(config)]})
    else:
        context.out.line(f"wrote {config}")
    return exits.OK


def _write(path: Path, text: str) -> bool:
    """Whether the file was made; one that exists is left alone, whatever it is."""
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True
