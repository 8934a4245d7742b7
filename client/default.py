"""The client that is used where none is named: by ``@task`` functions and the helper functions. One per process."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from .sync import Client

_chosen: list[Client] = []  # the last one counts


def default_client() -> Client:
    """The client that was set, or one that finds its supervisor by ``JOBYARD_SOCKET`` or the config."""
    return _chosen[-1] if _chosen else own_client()


@cache
def own_client() -> Client:
    """Connects at its first request."""
    from .sync import Client  # job modules import what imports this

    return Client()


def set_default_client(client: Client) -> AbstractContextManager[object]:
    """Use ``client`` from now on where none is named, such as in tests.

    Returns:
        Something to be used with ``with``, or not at all: at the end of the block what was set here is no longer used.
    """
    from contextlib import ExitStack

    _chosen.append(client)
    restore = ExitStack()
    restore.callback(_remove, client)
    return restore


def _remove(client: Client) -> None:
    for index in reversed(range(len(_chosen))):
        if _chosen[index] is client:
            del _chosen[index]
            return
