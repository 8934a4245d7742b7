"""An order of the core as the messages that carry it: what the attempt's keeper must know, and what the child must."""

from __future__ import annotations

from ...protocol import logfile
from ..core.effects import Order
from .zygote import channel
from .zygote.channel import Socket


def start_message(kid: int, order: Order) -> channel.Start:
    return channel.Start(
        kid=kid,
        job_id=order.job_id,
        attempt=order.attempt,
        output_name=logfile.name(order.job_id, order.attempt),
        timeout_s=order.timeout_s,
        soft_timeout_s=order.soft_timeout_s,
        stall_timeout_s=order.stall_timeout_s,
        grace_s=order.grace_s,
    )


def send_go(sock: Socket, order: Order, output: str | None) -> None:
    """Let the child at the other end run; one that is gone is left to its exit.

    Raises:
        OSError: there is no descriptor or memory left to hand the arguments over.
        TooLarge: the arguments are longer than a message may be.
    """
    go = channel.Go(
        job_id=order.job_id,
        attempt=order.attempt,
        uid=order.uid,
        ref=order.ref,
        payload=order.payload,
        max_attempts=order.max_attempts,
        tried=order.tried,
        timeout_s=order.timeout_s,
        tags=order.tags,
        queue=order.queue,
        output=output,
        parents=list(order.parents.items()),
    )
    data, fds = channel.packet(channel.encode(go))
    try:
        channel.send(sock, data, fds)
    except (BrokenPipeError, ConnectionError):
        pass
    finally:
        channel.close_all(fds)
