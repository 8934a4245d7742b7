"""``jobctl make-job``: a module with a job to start from, and its alias in the config."""

from __future__ import annotations

import argparse
import keyword
import re
from pathlib import Path

from ....conf import sources
from ....conf.settings import Settings
from .. import documents, exits
from ..context import Context
from ..exits import UsageError

_CLASS = '''\
"""The job {name}."""

from jobyard import BaseJob


class {name}(BaseJob):
    def {method}(self) -> None:
        """Say here what it does: jobctl catalog shows this line."""
        self.log("at work")
'''
_FUNCTION = '''\
"""The job {name}."""

from jobyard import current_job


def {name}() -> None:
    """Say here what it does: jobctl catalog shows this line."""
    current_job().log("at work")
'''
_EXAMPLES = """The module is made where the pool of new jobs looks first, below the first namespace of the config
if there is one. Nothing that exists is overwritten.

examples:
  jobctl make-job SendReminder
  jobctl make-job SendReminder --method send
  jobctl make-job clean_up --function"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options] NAME"
    parser.add_argument("name", metavar="NAME", help="of the class and of its alias, such as SendReminder")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--method", metavar="NAME", default="handle", help="the method that runs (default: handle)")
    kind.add_argument("--function", action="store_true", help="make a function instead of a class")
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    name, method = _identifier(args.name), _identifier(args.method)
    settings = context.loaded.settings
    if name.casefold() in map(str.casefold, settings.jobs):
        raise UsageError(f"{settings.file} has a [jobs.{name}] already; nothing was written", hint="take another name")
    place = _place(settings, context)
    package = _package(settings, place)
    stem = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    module = f"{package}.{stem}" if package else stem
    alias = f'\n[jobs.{name}]\ntarget = "{module}:{name}"\n'
    if not args.function:
        alias += f'methods = ["{method}"]\n'
    path = place / f"{module.replace('.', '/')}.py"
    _check_appendable(settings.file, alias)
    text = (_FUNCTION if args.function else _CLASS).format(name=name, method=method)
    _write(path, text, settings.file, alias)
    if args.output == "json":
        context.out.document(documents.MADE_JOB, {"module": str(path), "config": str(settings.file), "alias": name})
        return exits.OK
    context.out.line(f"wrote {path}")
    context.out.line(f"added [jobs.{name}] to {settings.file}")
    context.out.say(f"try: jobctl reload && jobctl run {name}")
    return exits.OK


def _identifier(name: str) -> str:
    if not name.isidentifier() or not name.isascii() or name.startswith("_") or keyword.iskeyword(name):
        raise UsageError(f"{name!r} cannot be the name of a job", hint="use letters, digits and _, as in SendReminder")
    return name


def _check_appendable(config: Path, alias: str) -> None:
    """A file that has ``jobs = {...}`` takes no further section of that name."""
    try:
        sources.parse(sources.read_text(config) + "\n" + alias)
    except sources.Unreadable:
        raise UsageError(f"nothing can be added at the end of {config}", hint="write jobs as [jobs.NAME]") from None


def _place(settings: Settings, context: Context) -> Path:
    """The first directory in which jobs of queues without a pool of their own are looked for."""
    pool = settings.pools[settings.queues[settings.defaults["queue"]].pool]
    return settings.absolute(pool.path[0] if pool.path else ".", context.environ)


def _package(settings: Settings, place: Path) -> str:
    """The first namespace, or what holds it if it is a module; "" if there is none."""
    package = settings.namespace[0] if settings.namespace else ""
    is_module = (place / f"{package.replace('.', '/')}.py").exists()
    return package.rpartition(".")[0] if is_module else package


def _write(path: Path, text: str, config: Path, alias: str) -> None:
    """Both or neither."""
    try:
        _make_package(path.parent)
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists already; nothing was written", hint="take another name") from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    try:
        _append(config, alias)
    except OSError as error:
        path.unlink()
        raise UsageError(f"cannot write {config}: {error.strerror}; nothing was changed") from None


def _append(config: Path, alias: str) -> None:
    with open(config, "r+b") as file:
        if not file.read().endswith(b"\n"):
            alias = f"\n{alias}"
        file.write(alias.encode())


def _make_package(directory: Path) -> None:
    """The directory, and an ``__init__.py`` in each that is new."""
    if not directory.exists():
        _make_package(directory.parent)
        directory.mkdir()
        (directory / "__init__.py").touch()
