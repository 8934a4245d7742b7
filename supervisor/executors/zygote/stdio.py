"""What C code in a job's process prints with ``stdio``: each line at once, and the rest at the end.

Owns the C library's ``stdout``. Without this it would keep back what it prints to a pipe, and lose it, since a child
ends without the C library's farewell.
"""

from __future__ import annotations

import ctypes

_LINE_BUFFERED = 1  # _IOLBF of Linux
_libc = ctypes.CDLL(None)
_stdout = ctypes.c_void_p.in_dll(_libc, "stdout")
_fflush = _libc.fflush  # bound here: a look-up in each child would copy pages, and so would declared types


def line_buffered() -> None:
    """From here on, in this process and those that it forks. To be called before anything is printed."""
    _libc.setvbuf(_stdout, None, _LINE_BUFFERED, ctypes.c_size_t(0))


def flush() -> None:
    """Write what is kept back. Only of ``stdout``: another file may be locked by a thread that waits for ever."""
    _fflush(_stdout)
