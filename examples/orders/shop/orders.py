"""Orders and their sums, read from ``orders.csv``.

Owns the arithmetic of an order: prices are without VAT, VAT is rounded once for each rate, as an invoice shows it.
Knows nothing of jobs, paper or mail.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from pathlib import Path
from typing import NoReturn

ORDERS_CSV = Path("orders.csv")  # relative to the working directory, which is the config's
CENT = Decimal("0.01")


class BadOrders(ValueError):
    """A row of the file makes no sense; the text names file, line and column."""


@dataclass(frozen=True, slots=True)
class Address:
    name: str
    street: str
    postcode: str
    city: str
    country: str

    @property
    def lines(self) -> list[str]:
        return [self.name, self.street, f"{self.postcode} {self.city}", self.country]


@dataclass(frozen=True, slots=True)
class Line:
    """One article of an order. ``unit_price`` is in EUR without VAT."""

    sku: str
    description: str
    quantity: int
    unit_price: Decimal
    vat_percent: Decimal

    @property
    def net(self) -> Decimal:
        return self.unit_price * self.quantity


@dataclass(frozen=True, slots=True)
class Order:
    number: int
    ordered_on: date
    address: Address
    email: str
    lines: tuple[Line, ...]

    @property
    def net(self) -> Decimal:
        return sum((line.net for line in self.lines), Decimal(0))

    @property
    def vat(self) -> dict[Decimal, Decimal]:
        """VAT in EUR for each rate in percent, rates rising."""
        bases: dict[Decimal, Decimal] = {}
        for line in self.lines:
            bases[line.vat_percent] = bases.get(line.vat_percent, Decimal(0)) + line.net
        return {rate: (base * rate / 100).quantize(CENT, ROUND_HALF_UP) for rate, base in sorted(bases.items())}

    @property
    def total(self) -> Decimal:
        return self.net + sum(self.vat.values(), Decimal(0))


def money(amount: Decimal) -> str:
    """``1234.5`` as ``1,234.50``."""
    return f"{amount.quantize(CENT, ROUND_HALF_UP):,}"


def read_orders(path: Path = ORDERS_CSV) -> dict[int, Order]:
    """All orders by number, in the order of the file.

    Raises:
        BadOrders: a row that cannot be read.
        OSError: the file cannot be opened.
    """
    orders: dict[int, Order] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for fields in (reader := csv.DictReader(file)):
            row = _Row(fields, f"{path.name}:{reader.line_num}")
            number = row.whole("order")
            order = orders.get(number) or row.order(number)
            orders[number] = replace(order, lines=(*order.lines, row.line()))
    return orders


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of the file; ``where`` is its file and line."""

    fields: dict[str, str | None]
    where: str

    def order(self, number: int) -> Order:
        address = Address(*map(self.text, ("customer", "street", "postcode", "city", "country")))
        return Order(number, self.day("ordered_on"), address, self.text("email"), ())

    def line(self) -> Line:
        sku, description = self.text("sku"), self.text("description")
        return Line(sku, description, self.whole("quantity"), self.amount("unit_price_eur"), self.amount("vat_percent"))

    def text(self, column: str) -> str:
        return self.fields.get(column) or self._refuse(column, "text")

    def whole(self, column: str) -> int:
        text = self.text(column)
        return int(text) if text.isdecimal() else self._refuse(column, "a whole number")

    def amount(self, column: str) -> Decimal:
        try:
            value = Decimal(self.text(column))
        except InvalidOperation:
            self._refuse(column, "a number")
        return value if value.is_finite() and value >= 0 else self._refuse(column, "a number from 0 up")

    def day(self, column: str) -> date:
        try:
            return date.fromisoformat(self.text(column))
        except ValueError:
            self._refuse(column, "a date such as 2025-09-01")

    def _refuse(self, column: str, wanted: str) -> NoReturn:
        raise BadOrders(f"{self.where}: {column} {self.fields.get(column)!r} is not {wanted}")
