"""``jobctl __complete``: what may stand where the cursor is, for the completion scripts of all shells.

Verbs, options and choices come from the parsers that the verbs themselves build; ids, jobs, queues and pools from the
supervisor. Whatever goes wrong, nothing is suggested: a shell in the middle of a line is no place for errors.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ...protocol import messages, states
from . import parsing, verbs
from .context import Connect, Context
from .render import Output

TIMEOUT_S = 1.0
_RECENT = 20
_HARMLESS = re.compile(r"[\w.:@%+,/=-]+\Z")  # all else would have to be quoted in one shell or the other


def run(argv: Sequence[str], out: Output, connect: Connect) -> None:
    """Print the words that fit, one per line. ``argv`` is what was typed after ``jobctl``; the last is not complete."""
    typed = list(argv[1:] if argv[:1] == ["--"] else argv) or [""]
    try:
        found = _candidates(typed[:-1], typed[-1], out, connect)
        fitting = [word for word in dict.fromkeys(found) if word.startswith(typed[-1]) and _HARMLESS.match(word)]
    except (Exception, SystemExit):
        return
    for word in fitting:
        out.line(word)


def _candidates(before: list[str], word: str, out: Output, connect: Connect) -> Iterable[str]:
    name, rest = _verb(before)
    if name is None and rest:  # no verb of ours
        return []
    if name not in verbs.VERBS:
        following = [verb.split() for verb in verbs.VERBS if name is None or verb.startswith(f"{name} ")]
        options = ["--help", "--version"] if name is None and word.startswith("-") else []
        return [*options, *(words[0 if name is None else 1] for words in following)]
    parser = parsing.load(name)[1]
    return _for_verb(parser, rest, word, lambda action: _values(action, rest, out, connect))


def _verb(before: list[str]) -> tuple[str | None, list[str]]:
    """The verb, or the noun of one, and the words that belong to it; None and nothing before there is one."""
    places = parsing.positionals(before)
    for count in (2, 1):
        name = " ".join(before[place] for place in places[:count])
        if len(places) >= count and (name in verbs.VERBS or (count == 1 and name in verbs.NOUNS)):
            return name, [word for place, word in enumerate(before) if place not in places[:count]]
    return None, [before[place] for place in places]


def _for_verb(
    parser: argparse.ArgumentParser, rest: list[str], word: str, values: Callable[[argparse.Action], Iterable[str]]
) -> Iterable[str]:
    # argparse has no public way to its actions.
    options = {string: action for action in parser._actions for string in action.option_strings}
    option, equals, _ = word.partition("=")
    if equals and option in options:
        return [f"{option}={value}" for value in values(options[option])]
    if rest and rest[-1] in options and options[rest[-1]].nargs is None:
        return values(options[rest[-1]])
    if word.startswith("-"):
        return options
    places = [action for action in parser._actions if not action.option_strings]
    given = 0
    for index, one in enumerate(rest):
        before = rest[index - 1] if index else ""
        given += not one.startswith("-") and not (before in options and options[before].nargs is None)
    if not places or (given >= len(places) and (places[-1].nargs not in ("*", "+") or places[-1].metavar == "JOB")):
        return []
    return values(places[min(given, len(places) - 1)])


def _values(action: argparse.Action, rest: list[str], out: Output, connect: Connect) -> Iterable[str]:
    if action.choices is not None:
        return map(str, action.choices)
    if action.metavar == "STATE":
        return states.STATES
    ask = _ASKED.get(str(action.metavar))
    if ask is None:
        return []
    common = parsing.Parser(add_help=False)
    parsing.add_common(common)
    args, _ = common.parse_known_args(rest)
    context = Context(args, out, os.environ, Path.cwd(), connect)
    try:
        return ask(lambda request: context.request(request, TIMEOUT_S))
    finally:
        context.close()


_Ask = Callable[[messages.Request], object]


def _ids(ask: _Ask) -> list[str]:
    reply = ask(messages.List(limit=_RECENT))
    assert isinstance(reply, messages.Jobs)
    return ["last", *(str(info.id) for info in reply.jobs)]


def _jobs(ask: _Ask) -> list[str]:
    reply = ask(messages.Catalog())
    assert isinstance(reply, messages.CatalogReply)
    return [name for entry in reply.entries for name in (entry.ref, *entry.aliases)]


def _queues(ask: _Ask) -> list[str]:
    reply = ask(messages.Status())
    assert isinstance(reply, messages.SupervisorStatus)
    return [queue.name for queue in reply.queues]


def _pools(ask: _Ask) -> list[str]:
    reply = ask(messages.Status())
    assert isinstance(reply, messages.SupervisorStatus)
    return [pool.name for pool in reply.pools]


_ASKED: dict[str, Callable[[_Ask], list[str]]] = {"ID": _ids, "JOB": _jobs, "QUEUE": _queues, "POOL": _pools}
