from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

GOOD = "7,2025-09-01,Änne,a@example.org,Weg 1,10435,Berlin,Germany,NB,Notebook,3,11.45,19"


def read(path: Path, *rows: str):
    from make_orders import COLUMNS
    from shop.orders import read_orders

    (path / "orders.csv").write_text("\n".join([",".join(COLUMNS), *rows]) + "\n", encoding="utf-8")
    return read_orders(path / "orders.csv")


def test_rows_of_one_order_become_one_order(tmp_path):
    orders = read(tmp_path, GOOD, GOOD.replace("NB,Notebook,3,11.45,19", "BK,Book,1,20.00,7"))
    assert list(orders) == [7]
    order = orders[7]
    assert order.ordered_on == date(2025, 9, 1)
    assert order.address.lines == ["Änne", "Weg 1", "10435 Berlin", "Germany"]
    assert [line.sku for line in order.lines] == ["NB", "BK"]


def test_vat_is_rounded_once_for_each_rate(tmp_path):
    # Two lines of 0.05 at 10% are 0.10, of which the VAT is 0.01; rounded line by line it would be 0.01 + 0.01.
    cheap = GOOD.replace("3,11.45,19", "1,0.05,10")
    order = read(tmp_path, cheap, cheap, GOOD)[7]
    assert order.net == Decimal("34.45")
    assert order.vat == {Decimal(10): Decimal("0.01"), Decimal(19): Decimal("6.53")}
    assert order.total == Decimal("40.99")


@pytest.mark.parametrize(
    "good, bad, said",
    [
        (",3,", ",three,", "orders.csv:3: quantity 'three' is not a whole number"),
        (",3,", ",-3,", "orders.csv:3: quantity '-3' is not a whole number"),
        ("11.45", "cheap", "orders.csv:3: unit_price_eur 'cheap' is not a number"),
        ("11.45", "NaN", "orders.csv:3: unit_price_eur 'NaN' is not a number from 0 up"),
        (",19", "", "orders.csv:3: vat_percent None is not text"),
        ("2025-09-01", "yesterday", "orders.csv:3: ordered_on 'yesterday' is not a date such as 2025-09-01"),
        ("Änne", "", "orders.csv:3: customer '' is not text"),
    ],
)
def test_bad_row_is_named_by_line_and_column(tmp_path, good, bad, said):
    from shop.orders import BadOrders

    with pytest.raises(BadOrders) as caught:
        read(tmp_path, GOOD.replace("7,2", "6,2"), GOOD.replace(good, bad))
    assert str(caught.value) == said


def test_money_has_two_places_and_commas():
    from shop.orders import money

    assert [money(Decimal(text)) for text in ("0", "1234.5", "0.005")] == ["0.00", "1,234.50", "0.01"]


def test_shipped_orders_are_what_the_generator_makes(orders_directory, tmp_path):
    from make_orders import write

    rows = write(tmp_path / "orders.csv")
    assert rows == 298
    assert (tmp_path / "orders.csv").read_bytes() == (orders_directory / "orders.csv").read_bytes()


def test_shipped_orders_are_worth_showing(workplace):
    from shop.orders import read_orders

    orders = read_orders()
    assert len(orders) == 85
    assert max(len(order.lines) for order in orders.values()) > 1
    assert len({order.address.country for order in orders.values()}) > 5
    assert any(len(order.vat) == 2 for order in orders.values())
    assert all(
        order.email.endswith((".example", "example.org", "example.net", "example.com")) for order in orders.values()
    )
