"""``jobctl``: from the command line to a verb, and from whatever happens there to an exit code.

The one place where exceptions end: no traceback reaches a user, unless JOBYARD_DEBUG=1 asks for it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ...protocol.errors import JobyardError
from . import exits, verbs
from .context import Connect, Context, connect_to_supervisor
from .exits import Internal, UsageError
from .parsing import form_of, load, parse, split_verb
from .render import Output, forget_odd_sizes, standard_output

_USAGE = """usage: jobctl VERB [options] ...

Run functions in the background, each in a process of its own. jobctl alone is jobctl status.
"""
_FOOTER = """
jobctl VERB --help explains a verb; jobctl --version prints the version."""


def program(argv: Sequence[str] | None = None) -> NoReturn:
    """``jobctl`` as a process of its own; ``argv`` as ``main`` takes it.

    It ends without the interpreter's tidying up, and begins without looking for garbage every 700 objects: either would
    take longer than a request.
    """
    gc.set_threshold(50_000)
    code = main(argv)
    os._exit(code)


def main(argv: Sequence[str] | None = None, connect: Connect = connect_to_supervisor) -> int:
    """Run one command line.

    Args:
        argv: the words after the program's name (default: those of this process).
        connect: makes the connection to the supervisor, on first use.

    Returns:
        The exit code, one of ``exits.py``.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    forget_odd_sizes(os.environ)
    out = standard_output(form_of(argv), bool(os.environ.get("NO_COLOR")))
    try:
        return _written(argv, out, connect)
    except KeyboardInterrupt:  # another one, or one that came while the last word was written
        out.abandon()
        return exits.INTERRUPTED


def _written(argv: list[str], out: Output, connect: Connect) -> int:
    """The exit code, when all that was printed has been written, or cannot be."""
    try:
        code = _guarded(argv, out, connect)
        out.flush()
    except BrokenPipeError:
        out.abandon()
        return exits.CLOSED_PIPE
    except OSError as error:  # a full disk, a closed descriptor, too many open files
        out.abandon()
        with contextlib.suppress(OSError):  # stderr may be no better
            out.error(Internal(f"the system refused: {error}"))
        return exits.INTERNAL
    return code


def _guarded(argv: list[str], out: Output, connect: Connect) -> int:
    try:
        return _run(argv, out, connect)
    except JobyardError as error:
        return _fail(out, error)
    except KeyboardInterrupt:
        out.say("interrupted")
        return exits.INTERRUPTED
    except OSError:
        raise
    except Exception as error:
        return _fail(out, _internal(error))


def _run(argv: list[str], out: Output, connect: Connect) -> int:
    if argv[:1] == ["__complete"]:
        from . import complete

        complete.run(argv[1:], out, connect)
        return exits.OK
    name, rest = split_verb(argv)
    if name is None and ("--help" in rest or "-h" in rest):
        out.block(f"{_USAGE}\n{verbs.overview()}\n{_FOOTER}")
        return exits.OK
    if name is None and "--version" in rest:
        from ... import __version__

        out.line(f"jobyard {__version__}")
        return exits.OK
    verb, parser = load(name or verbs.DEFAULT)
    try:
        args = parse(parser, rest)
    except SystemExit:  # --help was printed
        return exits.OK
    out.use(args.output, args.color)
    context = Context(args, out, os.environ, _working_directory(), connect)
    try:
        code: int = verb.run(args, context)
        return code
    finally:
        context.close()


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except OSError:
        raise UsageError("the working directory is gone", hint="cd to another directory") from None


def _fail(out: Output, error: JobyardError) -> int:
    out.flush()
    out.error(error)
    return exits.for_error(error)


def _internal(error: Exception) -> Internal:
    if os.environ.get("JOBYARD_DEBUG") == "1":
        import traceback

        traceback.print_exc()
    return Internal(
        f"this is a bug in jobyard: {type(error).__name__}: {error}",
        hint="the same command with JOBYARD_DEBUG=1 shows where; please report it",
    )
