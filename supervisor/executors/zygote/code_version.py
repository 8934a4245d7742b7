"""Which version of the pool's code a process has loaded: one short name for all source files that matter.

Owns which files those are and what of them counts: path, time of change and size. Reads no file's content, so that
naming a few hundred of them takes a millisecond.
"""

from __future__ import annotations

import os
import sys
from _blake2 import blake2b  # hashlib would bring in OpenSSL, 3.5 MB for every child to carry
from collections.abc import Iterable

NAME_BYTES = 6


def sources(allow: Iterable[str]) -> list[str]:
    """Files of all modules that are loaded, and of those that jobs of these patterns will load, as far as found."""
    found = {path for module in list(sys.modules.values()) if isinstance(path := _file(module), str)}
    for pattern in allow:
        parts = pattern.partition(":")[0].split(".")
        found.update(filter(None, (_module_file(root, parts) for root in sys.path)))
    return sorted(found)


def name(paths: Iterable[str]) -> str:
    """The name of these files as they are now; the same as long as none of them changes."""
    digest = blake2b(digest_size=NAME_BYTES)
    for path in paths:
        try:
            found = os.stat(path)
        except OSError:
            digest.update(f"{path}\0gone\0".encode("utf-8", "surrogateescape"))
        else:
            digest.update(f"{path}\0{found.st_mtime_ns}\0{found.st_size}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _file(module: object) -> object:
    """``getattr`` could run code of a module that loads lazily."""
    return getattr(module, "__dict__", {}).get("__file__")


def _module_file(root: str, parts: list[str]) -> str | None:
    base = os.path.join(root, *parts)
    return next((path for path in (f"{base}.py", os.path.join(base, "__init__.py")) if os.path.isfile(path)), None)
