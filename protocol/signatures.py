"""Whether arguments fit a function, judged by the signature in the catalogue, in Python's own words and all at once."""

from __future__ import annotations

from collections.abc import Sequence

from . import options
from .errors import BadArguments
from .messages import CatalogEntry, Parameter


def check_arguments(entry: CatalogEntry, arg_count: int, kwarg_names: Sequence[str]) -> None:
    """Refuse what calling the function would refuse.

    Raises:
        BadArguments: names what is missing, unexpected, given twice or too many.
    """
    positional = [parameter for parameter in entry.parameters if parameter.kind in ("positional", "either")]
    by_name = {parameter.name for parameter in entry.parameters if parameter.kind in ("either", "named")}
    kinds = {parameter.kind for parameter in entry.parameters}
    filled = {parameter.name for parameter in positional[:arg_count]}
    named = set(kwarg_names)
    complaints = []
    if arg_count > len(positional) and "args" not in kinds:
        complaints.append(_too_many(positional, arg_count))
    complaints += [f"got multiple values for argument {name!r}" for name in sorted(named & filled & by_name)]
    unexpected = sorted(named - by_name) if "kwargs" not in kinds else []
    complaints += [f"got an unexpected keyword argument {name!r}" for name in unexpected]
    taken = filled | (named & by_name)
    missing = [parameter.name for parameter in entry.parameters if parameter.required and parameter.name not in taken]
    if missing:
        complaints.append(f"missing {_count(len(missing), 'required argument')}: {_listed(missing)}")
    if complaints:
        raise BadArguments(f"{entry.ref.partition(':')[2]}() {'; '.join(complaints)}", hint=_hint(unexpected, by_name))


def _too_many(positional: list[Parameter], given: int) -> str:
    optional = sum(not parameter.required for parameter in positional)
    takes = f"from {len(positional) - optional} to {len(positional)}" if optional else str(len(positional))
    arguments = "argument" if takes == "1" else "arguments"
    return f"takes {takes} positional {arguments} but {given} {'was' if given == 1 else 'were'} given"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _listed(names: list[str]) -> str:
    quoted = [repr(name) for name in names]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + " and " + quoted[-1]


def _hint(unexpected: list[str], by_name: set[str]) -> str:
    if unexpected and unexpected[0] in options.ALL_OPTIONS:
        option = unexpected[0]
        return f"give {option} as an option of the job, as client.options({option}=...) and jobctl's options do"
    close = options.nearest(unexpected[0], by_name) if unexpected else None
    return f"did you mean {close!r}?" if close else "jobctl catalog, or jobctl reload if the function has changed"
