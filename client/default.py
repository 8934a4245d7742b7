"""The client that is used where none is named: by ``@task`` functions and the helper functions. One per process."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .sync import Client


@cache
def default_client() -> Client:
    """A client that finds its supervisor by ``JOBYARD_SOCKET`` or the config; it connects at its first request."""
    from .sync import Client  # job modules import what imports this

    return Client()
