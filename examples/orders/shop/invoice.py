"""The job ``CompleteInvoice``: one order becomes one page of PDF.

Owns the look of the page. Does not know how the invoice reaches the customer, nor what an order costs.
"""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime, time
from decimal import Decimal
from pathlib import Path

from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.errors import FPDFUnicodeEncodingException
from jobyard import GiveUp

from .orders import Order, money, read_orders

INVOICES = Path("invoices")
SELLER = ["Papier & Feder Ltd.", "Hafenstraße 4, 28195 Bremen, Germany", "VAT no. DE000000000"]
COLUMNS = ((22.0, "Article"), (82.0, "Description"), (14.0, "Qty"), (22.0, "Price"), (14.0, "VAT"), (26.0, "Net"))
SMALL, NORMAL, LARGE = 8, 10, 20
GREY = (110, 110, 110)

log = logging.getLogger(__name__)


class CompleteInvoice:
    """Renders invoices. Running it again for the same order replaces the file by an equal one."""

    def complete(self, order: int) -> Path:
        """Write ``invoices/invoice-<order>.pdf`` and return its path."""
        log.info("starting invoice completion")
        path = invoice_path(order)
        path.parent.mkdir(exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.part")
        unfinished.write_bytes(render(find_order(order)))
        # A reader sees the whole invoice or none, also if this process is killed here.
        os.replace(unfinished, path)
        log.info("invoice completed: %s", order)
        return path.resolve()


def invoice_path(number: int) -> Path:
    return INVOICES / f"invoice-{number}.pdf"


def find_order(number: int) -> Order:
    """The order of that number; if there is none, trying again would not help."""
    orders = read_orders()
    if number not in orders:
        raise GiveUp(f"there is no order {number}; orders.csv has {min(orders)} to {max(orders)}")
    return orders[number]


def render(order: Order) -> bytes:
    """The PDF file of this order.

    Raises:
        GiveUp: a text of the order has a character that the built-in fonts of PDF do not have.
    """
    page = _Page(order)
    try:
        for part in (page.heading, page.addresses, page.table, page.sums, page.footer):
            part()
    except FPDFUnicodeEncodingException as error:
        raise GiveUp(f"order {order.number}: the invoice's font has no character {error.character!r}") from None
    return bytes(page.pdf.output())


class _Page:
    """One A4 page with 15 mm of margin."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.pdf = FPDF(format="A4")
        # What the built-in fonts can show: Latin-1 and the signs of Windows-1252, the euro among them.
        self.pdf.core_fonts_encoding = "windows-1252"
        self.pdf.set_margin(15)
        self.pdf.set_title(f"Invoice {order.number}")
        self.pdf.set_author(SELLER[0])
        # Not the time of this run: the file of an order is the same each time.
        self.pdf.set_creation_date(datetime.combine(order.ordered_on, time(), UTC))
        self.pdf.set_auto_page_break(False)
        self.pdf.add_page()

    def heading(self) -> None:
        self._font(LARGE, bold=True)
        self._line(SELLER[0], 10)
        self._font(SMALL, colour=GREY)
        for text in SELLER[1:]:
            self._line(text, 4)
        self.pdf.ln(3)
        self._rule()

    def addresses(self) -> None:
        top = self.pdf.get_y() + 8
        self._font(NORMAL)
        self.pdf.set_y(top)
        for text in self.order.address.lines:
            self._line(text, 5)
        facts = (("Invoice", f"R-{self.order.number}"), ("Order", f"{self.order.number}"))
        dates = (("Ordered on", f"{self.order.ordered_on:%d %B %Y}"), ("Payable within", "14 days"))
        for row, (name, value) in enumerate((*facts, *dates)):
            self.pdf.set_xy(125, top + 5 * row)
            self._font(NORMAL, colour=GREY)
            self.pdf.cell(32, 5, name)
            self._font(NORMAL)
            self.pdf.cell(38, 5, value, align="R")
        self.pdf.set_y(top + 32)

    def table(self) -> None:
        self._font(SMALL, colour=GREY)
        self._row(tuple(title for _, title in COLUMNS))
        self._rule()
        self.pdf.ln(1)
        self._font(9)
        for line in self.order.lines:
            amounts = (str(line.quantity), money(line.unit_price), f"{line.vat_percent}%", money(line.net))
            self._row((line.sku, line.description, *amounts))
        self.pdf.ln(1)
        self._rule()

    def sums(self) -> None:
        self._font(NORMAL)
        self.pdf.ln(2)
        self._sum("Net", self.order.net)
        for rate, amount in self.order.vat.items():
            self._sum(f"VAT {rate}%", amount)
        self._font(12, bold=True)
        self._sum("Total", self.order.total)

    def footer(self) -> None:
        self.pdf.set_y(-28)
        self._rule()
        self.pdf.ln(2)
        self._font(SMALL, colour=GREY)
        self._line(
            f"Please quote R-{self.order.number} with your payment. Goods remain ours until they are paid for.", 4
        )
        self._line("An invented invoice: nobody owes anybody anything.", 4)

    def _sum(self, name: str, amount: Decimal) -> None:
        self.pdf.set_x(110)
        self.pdf.cell(45, 7, name)
        self.pdf.cell(40, 7, f"€ {money(amount)}", align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def _row(self, texts: tuple[str, ...]) -> None:
        for column, ((width, _), text) in enumerate(zip(COLUMNS, texts, strict=True)):
            self.pdf.cell(width, 7, text, align="L" if column < 2 else "R")
        self.pdf.ln()

    def _line(self, text: str, height: float) -> None:
        self.pdf.cell(0, height, text, new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def _rule(self) -> None:
        self.pdf.set_draw_color(*GREY)
        self.pdf.line(15, self.pdf.get_y(), 195, self.pdf.get_y())

    def _font(self, size: int, *, bold: bool = False, colour: tuple[int, int, int] = (0, 0, 0)) -> None:
        self.pdf.set_font("Helvetica", "B" if bold else "", size)
        self.pdf.set_text_color(*colour)
