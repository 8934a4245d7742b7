"""The standard ``logging`` of jobs, one line per record: ``LEVEL name: message``.

Owns the descriptor they go to. ``logging`` is not imported before the job does it: that
alone would halve the rate at which a zygote can fork. Nor does anything here stand in the way of a job that configures
logging itself: what it sets up replaces what is set up here.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any

from ....protocol.running import log_record

LOGGING_FD = 4


def write(level: str, name: str, message: str) -> None:
    """One record as a line."""
    data = memoryview(log_record(level, name, message).encode("utf-8", "backslashreplace"))
    try:
        while data:
            data = data[os.write(LOGGING_FD, data) :]
    except OSError:  # the job has closed it
        return


def install() -> None:
    """Configure ``logging`` now if it is imported, otherwise as soon as it is."""
    if "logging" in sys.modules:
        _configure(sys.modules["logging"])
    else:
        sys.meta_path.insert(0, _Finder())


def flush() -> None:
    """Flush what handlers hold back, if ``logging`` is in use."""
    logging = sys.modules.get("logging")
    if logging is not None:
        logging.shutdown()


class _Finder:
    """Finds ``logging`` as the others would, with a loader that tells when it is done."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> Any:
        if name != "logging":
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                spec.loader = _Loader(spec.loader, self)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    def __init__(self, loader: Any, finder: Any) -> None:
        self._loader = loader
        self._finder = finder

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        sys.meta_path.remove(self._finder)
        _configure(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


def _configure(logging: Any) -> None:
    """Give the root logger a handler that gives way to any that the job sets up."""
    root, given, configure = logging.root, logging.WARNING, logging.basicConfig

    class Handler(logging.Handler):  # type: ignore[misc]
        def emit(self, record: Any) -> None:
            if len(root.handlers) > 1:
                return
            try:
                write(record.levelname, record.name, self.format(record))
            except Exception:
                self.handleError(record)

    handler = Handler()

    def basic_config(**options: Any) -> None:
        if options and handler in root.handlers:
            root.removeHandler(handler)
            root.setLevel(given)
        configure(**options)

    if not root.handlers:
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        basic_config.__doc__ = configure.__doc__
        logging.basicConfig = basic_config
