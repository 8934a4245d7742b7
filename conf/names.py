"""From what a client wrote to a reference: aliases, full references, two words, and short names below a namespace.

Owns the spelling of names only. It is given the references that there are and imports nothing; whether a name that it
does not know was allowed once, or nearly, is for ``catalog.py`` to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..protocol import options, refs
from ..protocol.errors import NotAllowed
from .allow import alias_refs
from .settings import JobSettings

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Named:
    """A reference, the name to show for it, and the alias through which it was found."""

    ref: str
    name: str
    alias: str | None = None


class Names:
    """All names of one catalogue.

    Args:
        known: the references that may be submitted.
        namespaces: modules or packages below which short names are looked up.
    """

    def __init__(self, known: Iterable[str], jobs: dict[str, JobSettings], namespaces: Iterable[str]) -> None:
        self._refs = set(known)
        self._namespaces = tuple(namespaces)
        self._aliases = {name.casefold(): name for name in jobs}
        self._alias_refs = {name: list(self._expanded(job)) for name, job in jobs.items()}
        self._dotted: dict[str, set[str]] = {}
        self._short: dict[str, set[str]] = {}
        self._conventional: dict[str, set[str]] = {}
        for ref in self._refs:
            self._index(ref)

    def find(self, word: str, method: str | None) -> Named | None:
        """What ``word``, or ``word`` and ``method``, stand for; None if nothing that is known.

        Raises:
            NotAllowed: it stands for several things, or the alias has no such method.
        """
        if ":" in word:
            return self._reference(f"{word}.{method}" if method else word)
        alias = self._aliases.get(word.casefold())
        if alias is not None:
            return self._through(alias, method)
        head, _, tail = word.rpartition(".")
        if method is None and head.casefold() in self._aliases:
            return self._through(self._aliases[head.casefold()], tail)
        return self._dotted_name(word, method)

    def aliases_of(self, ref: str) -> list[str]:
        """The aliases that allow ``ref``, in the order of the config."""
        return [name for name, allowed in self._alias_refs.items() if ref in allowed]

    def spellings(self) -> Iterator[str]:
        """Every name by which something can be submitted, for suggestions."""
        yield from self._refs
        yield from self._short
        for name, allowed in self._alias_refs.items():
            yield name
            yield from (f"{name}.{_last(ref)}" for ref in allowed if _is_method(ref))

    # -- the four forms ------------------------------------------------------------------------------------------------

    def _reference(self, ref: str) -> Named | None:
        if ref in self._refs:
            return Named(ref, refs.display_name(ref))
        return self._one_of(ref, {full for ns in self._namespaces if (full := f"{ns}.{ref}") in self._refs})

    def _through(self, alias: str, method: str | None) -> Named:
        found = self._alias_refs[alias]
        if method is None and len(found) != 1:
            which = _choice(sorted(_last(ref) for ref in found))
            raise NotAllowed(f"{alias} allows several methods: {which}", hint=f"name one: {alias}.{_last(found[0])}")
        chosen = found if method is None else [ref for ref in found if _is_method(ref) and _last(ref) == method]
        if not chosen:
            known = [_last(ref) for ref in found if _is_method(ref)]
            hint = options.nearest_hint(str(method), known) if known else f"submit {alias} without a method"
            raise NotAllowed(f"{alias} allows no method {method!r}", hint=hint)
        ref = chosen[0]
        return Named(ref, f"{alias}@{_last(ref)}" if _is_method(ref) else alias, alias)

    def _dotted_name(self, word: str, method: str | None) -> Named | None:
        if method is not None:
            found = self._dotted.get(f"{word}.{method}")
            if found:
                return self._one_of(f"{word}.{method}", found)
        short = f"{word}.{method}" if method else word
        return self._one_of(short, self._short.get(short) or self._conventional.get(short) or set())

    def _one_of(self, word: str, found: set[str]) -> Named | None:
        if len(found) > 1:
            raise NotAllowed(f"{word!r} may mean {_choice(sorted(found))}", hint=f"write it in full: {min(found)}")
        for ref in found:
            return Named(ref, refs.display_name(ref))
        return None

    # -- the index -----------------------------------------------------------------------------------------------------

    def _expanded(self, job: JobSettings) -> Iterator[str]:
        for pattern in alias_refs(job):
            if pattern.endswith("*"):
                yield from sorted(ref for ref in self._refs if refs.matches(pattern, ref))
            else:
                yield pattern

    def _index(self, ref: str) -> None:
        """``app.jobs.mail:SendJob.run`` below ``app.jobs``: ``mail.SendJob.run``, ``SendJob.run``, and with Send."""
        module, _, qualname = ref.partition(":")
        self._dotted.setdefault(f"{module}.{qualname}", set()).add(ref)
        cls, dot, method = qualname.rpartition(".")
        for namespace in self._namespaces:
            if module != namespace and not module.startswith(f"{namespace}."):
                continue
            packages = module[len(namespace) + 1 :].split(".") if module != namespace else []
            for start in range(len(packages) + 1):
                prefix = "".join(f"{package}." for package in packages[start:])
                self._short.setdefault(prefix + qualname, set()).add(ref)
                if dot and cls.endswith("Job") and cls != "Job":
                    self._conventional.setdefault(f"{prefix}{cls[:-3]}.{method}", set()).add(ref)


def _is_method(ref: str) -> bool:
    return "." in ref.partition(":")[2]


def _last(ref: str) -> str:
    return ref.replace(":", ".").rpartition(".")[2]


def _choice(words: list[str]) -> str:
    return ", ".join(words[:_SHOWN]) + (f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else "")
