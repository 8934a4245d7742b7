"""What must be true when the demo is over, found out from files and processes, not by asking jobyard alone.

Owns reading back invoices, letters and ``/proc``. Prints nothing.
"""

from __future__ import annotations

import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from jobyard import JobInfo
from shop.mail import message_id
from shop.orders import Order, money
from shop.trouble import MIB, PIDS_GLOB, birth

HUNGRY_MEGABYTES = 80
_STREAM = re.compile(rb"stream\r?\n(.*?)endstream", re.DOTALL)
_SHOWN = re.compile(rb"\(((?:[^()\\]|\\.)*)\) Tj", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation. ``problem`` is empty if it holds."""

    what: str
    problem: str = ""


def check_invoices(directory: Path, orders: dict[int, Order]) -> Check:
    """Every order has an invoice that is a PDF file and shows the right total."""
    wrong = []
    for order in orders.values():
        path = directory / f"invoice-{order.number}.pdf"
        if not path.exists():
            wrong.append(f"{path.name} is missing")
        elif shown_total(path.read_bytes()) != f"€ {money(order.total)}":
            wrong.append(f"{path.name} does not show {money(order.total)}")
    return Check(f"{len(orders)} invoices are there, each a PDF file with the right total", _some(wrong))


def check_mails(mails: Path, invoices: Path, orders: dict[int, Order]) -> Check:
    """Every customer got the invoice, byte for byte, at least once; nobody got anything else."""
    letters = [message_from_bytes(path.read_bytes(), policy=policy.default) for path in sorted(mails.glob("*.eml"))]
    copies = Counter(str(letter["Message-ID"]) for letter in letters)
    wrong = [f"order {number} got no mail" for number in orders if message_id(number) not in copies]
    by_id = {message_id(order.number): order for order in orders.values()}
    for letter in letters:
        order = by_id.get(str(letter["Message-ID"]))
        if order is None or not _fits(letter, order, invoices):
            wrong.append(f"the mail {letter['Message-ID']} to {letter['To']} is not as it should be")
    twice = sum(count - 1 for count in copies.values())
    return Check(f"{len(orders)} customers got their invoice by mail, none lost, {twice} sent twice", _some(wrong))


def check_job(what: str, info: JobInfo, state: str, outcome: str) -> Check:
    """The job ended in this state, its last attempt with this outcome."""
    last = info.last_attempt.outcome if info.last_attempt else None
    ended = (info.state, last)
    return Check(what, "" if ended == (state, outcome) else f"job {info.id} is {ended[0]}, its last attempt {ended[1]}")


def check_all_succeeded(what: str, infos: list[JobInfo]) -> Check:
    return Check(what, _some([f"job {info.id} is {info.state}" for info in infos if info.state != "succeeded"]))


def check_report(info: JobInfo, orders: dict[int, Order]) -> Check:
    """The result came back exactly, as decimal numbers."""
    expected: dict[str, object] = {}
    for country in {order.address.country for order in orders.values()}:
        expected[country] = sum(order.total for order in orders.values() if order.address.country == country)
    return Check(
        "the sales report adds up, to the cent", "" if info.result == expected else f"it came back as {info.result}"
    )


def check_memory(info: JobInfo) -> Check:
    """The memory that a job held shows in its record."""
    peak = info.last_attempt.usage.peak_rss_bytes if info.last_attempt and info.last_attempt.usage else 0
    fits = HUNGRY_MEGABYTES <= peak / MIB <= 2 * HUNGRY_MEGABYTES
    return Check(
        f"the hungry job's {HUNGRY_MEGABYTES} MiB were measured", "" if fits else f"{peak / MIB:.1f} MiB were recorded"
    )


def check_processes(what: str, left: list[int]) -> Check:
    return Check(what, f"still there: {_some([str(pid) for pid in left])}" if left else "")


def stubborn_left(directory: Path) -> list[int]:
    """Those of the processes that stubborn jobs wrote down which are still alive."""
    noted = (
        line.split() for path in directory.glob(PIDS_GLOB) for line in path.read_text(encoding="ascii").splitlines()
    )
    return [int(pid) for pid, born in noted if birth(int(pid)) == born]


def marked_processes(variable: str, value: str) -> list[int]:
    """All live processes that were started with this environment variable, except this one."""
    wanted = os.fsencode(f"{variable}={value}")
    return [pid for pid, environment in _environments() if pid != os.getpid() and wanted in environment and birth(pid)]


def shown_total(pdf: bytes) -> str | None:
    """The text to the right of "Total" on the page; None if that cannot be read."""
    if not pdf.startswith(b"%PDF-") or not pdf.rstrip().endswith(b"%%EOF"):
        return None
    texts = [
        text.decode("windows-1252") for stream in _STREAM.findall(pdf) for text in _SHOWN.findall(_inflate(stream))
    ]
    return texts[texts.index("Total") + 1] if "Total" in texts[:-1] else None


def _inflate(stream: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(stream)
    except zlib.error:  # not every stream of a PDF file is compressed text
        return b""


def _fits(letter: EmailMessage, order: Order, invoices: Path) -> bool:
    attachments = [part.get_content() for part in letter.iter_attachments()]
    invoice = invoices / f"invoice-{order.number}.pdf"
    return order.email in str(letter["To"]) and invoice.exists() and attachments == [invoice.read_bytes()]


def _environments() -> Iterator[tuple[int, list[bytes]]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                yield int(entry.name), (entry / "environ").read_bytes().split(b"\0")
            except OSError:  # it ended meanwhile, or it is somebody else's
                continue


def _some(problems: list[str]) -> str:
    shown = ", ".join(problems[:3])
    return f"{shown} and {len(problems) - 3} more" if len(problems) > 3 else shown
