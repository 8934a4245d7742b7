"""From a function to the reference (``pkg.mod:function``) by which another process imports it, or why there is none.

Imports nothing and calls nothing: it looks at names only. Whether the config allows the reference is not known here.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from ..protocol.errors import BadArguments, NotImportable
from ..protocol.text import shown

_BY_NAME = 'or submit it by reference: client.submit("pkg.mod:function", ...)'


def reference(function: Callable[..., Any]) -> str:
    """The reference of ``function``.

    Raises:
        NotImportable: another process could not import it by name; says why and what to do.
        BadArguments: not a function at all.
    """
    named = getattr(function, "__jobyard_ref__", None)
    if isinstance(named, str):
        home, _, qualified = named.partition(":")
        return _checked(home, qualified)
    if isinstance(function, functools.partial):
        raise NotImportable(
            f"{shown(function)} is a partial, which has no name",
            hint="submit the function itself, and give the arguments to submit()",
        )
    if not callable(function):
        raise BadArguments(
            f"{shown(function)} is neither a function nor a reference", hint='give a function, or "pkg.mod:function"'
        )
    name = getattr(function, "__qualname__", None)
    if isinstance(function, type):
        raise NotImportable(
            f"{name} is a class", hint=f'name the method: client.submit("{_reference_text(function)}.METHOD", ...)'
        )
    if not isinstance(name, str):
        raise NotImportable(
            f"{shown(function)} is an object with __call__, which has no name", hint="submit a function"
        )
    _refuse_bound(function, name)
    module = getattr(function, "__module__", None) or ""
    text = _checked(module, name)
    _check_found(function, module, name)
    return text


def class_reference(cls: type) -> str:
    """``pkg.mod:Class``, to which ``.method`` is added; raises NotImportable as ``reference``."""
    return _checked(cls.__module__, cls.__qualname__)


def _reference_text(item: Any) -> str:
    return f"{item.__module__}:{item.__qualname__}"


def _refuse_bound(function: Callable[..., Any], name: str) -> None:
    owner = getattr(function, "__self__", None)
    if owner is None or isinstance(owner, type) or type(owner) is type(sys):
        return  # a plain function, a class method, or a built-in function of a module
    method = f"{_reference_text(type(owner))}.{name.rpartition('.')[2]}"
    raise NotImportable(
        f"{name} is a method bound to an object, and the object cannot be sent",
        hint=f'submit "{method}", which builds the object in the job',
    )


def _checked(module: str, name: str) -> str:
    if name.rpartition(".")[2] == "<lambda>":
        raise NotImportable(
            "a lambda has no name by which another process could import it", hint="use def, at the top of a module"
        )
    if "<locals>" in name:
        raise NotImportable(
            f"{name} is defined inside another function, so no other process can import it",
            hint=f"move it to the top of a module (a decorator: use functools.wraps), {_BY_NAME}",
        )
    if module == "__main__":
        raise NotImportable(
            f"{name} is defined in the program that was started (or in a notebook), so no other process can import it",
            hint=f"put it in a module that the config allows and import it from there, {_BY_NAME}",
        )
    if not module or not name:
        raise NotImportable(f"{name or module} does not say which module it is from", hint=_BY_NAME.removeprefix("or "))
    return f"{module}:{name}"


def _check_found(function: Callable[..., Any], module: str, name: str) -> None:
    """Refuse a function whose name leads to something else. A module that is not loaded here cannot be asked."""
    found: Any = sys.modules.get(module)
    if found is None:
        return
    for part in name.split("."):
        found = getattr(found, part, None)
    if found != function:
        raise NotImportable(
            f"{module}:{name} is not this function but {'nothing' if found is None else repr(found)}",
            hint="give it the name under which it is found in its module (a decorator: use functools.wraps)",
        )
