"""Following the status stream in an event loop: waits for what ``events.py`` wants to have next. Nothing here polls."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, closing
from typing import Any

from ..protocol.notices import EventsReply, Notice
from . import events
from .aio_link import AsyncLink
from .steps import Pause, drive_async
from .subscription import Subscription


class _Listener:
    """Does the steps of one who follows, over a link and one subscription after another. Keeps the link open."""

    def __init__(self, link: AsyncLink, timeout: float) -> None:
        self._link = link
        self._timeout = timeout
        self._subscription: Subscription | None = None
        link.join(self)

    async def do(self, step: events.Step) -> Any:
        match step:
            case events.Receive():
                return await self._receive(step.until)
            case events.Subscribe():
                self._drop()
                self._subscription = Subscription(self._link.place.context, self._link.place.target, step)
                return None
            case Pause():
                return await asyncio.sleep(step.seconds)
            case _:
                return await self._link.call(step, self._timeout)

    def close(self) -> None:
        self._drop()
        self._link.leave(self)

    def _drop(self) -> None:
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None

    async def _receive(self, until: float) -> list[bytes] | None:
        subscription = self._subscription
        assert subscription is not None
        await asyncio.sleep(0)  # others have their turn, also where messages come without an end
        lost = False
        while (frames := subscription.take()) is None and not lost:
            if not await self._news(subscription, until):
                return None
            lost = subscription.is_lost()
        return frames

    async def _news(self, subscription: Subscription, until: float) -> bool:
        """Wait until there may be something to read; False at ``until``. The descriptors are watched only here."""
        loop, descriptors = self._link.loop, [subscription.sub.fileno(), subscription.monitor.fileno()]
        news = asyncio.Event()
        for fd in descriptors:
            loop.add_reader(fd, news.set)
        try:
            async with asyncio.timeout(None if until == math.inf else max(0.0, until - time.monotonic())):
                await news.wait()
        except TimeoutError:
            return False
        finally:
            for fd in descriptors:
                loop.remove_reader(fd)
        return True


async def follow(link: AsyncLink, follower: events.Follower, timeout: float) -> AsyncGenerator[Notice, None]:
    """The notices, as they come; see ``stream.py``."""
    with closing(_Listener(link, timeout)) as listener:
        first: EventsReply = await link.call(follower.request(), timeout)
        steps = events.follow(follower, first, timeout, time.monotonic)
        found: AsyncGenerator[Notice, None] = drive_async(steps, listener.do)
        async with aclosing(found):
            async for notice in found:
                yield notice
