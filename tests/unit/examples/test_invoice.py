from __future__ import annotations

from dataclasses import replace

import pytest
from jobyard import GiveUp


@pytest.fixture
def orders(workplace):
    from shop.orders import read_orders

    return read_orders()


def test_invoice_is_one_page_of_pdf_with_the_total_on_it(orders):
    from demo_checks import shown_total
    from shop.invoice import render
    from shop.orders import money

    for order in orders.values():
        pdf = render(order)
        assert pdf.count(b"/Type /Page\n") == 1
        assert shown_total(pdf) == f"€ {money(order.total)}"


def test_invoice_of_an_order_is_the_same_file_each_time(orders):
    from shop.invoice import render

    assert render(orders[1001]) == render(orders[1001])


def test_complete_writes_the_whole_file_and_nothing_beside_it(workplace, orders):
    from shop.invoice import CompleteInvoice, render

    path = CompleteInvoice().complete(1001)
    assert path == workplace / "invoices" / "invoice-1001.pdf"
    assert path.read_bytes() == render(orders[1001])
    assert [entry.name for entry in path.parent.iterdir()] == ["invoice-1001.pdf"]


def test_unknown_order_is_given_up_at_once(workplace):
    from shop.invoice import CompleteInvoice

    with pytest.raises(GiveUp, match=r"there is no order 9; orders.csv has 1001 to 1085"):
        CompleteInvoice().complete(9)


def test_name_that_the_font_cannot_show_is_given_up_and_said(orders):
    from shop.invoice import render

    order = orders[1001]
    with pytest.raises(GiveUp, match="order 1001: the invoice's font has no character 'Ł'"):
        render(replace(order, address=replace(order.address, name="Łucja")))


def test_total_is_read_from_the_page_and_not_taken_on_trust(orders):
    from demo_checks import shown_total
    from shop.invoice import render

    pdf = render(orders[1001])
    assert shown_total(pdf[:-200]) is None
    assert shown_total(b"not a pdf") is None
    assert shown_total(b"%PDF-1.3\nstream\nrubbish\nendstream\n%%EOF") is None
