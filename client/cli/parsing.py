"""The shape of a command line: which word is the verb, the options that several verbs share, points in time.

Owns argparse and its wording; what the words then mean is each verb's business.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib import import_module
from typing import Any, NoReturn, TypeVar

from ...protocol import options
from ...protocol.errors import BadArguments
from ...protocol.options import nearest
from . import verbs
from .exits import UsageError

T = TypeVar("T")
_ASKS_FOR_JSON = re.compile(r" (?:-o ?|--output[ =])jsonl? ")
_HELP_CHARS_MIN = 40
_VALUED = frozenset({"--config", "--env", "--set", "--socket", "--color", "-o", "--output"})


class Parser(argparse.ArgumentParser):
    """argparse that raises ``UsageError`` instead of leaving the process, and guesses what a mistyped option meant."""

    def has_option(self, option: str) -> bool:
        return option in self._option_string_actions

    def error(self, message: str) -> NoReturn:
        unknown = re.search(r"unrecognized arguments: (--[\w-]+)", message)
        guess = nearest(unknown[1], re.findall(r"--[\w-]+", self.format_help())) if unknown else None
        if unknown:
            message = f"there is no option {unknown[1]}"
        raise UsageError(message, hint=f"{self.prog} ... {guess}" if guess else f"{self.prog} --help")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """As wide as the terminal. argparse makes one for every option, and brings in shutil to ask how wide that is."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=max(_HELP_CHARS_MIN, _terminal_chars() - 2))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Paragraphs are wrapped; what is indented, such as examples, and the line above it stay as they are."""
        import textwrap

        paragraphs = [
            paragraph if "\n " in paragraph else textwrap.fill(paragraph, width) for paragraph in text.split("\n\n")
        ]
        return super()._fill_text("\n\n".join(paragraphs), width, indent)


def _terminal_chars() -> int:
    given = os.environ.get("COLUMNS", "")
    if given.isascii() and given.isdigit() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(1).columns or 80
    except (OSError, ValueError):
        return 80


def form_of(argv: Sequence[str]) -> str:
    """The form in which to say that a command line is wrong: that which it asks for, as far as it can be told."""
    words = list(itertools.takewhile(lambda word: word != "--", argv))
    text = " ".join(words)
    return "json" if "--json" in words or _ASKS_FOR_JSON.search(f" {text} ") else "text"


def split_verb(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """The verb (None if there is none) and all the other words.

    Raises:
        UsageError: no such verb.
    """
    for index in positionals(argv):
        name = argv[index]
        rest = [*argv[:index], *argv[index + 1 :]]
        if name in verbs.NOUNS:
            return _noun_verb(name, rest, index)
        if name not in verbs.VERBS:
            raise _no_such_verb(name, verbs.VERBS)
        return name, rest
    return None, list(argv)


def _noun_verb(noun: str, rest: list[str], start: int) -> tuple[str | None, list[str]]:
    known = [name for name in verbs.VERBS if name.startswith(f"{noun} ")]
    for index in positionals(rest):
        if index >= start:
            name = f"{noun} {rest[index]}"
            if name not in verbs.VERBS:
                raise _no_such_verb(name, known)
            return name, [*rest[:index], *rest[index + 1 :]]
    if "--help" in rest or "-h" in rest:  # the overview has them all
        return None, rest
    raise UsageError(f"{noun!r} alone does nothing", hint=" or ".join(f"jobctl {name}" for name in known))


def _no_such_verb(name: str, known: Sequence[str] | dict[str, verbs.Verb]) -> UsageError:
    guess = nearest(name, known)
    return UsageError(f"there is no verb {name!r}", hint=f"jobctl {guess}" if guess else "jobctl --help")


def positionals(argv: Sequence[str]) -> list[int]:
    """Where the words are that are neither an option nor the value of one."""
    found: list[int] = []
    skip = False
    for index, word in enumerate(argv):
        if skip:
            skip = False
        elif word == "--":
            break
        elif word.startswith("-") and word != "-":
            skip = word in _VALUED
        else:
            found.append(index)
    return found


def load(name: str) -> tuple[Any, Parser]:
    """The module of a verb, which has ``add`` and ``run``, and the whole parser of its command line."""
    verb = import_module(f".commands.{verbs.VERBS[name].module}", __package__)
    parser = Parser(
        prog=f"jobctl {name}",
        description=verbs.VERBS[name].summary,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    verb.add(parser)
    add_common(parser)
    return verb, parser


def add_common(parser: Parser) -> None:
    """The options of every verb, last because they matter least."""
    common = parser.add_argument_group("options of every verb")
    if not parser.has_option("--config"):
        common.add_argument(
            "--config", metavar="FILE", help="the config file (default: the nearest jobyard.toml upward)"
        )
    common.add_argument(
        "--env", metavar="NAME", help='the environment whose [env.NAME] sections apply (default: "local")'
    )
    common.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="override one setting of the config"
    )
    common.add_argument("--socket", metavar="ADDRESS", help="the supervisor's socket, instead of the config's")
    common.add_argument("--json", dest="output", action="store_const", const="json", default="text", help="print JSON")
    common.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="colours (default: auto)")


def add_output(parser: argparse.ArgumentParser) -> None:
    """``-o`` for verbs that print jobs."""
    parser.add_argument(
        "-o",
        "--output",
        choices=("text", "json", "jsonl", "id"),
        default="text",
        help="one JSON value, one per line, or ids only",
    )


def add_ids(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    parser.add_argument("ids", metavar="ID", nargs="+" if required else "*", help="42, 40-45, 40,42, last or last:3")


def add_ids_or_filters(parser: argparse.ArgumentParser, everything: str) -> None:
    """Both ways to name jobs, one of which is to be used; sets the usage."""
    parser.usage = f"{parser.prog} [options] ID ...\n       {parser.prog} [options] FILTER ..."
    add_ids(parser)
    add_filters(parser, everything, "filters, instead of ids")


def add_filters(parser: argparse.ArgumentParser, everything: str, title: str = "filters") -> None:
    """The options that choose jobs; ``everything`` says what ``--all`` means for this verb."""
    group = parser.add_argument_group(title, "Jobs that fit all of them.")
    group.add_argument("--state", metavar="STATE", action="append", default=[], help="in this state, or one of several")
    group.add_argument("--queue", metavar="QUEUE", help="of this queue")
    group.add_argument("--job", metavar="JOB", help="of this function or alias")
    group.add_argument("--tag", metavar="KEY=VALUE", action="append", default=[], help="with this tag; may be repeated")
    group.add_argument("--after", metavar="ID", help="that wait or waited for this job")
    group.add_argument("--since", metavar="WHEN", help='created since then: "2h", or a time such as 2026-10-01T12:00')
    group.add_argument(
        "--error", metavar="TEXT", help="whose last attempt raised an error with this in type or message"
    )
    group.add_argument(
        "--search", metavar="TEXT", help="with each of these words in arguments, error or reason, in either case"
    )
    group.add_argument("--all", action="store_true", help=everything)


def add_yes(parser: argparse.ArgumentParser, deed: str) -> None:
    """``--yes`` for verbs that do something to many jobs; ``deed`` as in "jobs are cancelled"."""
    parser.add_argument("--yes", action="store_true", help=f"do not ask before {deed} by filters")


def parse(parser: Parser, argv: Sequence[str]) -> argparse.Namespace:
    """Options and words in any order. What follows ``--`` is words, also when it looks like an option."""
    args = _parsed(parser, argv)
    for option in ("config", "env", "socket"):  # a variable that is not set must not mean another supervisor
        if getattr(args, option) == "":
            raise UsageError(f"--{option} '' names nothing", hint=f"leave --{option} out for the usual one")
    return args


def _parsed(parser: Parser, argv: Sequence[str]) -> argparse.Namespace:
    if "--" not in argv:
        return parser.parse_intermixed_args(list(argv))
    cut = list(argv).index("--")
    args = parser.parse_intermixed_args(list(argv[:cut]))
    if "words" not in args:
        return parser.parse_args(list(argv))
    args.words += argv[cut + 1 :]
    return args


def option_value(parse: Callable[[object], T], value: object, option: str) -> T:
    """The value of an option, read by a parser of protocol/options.py.

    Raises:
        UsageError: it is none; names the option.
    """
    try:
        return parse(value)
    except BadArguments as error:
        raise UsageError(f"{option}: {error.message}", hint=error.hint) from None


def key_values(words: Sequence[str], option: str) -> dict[str, str]:
    """A mapping from ``key=value`` words.

    Raises:
        UsageError: a word without "=".
    """
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(f"{option} {word!r} is not of the form key=value")
        found[key] = value
    return found


def wall_time(text: str, option: str, hint: str = "write 2026-10-01T12:00, or with a zone 2026-10-01T12:00Z") -> float:
    """Seconds since the epoch from an ISO 8601 time; without a zone it is local time.

    Raises:
        UsageError: not a time.
    """
    try:
        return options.wall_time(datetime.fromisoformat(text).astimezone().timestamp())
    except (ValueError, OverflowError, OSError, BadArguments):
        raise UsageError(f"{option} {text!r} is not a point in time", hint=hint) from None
