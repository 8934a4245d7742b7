"""A mail server on the loopback interface that keeps every letter as a file. For this example only.

    python mail_server.py DIRECTORY [PORT]

Writes one line with its port when it is ready. A letter that arrives twice is kept twice, as ``<Message-ID>-1.eml`` and
``-2.eml``.
"""

from __future__ import annotations

import asyncio
import re
import sys
from email import message_from_bytes, policy
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

DEFAULT_PORT = 8025
LETTER_BYTES_MAX = 10 << 20


class Keeper:
    """Keeps letters in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 aiosmtpd's name
        """Called by the server with a whole letter; it is a file before the sender hears of it."""
        content = envelope.original_content or b""
        message_id = str(message_from_bytes(content, policy=policy.default)["Message-ID"] or "no-id")
        name = re.sub(r"[^A-Za-z0-9.-]", "_", message_id.strip().strip("<>").partition("@")[0])[:80]
        copy = 1
        while (path := self.directory / f"{name}-{copy}.eml").exists():
            copy += 1
        path.write_bytes(content)
        return "250 kept"


async def serve(directory: Path, port: int) -> None:
    """Serve until cancelled; port 0 takes any that is free."""
    directory.mkdir(parents=True, exist_ok=True)
    keeper = Keeper(directory)
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(keeper, hostname="localhost", data_size_limit=LETTER_BYTES_MAX), "127.0.0.1", port
    )
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


def main(arguments: list[str]) -> int:
    match arguments:
        case [directory]:
            port = DEFAULT_PORT
        case [directory, text] if text.isdecimal():
            port = int(text)
        case _:
            print("usage: python mail_server.py DIRECTORY [PORT]", file=sys.stderr)
            return 2
    try:
        asyncio.run(serve(Path(directory), port))
    except KeyboardInterrupt:
        return 130
    except (OSError, OverflowError) as error:
        print(f"error: cannot serve {directory} on port {port}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
