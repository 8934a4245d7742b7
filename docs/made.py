"""The parts of the reference that are made from the program itself, as Markdown.

Each public function makes one part and is named by a page as ``<!-- made: NAME -->``. Knows nothing of Sphinx. The one
thing that is written here and nowhere else is what to do about an error; a code without it stops the build.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jobyard.client.cli import exits, parsing, schemas, verbs
from jobyard.conf.json_schema import json_schema
from jobyard.protocol import errors
from jobyard.supervisor.core.transitions import NEW, TRANSITIONS

_COMMON = "options of every verb"
_SPECIAL = re.compile(r"([\\`*_\[\]<>|])")

# For a program that answers HTTP requests: the status that says the same; and what to do.
_ADVICE: dict[str, tuple[int, str]] = {
    "error": (500, "go by the code; one that this version of the client does not know comes as this class"),
    "supervisor_unavailable": (503, "start it with `jobctl up`, or look where the client looked: the message says so"),
    "outcome_unknown": (504, "send it again by the same client or with the same `key`, which makes no second job"),
    "bad_request": (400, "look at the protocol; no client of jobyard's own sends such a thing"),
    "too_deep": (400, "send fewer jobs in one request, or look at the protocol"),
    "version_mismatch": (501, "use the same version on both sides"),
    "not_allowed": (403, "look for a typing mistake, or allow it in the config and `jobctl reload`"),
    "bad_arguments": (422, "look at the argument or option that the message names, and at what it may be"),
    "not_serializable": (422, "send plain values or the path of a file; the message has the path to the value"),
    "not_importable": (422, "move the function to a module, at its top level"),
    "unknown_queue": (404, "look for a typing mistake, or add `[queues.NAME]` to the config and `jobctl reload`"),
    "queue_full": (429, "submit more slowly, or raise the limit that the message names"),
    "queue_draining": (503, "submit later, or `jobctl resume QUEUE`"),
    "duplicate_job": (409, "take the job that is there, whose id is in `details`, or choose another `on_duplicate`"),
    "job_not_found": (404, "look at the message: it says whether the job was forgotten or never was"),
    "wrong_state": (409, "ask `jobctl why ID` what state it is in, and why"),
    "storage_unavailable": (503, "make room on the disk; it goes on by itself then"),
    "history_unavailable": (503, "look again later; `jobctl status` and the supervisor's log say what is wrong"),
    "too_large": (413, "write it to a file and send the path"),
    "rate_limited": (429, "wait for answers before sending more; the message names the limit"),
    "unauthorised": (403, "be the user that started the supervisor, or get a key that is valid"),
    "invalid_config": (500, "correct what the message lists, with file, line and column of each mistake"),
    "wait_timeout": (504, "wait longer, or ask again later: the job goes on"),
    "no_current_job": (500, "call `current_job(None)`, which is None outside of jobs"),
    "job_outcome": (500, "catch it to catch the five below"),
    "job_failed": (500, "look at its `type` and `traceback`, and at `jobctl logs ID`"),
    "job_timed_out": (504, "give it a longer `timeout`, or make it shorter"),
    "job_cancelled": (410, "ask `jobctl show ID` for the reason"),
    "job_crashed": (500, "look at its `signal` and `exit_code`, and at `jobctl logs ID`"),
    "job_lost": (500, "run `jobctl doctor`: something around the job goes down again and again"),
}


def verbs_by_group() -> str:
    """Every verb of jobctl with its options, from the parsers that read the command line."""
    parts: list[str] = []
    group = ""
    for name, verb in verbs.VERBS.items():
        if verb.group != group:
            group = verb.group
            parts.append(f"## {group}")
        parts += _verb(name, verb.summary)
    return "\n\n".join(parts)


def common_options() -> str:
    """The options that every verb takes."""
    _, parser = parsing.load(verbs.DEFAULT)
    (group,) = (group for group in parser._action_groups if group.title == _COMMON)
    return _options(parser, group._group_actions)


def config_keys() -> str:
    """Every key of jobyard.toml, from the table against which files are checked and conf/default.toml."""
    top = json_schema()["properties"]
    inherited = set(top["defaults"]["properties"])
    sections: dict[str, dict[str, Any]] = {"the top of the file": {}}
    for key, node in top.items():
        if key == "env":
            continue
        inner = node.get("properties") or (node.get("additionalProperties") or {}).get("properties")
        if inner is None:
            sections["the top of the file"][key] = node
            continue
        name = f"[{key}]" if "properties" in node else f"[{key}.NAME]"
        sections[name] = {one: said for one, said in inner.items() if key == "defaults" or one not in inherited}
    retry = sections["[defaults]"].pop("retry")["properties"]
    parts = []
    for name, keys in sections.items():
        parts += [f"## `{name}`" if name.startswith("[") else f"## {name.capitalize()}", _keys(keys)]
        parts += ["## `[defaults.retry]`", _keys(retry)] if name == "[defaults]" else []
    return "\n\n".join(parts)


def error_codes() -> str:
    """Every error that has a code: its class, what it means, the exit code of jobctl, an HTTP status, what to do."""
    known = _coded()
    if known.keys() != _ADVICE.keys():
        raise LookupError(f"what to do about {sorted(known.keys() ^ _ADVICE.keys())} is not said in {__name__}.py")
    rows = []
    for code, cls in known.items():
        status, advice = _ADVICE[code]
        names = f"`{code}` `{cls.__name__}`"
        rows.append((names, str(exits.for_error(cls())), str(status), f"{_summary(cls)} *Do:* {advice}."))
    return _table(("code and class", "exit code", "HTTP", "meaning, and what to do"), rows)


def error_classes() -> str:
    """What the class of each error says of itself, and what it is besides."""
    names = (cls.__name__ for cls in _coded().values() if cls is not errors.JobyardError)
    lines = (f".. autoexception:: jobyard.{name}()\n   :members:\n   :show-inheritance:\n" for name in names)
    return "```{eval-rst}\n" + "\n".join(lines) + "```"


def json_documents() -> str:
    """The keys of everything that jobctl prints as JSON, from the types of which the schemas are made."""
    parts = []
    for name in schemas.names():
        found = schemas.schema(name)
        parts += [f"## `{name}`", _text(found.get("description", ""))]
        parts.append(_table(("key", "type"), ((f"`{key}`", _text(kind)) for key, kind in _paths(found))))
    return "\n\n".join(parts)


def transitions() -> str:
    """Which state may follow which, and by what, from the table that the supervisor obeys."""
    rows = (
        (before if before == NEW else f"`{before}`", record.__name__, ", ".join(f"`{one}`" for one in sorted(after)))
        for (before, record), after in TRANSITIONS.items()
    )
    return _table(("from", "record", "to"), rows)


def _coded() -> dict[str, type[errors.JobyardError]]:
    """The errors of the Python API; jobctl adds a few of its own."""
    return {code: cls for code, cls in errors.BY_CODE.items() if cls.__module__ == errors.__name__}


def _verb(name: str, summary: str) -> Iterator[str]:
    _, parser = parsing.load(name)
    yield f"### jobctl {name}"
    yield _text(summary)
    yield _block(parser.format_usage().removeprefix("usage: "))
    words, plain, *groups = parser._action_groups
    yield _options(parser, [*words._group_actions, *plain._group_actions])
    for group in groups:
        if group.title != _COMMON:
            yield f"**{_text(str(group.title).capitalize())}.** {_text(group.description or '')}"
            yield _options(parser, group._group_actions)
    if parser.epilog:
        formatter = parser._get_formatter()
        formatter.add_text(parser.epilog)
        yield _block(formatter.format_help())


def _options(parser: argparse.ArgumentParser, actions: Iterable[argparse.Action]) -> str:
    formatter = parser._get_formatter()
    rows = []
    for action in actions:
        if not isinstance(action, argparse._HelpAction):
            meaning = formatter._expand_help(action) if action.help else ""
            rows.append((f"`{formatter._format_action_invocation(action)}`", _text(meaning)))
    return _table(("argument or option", "meaning"), rows) if rows else ""


def _keys(keys: Mapping[str, Mapping[str, Any]]) -> str:
    rows = (
        (
            f"`{key}`",
            ", ".join(said["type"]) if isinstance(said["type"], list) else "table",
            f"`{json.dumps(said['default'], ensure_ascii=False)}`" if "default" in said else "",
            _text(said.get("description", "")),
        )
        for key, said in keys.items()
    )
    return _table(("key", "type", "default", "meaning"), rows)


def _paths(found: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Each key with its path, such as ``jobs[].id``, and its type in words."""
    if "properties" in found:
        for key, inner in found["properties"].items():
            below = f"{path}.{key}" if path else key
            yield below, _kind(inner)
            yield from _paths(inner, below)
    elif "items" in found:
        yield from _paths(found["items"], f"{path}[]")
    elif isinstance(found.get("additionalProperties"), Mapping):
        yield from _paths(found["additionalProperties"], f"{path}.*")
    for option in found.get("anyOf", ()):
        yield from _paths(option, path)


def _kind(found: Mapping[str, Any]) -> str:
    if "const" in found:
        return f'"{found["const"]}"'
    if "enum" in found:
        return " or ".join(json.dumps(one) for one in found["enum"])
    if "anyOf" in found:
        return " or ".join(_kind(option) for option in found["anyOf"])
    kinds = found.get("type", "any value")
    words = " or ".join(kinds) if isinstance(kinds, list) else kinds
    if found.get("type") == "array" and _kind(found["items"]) != "object":
        return f"array of {_kind(found['items'])}"
    return f"{words} ({found['format']})" if "format" in found else words


def _table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heading, tuple("---" for _ in heading), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _text(words: str) -> str:
    """As Markdown that shows just these characters, where ``x`` is code as in docstrings."""
    parts = re.split(r"``(.+?)``", words)
    return "".join(f"`{part}`" if index % 2 else _SPECIAL.sub(r"\\\1", part) for index, part in enumerate(parts))


def _block(text: str) -> str:
    return f"```text\n{text.strip()}\n```"


def _summary(cls: type) -> str:
    return _text((cls.__doc__ or "").strip().splitlines()[0])
