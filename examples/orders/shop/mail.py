"""The job ``SendEmail``: hands a finished invoice to a mail server.

Owns the letter. Jobs run at least once, so one may be sent twice: its Message-ID is the same each time, by which a mail
program recognises it.
"""

from __future__ import annotations

import logging
import os
import random
import smtplib
from email.headerregistry import Address
from email.message import EmailMessage
from pathlib import Path

from jobyard import GiveUp, RetryLater, current_job

from .invoice import find_order, invoice_path
from .orders import Order, money

SENDER = Address("Papier & Feder", "invoices", "papier-und-feder.example")
DEFAULT_SERVER = "127.0.0.1:8025"
SERVER_VARIABLE = "ORDERS_SMTP"
TIMEOUT_S = 10
WAIT_FOR_INVOICE_S = 0.5

log = logging.getLogger(__name__)


class MailFailure(ConnectionError):
    """The failure that this example plays."""


class SendEmail:
    def send(self, order: int, fail_rate: float = 0.0, seed: int = 0) -> str:
        """Send the invoice of this order; returns the Message-ID.

        Args:
            fail_rate: this part of the attempts (0 to 1) fails on purpose.
            seed: chooses which ones; the same seed fails the same attempts.
        """
        invoice = invoice_path(order)
        if not invoice.exists():
            raise RetryLater(WAIT_FOR_INVOICE_S, reason=f"invoice {order} is not there yet")
        letter = compose(find_order(order), invoice)
        log.info("Sending email to: %s, Subject: %s", letter["To"], letter["Subject"])
        job = current_job(None)
        attempt = job.attempt if job else 1
        if fails(order, attempt, fail_rate, seed):
            raise MailFailure(f"421 the mail server hung up (played, attempt {attempt})")
        deliver(letter, os.environ.get(SERVER_VARIABLE, DEFAULT_SERVER))
        log.info("Email sent successfully to: %s", letter["To"])
        return str(letter["Message-ID"])


def fails(order: int, attempt: int, fail_rate: float, seed: int) -> bool:
    """Whether this attempt is one of those that fail on purpose."""
    return random.Random(f"{seed}/{order}/{attempt}").random() < fail_rate


def message_id(order: int) -> str:
    return f"<invoice-{order}@{SENDER.domain}>"


def compose(order: Order, invoice: Path) -> EmailMessage:
    """The letter to the customer, the invoice attached."""
    letter = EmailMessage()
    letter["From"] = SENDER
    letter["To"] = Address(order.address.name, addr_spec=order.email)
    letter["Subject"] = f"Your invoice R-{order.number}"
    letter["Message-ID"] = message_id(order.number)
    letter.set_content(
        f"Dear {order.address.name},\n\n"
        f"your order {order.number} is on its way. The invoice over EUR {money(order.total)} is attached.\n\n"
        f"{SENDER.display_name}\n"
    )
    letter.add_attachment(invoice.read_bytes(), maintype="application", subtype="pdf", filename=invoice.name)
    return letter


def deliver(letter: EmailMessage, server: str) -> None:
    """Hand the letter to ``server``, written ``host:port``.

    Raises:
        GiveUp: the address of the server makes no sense, or it refuses this receiver for good.
        OSError: the server cannot be reached, or refuses for now; worth another attempt.
    """
    host, _, port = server.rpartition(":")
    if not host or not port.isdecimal():
        raise GiveUp(f"{SERVER_VARIABLE} is {server!r}, which is not host:port, for instance {DEFAULT_SERVER}")
    try:
        with smtplib.SMTP(host, int(port), timeout=TIMEOUT_S) as smtp:
            smtp.send_message(letter)
    except smtplib.SMTPRecipientsRefused as error:
        code, text = next(iter(error.recipients.values()))
        if code >= 500:
            raise GiveUp(f"the mail server refuses {letter['To']}: {code} {text.decode(errors='replace')}") from None
        raise
