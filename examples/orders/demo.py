"""The whole example in one go: submit, watch, kill the supervisor, cancel, count.

    make demo        or: python demo.py [--dir DIR] [--all]

Ends with exit code 0 only if everything became of the jobs that should have. Owns the directory, the processes and the
last page; what happens in between is ``demo_story.py``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import demo_checks as checks
from demo_story import Disappointed, Story
from demo_view import show_end
from jobyard import Client, JobInfo, JobyardError
from rich.console import Console
from shop.mail import SERVER_VARIABLE
from shop.orders import read_orders

HERE = Path(__file__).resolve().parent
MARK = "ORDERS_DEMO"  # every process of the demo carries this variable, so that none can be overlooked
PIPE_WIDTH = 150
COMMAND_S = 30


def main(arguments: list[str]) -> int:
    """Run it; 0 if all was as expected, 1 if not, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="demo.py", description="Run the orders example and check what came of it.")
    parser.add_argument("--dir", type=Path, help="work here, in a new directory (default: a temporary one)")
    parser.add_argument("--all", action="store_true", help="show each job in the table, not each kind")
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, soft_wrap=True, highlight=False)
    try:
        return 0 if run(make_directory(options.dir), console, every_job=options.all) else 1
    except (Disappointed, JobyardError, OSError, subprocess.SubprocessError) as error:
        console.print(f"error: {error}", markup=False)
        return 1
    except KeyboardInterrupt:
        return 130


def make_directory(wanted: Path | None) -> Path:
    """A fresh directory with the application, its config and its data in it."""
    if wanted is None:
        directory = Path(tempfile.mkdtemp(prefix="jobyard-demo-"))
    else:
        directory = wanted.resolve()
        directory.mkdir(parents=True)
    shutil.copytree(HERE / "shop", directory / "shop", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("jobyard.toml", "orders.csv"):
        shutil.copy(HERE / name, directory)
    return directory


def run(directory: Path, console: Console, *, every_job: bool) -> bool:
    """Everything from the first process to the last; says whether all was as expected."""
    began = time.monotonic()
    os.environ[MARK] = str(directory)
    console.print(f"$ cd {directory}", markup=False)
    with ExitStack() as stack:
        os.environ[SERVER_VARIABLE] = f"127.0.0.1:{stack.enter_context(mail_server(directory / 'mails'))}"
        stack.enter_context(supervisor(directory, console))
        client = stack.enter_context(Client(config=directory / "jobyard.toml", timeout=15))
        story = Story(directory, console, client, read_orders(directory / "orders.csv"))
        infos: list[JobInfo] = story.tell()
    left = checks.marked_processes(MARK, str(directory))
    story.checks.append(checks.check_processes("after jobctl down nothing is running any more", left))
    show_end(console, directory, infos, story.names, story.checks, every_job=every_job)
    console.print(f"{time.monotonic() - began:.0f} s in all")
    return not any(check.problem for check in story.checks)


@contextmanager
def mail_server(mails: Path) -> Iterator[int]:
    """A running mail server; gives its port."""
    command = [sys.executable, str(HERE / "mail_server.py"), str(mails), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.strip().isdecimal():
                raise Disappointed("the mail server did not start")
            yield int(line)
        finally:
            process.kill()


@contextmanager
def supervisor(directory: Path, console: Console) -> Iterator[None]:
    """A running supervisor; stopped at the end, at once if something went wrong before."""
    jobctl(directory, console, "up", "-d")
    try:
        yield
    except BaseException:
        jobctl(directory, console, "down", "--now")
        raise
    jobctl(directory, console, "down")


def jobctl(directory: Path, console: Console, *arguments: str) -> None:
    """Run the program as a user would, and show what it says.

    Raises:
        Disappointed: it failed.
    """
    console.print("$", "jobctl", *arguments, markup=False)
    done = subprocess.run(
        [sys.executable, "-m", "jobyard", *arguments],
        cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=COMMAND_S,
    )  # fmt: skip
    console.print(done.stdout.rstrip(), markup=False)
    if done.returncode != 0:
        raise Disappointed(f"jobctl {' '.join(arguments)} ended with exit code {done.returncode}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
