"""From patterns of the allow list to descriptions of what they mean, by importing the modules and looking at them.

Owns which callables a pattern means, what is told of their signatures, and what is wrong with the rest. The
descriptions are plain data, those of ``CatalogEntry`` and ``CatalogProblem`` without the pool.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import json
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

from . import refs

_DOC_CHARS, _TEXT_CHARS, _WHY_CHARS = 200, 80, 1000
_KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: "positional",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "either",
    inspect.Parameter.KEYWORD_ONLY: "named",
    inspect.Parameter.VAR_POSITIONAL: "args",
    inspect.Parameter.VAR_KEYWORD: "kwargs",
}
Found = dict[str, Any]


class Unusable(Exception):
    """Something that is allowed and cannot be a job; the message says why."""


def look(allow: list[str], path: list[str], skip: Mapping[str, str], importing: Callable[[str], None]) -> Found:
    """``{"entries": [...], "problems": [...]}`` for all that ``allow`` means.

    Args:
        path: where modules are looked for, to be told of one that is not there.
        skip: modules that are not to be imported, and why.
        importing: called with the name of each module before it is imported.
    """
    entries: dict[str, Found] = {}
    problems: list[Found] = []
    for name, patterns in _by_module(allow).items():
        why = skip.get(name)
        module = None
        if why is None:
            importing(name)
            module, why = _import(name, path)
        for pattern in patterns:
            if module is None:
                problems.append({"what": pattern, "why": why})
            else:
                _collect(module, pattern, entries, problems)
    return {"entries": list(entries.values()), "problems": problems}


def _by_module(patterns: list[str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for pattern in patterns:
        grouped.setdefault(pattern.partition(":")[0], []).append(pattern)
    return grouped


def call_setup(ref: str) -> str | None:
    """Call a function of the config, ``pkg.mod:function``; what is wrong with it, if something is."""
    try:
        module, name = refs.split_ref(ref)
        target: Any = importlib.import_module(module)
        for part in name.split("."):
            target = getattr(target, part)
        target()
    except BaseException as error:
        return f"setup failed: {_failure(error)}"
    return None


def _import(name: str, path: list[str]) -> tuple[ModuleType | None, str | None]:
    """The module, or why it cannot be imported."""
    try:
        return importlib.import_module(name), None
    except BaseException as error:
        why = f"{name} failed to import: {_failure(error)}"
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            why += "; looked in " + ", ".join(path) + " and where this interpreter keeps its own"
        return None, _text(why, _WHY_CHARS)


def _failure(error: BaseException) -> str:
    """An exception in one line, with the place in user code where it was raised."""
    if isinstance(error, SystemExit):
        what = f"it called sys.exit({_text(_repr(error.code), _TEXT_CHARS)})"
    else:
        try:
            message = error.msg if isinstance(error, SyntaxError) else str(error)
        except Exception as broken:
            message = f"(its message cannot be read: {type(broken).__name__})"
        what = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return _text(what, _WHY_CHARS) + _text(_place(error), _WHY_CHARS)


def _place(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}:{error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_ours(frame.filename)]
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""


def _is_ours(filename: str) -> bool:
    return filename == __file__ or filename == importlib.__file__ or filename.startswith("<frozen importlib")


def _collect(module: ModuleType, pattern: str, entries: dict[str, Found], problems: list[Found]) -> None:
    try:
        found = list(_matches(module, pattern))
    except Unusable as error:
        problems.append({"what": pattern, "why": str(error)})
        return
    except Exception as error:
        problems.append({"what": pattern, "why": f"cannot be looked at: {_failure(error)}"})
        return
    for ref, owner, name in found:
        try:
            entries[ref] = _describe(ref, module, owner, name)
        except Unusable as error:
            problems.append({"what": ref, "why": str(error)})
        except Exception as error:
            problems.append({"what": ref, "why": f"cannot be described: {_failure(error)}"})


def _matches(module: ModuleType, pattern: str) -> Iterator[tuple[str, Any, str]]:
    """Reference, owner (module or class) and name of all that ``pattern`` allows in ``module``."""
    where, _, qualname = pattern.partition(":")
    class_name, dot, name = qualname.rpartition(".")
    owner: Any = _member(module, class_name, where) if dot else module
    if dot and not isinstance(owner, type):
        raise Unusable(f"{where}:{class_name} is not a class")
    if name != "*":
        yield pattern, owner, name
        return
    names = list(_public_methods(owner) if dot else _public_functions(module, where))
    if not names and dot:
        raise Unusable(f"{where}:{class_name} has no public method")
    if not names:
        raise Unusable(f"{where} defines no public function{_class_hint(module, where)}")
    for name in names:
        yield f"{pattern[:-1]}{name}", owner, name


def _class_hint(module: ModuleType, where: str) -> str:
    names = [name for name, value in vars(module).items() if isinstance(value, type) and _module(value) == where]
    return f"; its classes are allowed one by one, as in {where}:{names[0]}.*" if names else ""


def _public_functions(module: ModuleType, where: str) -> Iterator[str]:
    """Functions *defined* in the module; what it imported from elsewhere is not meant by ``m:*``."""
    for name, value in list(vars(module).items()):
        is_class_or_module = isinstance(value, type | ModuleType)
        if not name.startswith("_") and callable(value) and not is_class_or_module and _home(value) == where:
            yield name


def _home(value: object) -> object:
    """The module that a callable is from. An object with ``__call__`` shows its class's, which says nothing of it."""
    return _module(value) if inspect.isroutine(value) else getattr(value, "__dict__", {}).get("__module__")


def _module(value: object) -> object:
    return getattr(value, "__module__", None)


def _public_methods(cls: type) -> Iterator[str]:
    for name in dir(cls):
        value = inspect.getattr_static(cls, name)
        is_method = inspect.isfunction(value) or isinstance(value, staticmethod | classmethod)
        if not name.startswith("_") and is_method and not str(_module(value)).startswith("jobyard."):
            yield name


def _member(owner: Any, name: str, where: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:
        close = difflib.get_close_matches(name, [word for word in dir(owner) if not word.startswith("_")], n=1)
        raise Unusable(f"{where} has no {name!r}" + (f"; did you mean {close[0]!r}?" if close else "")) from None


def _describe(ref: str, module: ModuleType, owner: Any, name: str) -> Found:
    target = _member(owner, name, ref.rpartition("." if owner is not module else ":")[0])
    if isinstance(target, type):
        raise Unusable(f'it is a class: allow "{ref}.METHOD" (in an alias: methods = ["METHOD"])')
    if not callable(target):
        raise Unusable(f"it is {_article(type(target).__name__)}, which cannot be called")
    inner = inspect.unwrap(target)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise Unusable("it is a generator: calling it would run nothing of it; return a list, or loop inside the job")
    if owner is not module:
        _check_buildable(owner)
    code = getattr(inner, "__code__", None)
    return {
        "ref": ref,
        "parameters": describe_parameters(target, bound=owner is not module and _needs_self(owner, name)),
        "doc": _text((inspect.getdoc(target) or "").strip().partition("\n")[0], _DOC_CHARS),
        "file": _text(code.co_filename, _WHY_CHARS) if code else None,
        "line": code.co_firstlineno if code else None,
        "is_async": any(map(inspect.iscoroutinefunction, (inner, vars(type(inner)).get("__call__")))),
        "options": _options(target),
        "module_file": _text(module.__file__, _WHY_CHARS) if module.__file__ else None,
    }


def _article(word: str) -> str:
    return f"an {word}" if word[:1].lower() in "aeiou" else f"a {word}"


def _needs_self(cls: type, name: str) -> bool:
    return not isinstance(inspect.getattr_static(cls, name), staticmethod | classmethod)


def _check_buildable(cls: type) -> None:
    """The child builds the class without arguments."""
    try:
        parameters = inspect.signature(cls).parameters.values()
    except (TypeError, ValueError):
        return
    needed = [parameter.name for parameter in parameters if _is_required(parameter)]
    if inspect.isabstract(cls):
        raise Unusable(
            f"its class is abstract: {', '.join(sorted(getattr(cls, '__abstractmethods__', ())))} not defined"
        )
    if needed:
        raise Unusable(f"its class needs arguments to be built: {', '.join(needed)}; give them defaults")


def _is_required(parameter: inspect.Parameter) -> bool:
    variadic = parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return not variadic and parameter.default is inspect.Parameter.empty


def describe_parameters(target: Any, *, bound: bool) -> list[Found]:
    """What may be passed; a callable that does not tell takes anything."""
    try:
        parameters = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):
        return [
            {"name": "args", "kind": "args", "required": False},
            {"name": "kwargs", "kind": "kwargs", "required": False},
        ]
    if bound:
        if not parameters:
            raise Unusable("it takes no parameter for self")
        if parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL:
            del parameters[0]
    return [
        {
            "name": parameter.name,
            "kind": _KINDS[parameter.kind],
            "required": _is_required(parameter),
            "annotation": _annotation(parameter.annotation),
            "default": None if parameter.default is inspect.Parameter.empty else _repr(parameter.default),
        }
        for parameter in parameters
    ]


def _annotation(annotation: Any) -> str | None:
    if annotation is inspect.Parameter.empty:
        return None
    if isinstance(annotation, str):
        return _text(annotation, _TEXT_CHARS)
    try:
        return _text(inspect.formatannotation(annotation), _TEXT_CHARS)
    except Exception:
        return "?"


def _repr(value: object) -> str:
    """A short repr that is the same in every process."""
    try:
        text = repr(value)
    except Exception:
        text = " at 0x"
    return f"<{type(value).__name__}>" if re.search(r" at 0x", text) else _text(text, _TEXT_CHARS)


def _options(target: Any) -> Found:
    options = getattr(target, "__jobyard_options__", None) or {}
    try:
        plain: Found = json.loads(json.dumps(options))
    except (TypeError, ValueError):
        raise Unusable("the options that @task stored on it were changed to something else") from None
    return plain


def _text(text: str, limit: int) -> str:
    """Text that survives every encoding, cut to ``limit``."""
    clean = text.encode("utf-8", "backslashreplace").decode()
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."
