"""The job ``sales_report``: adds up all orders, country by country, and says how far it is."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path

from jobyard import current_job

from .orders import ORDERS_CSV, money, read_orders

REPORT = Path("sales-report.txt")


def sales_report(path: Path = ORDERS_CSV, pause_s: float = 0.0) -> dict[str, Decimal]:
    """Write ``sales-report.txt`` and return the turnover with VAT in EUR, by country.

    Args:
        pause_s: rest so long after each order, so that the progress can be watched.
    """
    job = current_job(None)
    orders = read_orders(path)
    turnover: dict[str, Decimal] = {}
    for done, order in enumerate(orders.values(), start=1):
        country = order.address.country
        turnover[country] = turnover.get(country, Decimal(0)) + order.total
        time.sleep(pause_s)
        if job:
            job.progress(done, len(orders), f"order {order.number}")
    lines = [f"{country:12} {money(amount):>12} EUR" for country, amount in sorted(turnover.items())]
    lines.append(f"{'all':12} {money(sum(turnover.values(), Decimal(0))):>12} EUR")
    REPORT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(*lines, sep="\n")
    return turnover
