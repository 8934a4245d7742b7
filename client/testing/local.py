"""The ground of the clients for tests: requests are answered in this process, each as soon as it is asked."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from ...protocol.errors import JobyardError
from ...protocol.messages import Request
from ..session import Completion
from ..sync import Client

if TYPE_CHECKING:
    from ..link import Link


class LocalClient(Client):
    """A client without a connection: whoever derives from it answers in ``request``."""

    @abstractmethod
    def request(self, request: Request, timeout: float | None = None) -> Any: ...

    @contextmanager
    def borrow(self) -> Iterator[Link]:
        """Several requests in flight: here, each is answered when it is started."""
        yield cast("Link", _LocalLink(self.request))


class _LocalLink:
    """Does for a ``Link``."""

    def __init__(self, answer: Callable[[Request], Any]) -> None:
        self._answer = answer
        self._done: dict[str, Any] = {}
        self._count = 0

    def start(self, request: Request, timeout: float) -> str:
        self._count += 1
        request_id = str(self._count)
        try:
            self._done[request_id] = self._answer(request)
        except JobyardError as error:
            self._done[request_id] = error
        return request_id

    def next(self) -> Completion:
        first = next(iter(self._done))
        return Completion(first, self._done.pop(first))

    def forget(self, request_id: str) -> None:
        self._done.pop(request_id, None)
