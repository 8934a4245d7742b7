"""From a reference to the callable, in the child: the allow list once more, the import, the look-up.

The supervisor has checked the name at submit. Here the module is there to be looked at, so a wildcard can be held to
what was *defined* in its module.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from . import refs
from .errors import NotAllowed, NotImportable


def load(ref: str, allow: list[str]) -> Callable[..., Any]:
    """What ``ref`` names, ready to be called; the class of a method is made without arguments.

    Raises:
        NotAllowed: no line of ``allow`` covers it.
        NotImportable: its module has no such callable.
        BaseException: whatever the import, or making the class, raises.
    """
    named = ref in allow
    if not named and not refs.allowed(allow, ref):
        raise NotAllowed(f"{ref} is not in the allow list of this pool", hint=f'add "{ref}" to allow')
    module_name, _, name = ref.partition(":")
    module = sys.modules.get(module_name) or importlib.import_module(module_name)
    owner_name, dot, method = name.partition(".")
    try:
        found = getattr(module, owner_name)
    except AttributeError:
        raise _no_member(module, owner_name, ref) from None
    if not dot:
        if not named and getattr(found, "__module__", None) != module_name:
            raise NotAllowed(
                f"{ref} is imported into {module_name}, not defined there, so {module_name}:* does not allow it",
                hint=f'add "{ref}" to allow',
            )
    else:
        if not isinstance(found, type):
            raise NotImportable(f"{owner_name} of {ref} is not a class")
        if not hasattr(found, method):
            raise _no_member(found, method, ref)
        found = getattr(found(), method)
    if not callable(found):
        raise NotImportable(f"{ref} is a {type(found).__name__}, which cannot be called")
    return found  # type: ignore[no-any-return]


def _no_member(owner: Any, name: str, ref: str) -> NotImportable:
    return NotImportable(f"{owner.__name__} has no {name!r}, so {ref} cannot be run")
