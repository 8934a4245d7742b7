"""The demo must notice when something is not as expected: each check is shown a world in which it has to say so."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from decimal import Decimal

import pytest
from jobyard import JobInfo
from jobyard.protocol.codec import pack_value
from jobyard.protocol.job import AttemptInfo, ErrorInfo, Policy, Usage
from rich.console import Console

MIB = 1 << 20


def attempt(number=1, outcome="ok", *, lasted_s=2.0, peak=0, **facts) -> AttemptInfo:
    usage = Usage(cpu_user_s=0.25, cpu_system_s=0.25, peak_rss_bytes=peak)
    return AttemptInfo(number, 1000.0, 1000.0 + lasted_s, outcome, usage=usage, **facts)


def job(state="succeeded", *attempts, job_id=1, **facts) -> JobInfo:
    names = {"uid": "u", "ref": "m:f", "name": "f", "queue": "q", "pool": "p"}
    times = {"created_at": 0.0, "run_at": 0.0}
    policy = Policy(timeout_s=3.0)
    fixed = {**names, **times, "priority": 0, "policy": policy, "payload": b""}
    return JobInfo(id=job_id, state=state, attempts=list(attempts), **fixed, **facts)


@pytest.fixture
def orders(workplace):
    """Two orders, with their invoices and mails as they should be."""
    from shop.invoice import CompleteInvoice
    from shop.mail import compose
    from shop.orders import read_orders

    few = {number: order for number, order in read_orders().items() if number < 1003}
    (workplace / "mails").mkdir()
    for number, order in few.items():
        letter = compose(order, CompleteInvoice().complete(number))
        (workplace / "mails" / f"invoice-{number}-1.eml").write_bytes(letter.as_bytes())
    return few


def test_complete_invoices_and_mails_pass(workplace, orders):
    from demo_checks import check_invoices, check_mails

    assert check_invoices(workplace / "invoices", orders).problem == ""
    assert check_mails(workplace / "mails", workplace / "invoices", orders).problem == ""


def test_missing_and_wrong_invoices_are_noticed(workplace, orders):
    from demo_checks import check_invoices
    from shop.invoice import render

    (workplace / "invoices" / "invoice-1001.pdf").unlink()
    (workplace / "invoices" / "invoice-1002.pdf").write_bytes(render(replace(orders[1002], lines=orders[1001].lines)))
    assert check_invoices(workplace / "invoices", orders).problem == (
        "invoice-1001.pdf is missing, invoice-1002.pdf does not show 43.56"
    )


def test_missing_mail_is_noticed_and_double_one_is_counted(workplace, orders):
    from demo_checks import check_mails

    mails = workplace / "mails"
    (mails / "invoice-1001-2.eml").write_bytes((mails / "invoice-1001-1.eml").read_bytes())
    (mails / "invoice-1002-1.eml").unlink()
    check = check_mails(mails, workplace / "invoices", orders)
    assert check.problem == "order 1002 got no mail"
    assert check.what.endswith("1 sent twice")


def test_mail_with_another_attachment_is_noticed(workplace, orders):
    from demo_checks import check_mails

    (workplace / "invoices" / "invoice-1001.pdf").write_bytes(b"%PDF-other")
    assert "invoice-1001@" in check_mails(workplace / "mails", workplace / "invoices", orders).problem


def test_jobs_that_ended_otherwise_are_noticed():
    from demo_checks import check_all_succeeded, check_job

    ended = job("failed", attempt(outcome="error"), job_id=7)
    assert check_job("", ended, "failed", "error").problem == ""
    assert check_job("", ended, "failed", "timeout").problem == "job 7 is failed, its last attempt error"
    assert check_job("", job("queued"), "succeeded", "ok").problem == "job 1 is queued, its last attempt None"
    assert check_all_succeeded("", [job(), ended]).problem == "job 7 is failed"


def test_report_must_come_back_to_the_cent(orders):
    from demo_checks import check_report

    exact = {"Germany": orders[1001].total, "Belgium": orders[1002].total}
    assert check_report(job(result_payload=pack_value(exact)), orders).problem == ""
    wrong = {**exact, "Germany": exact["Germany"] + Decimal("0.01")}
    assert check_report(job(result_payload=pack_value(wrong)), orders).problem != ""
    assert check_report(job(), orders).problem == "it came back as None"


@pytest.mark.parametrize("peak, fits", [(79 * MIB, False), (81 * MIB, True), (161 * MIB, False), (0, False)])
def test_memory_that_is_far_off_is_noticed(peak, fits):
    from demo_checks import check_memory

    assert (check_memory(job("succeeded", attempt(peak=peak))).problem == "") is fits


@pytest.mark.parametrize(
    "info, said",
    [
        (job("succeeded", attempt()), "ok"),
        (job("succeeded", attempt(1, "lost"), attempt(2, "error"), attempt(3)), "ok (before: 1 lost, 1 error)"),
        (job("failed", attempt(outcome="timeout")), "timeout after 3 s"),
        (job("cancelled", attempt(outcome="cancelled"), reason="enough"), "cancelled: enough"),
        (job("cancelled"), "cancelled"),
        (job("failed", attempt(outcome="signalled", signal="SIGSEGV")), "SIGSEGV"),
        (job("failed", attempt(outcome="error", error=ErrorInfo("ValueError", "no"))), "ValueError: no"),
        (job("queued"), "never started"),
    ],
)
def test_fate_says_how_a_job_ended_and_what_it_took(info, said):
    from demo_view import fate

    assert fate(info) == said


def test_last_page_shows_table_places_and_every_expectation(tmp_path):
    from demo_checks import Check
    from demo_view import show_end

    infos = [
        job("succeeded", attempt(peak=3 * MIB), job_id=1),
        job("succeeded", attempt(1, "error"), attempt(2, peak=5 * MIB), job_id=2),
        job("failed", attempt(outcome="timeout"), job_id=3),
    ]
    console = Console(file=io.StringIO(), width=150, soft_wrap=True)
    checks = [Check("this holds"), Check("this does [not]", "3 missing")]
    show_end(console, tmp_path, infos, {1: "Mail", 2: "Mail", 3: "Slow"}, checks, every_job=False)
    page = console.file.getvalue()
    for part in (
        "Mail x 2",
        "2 succeeded",
        "3.0..5.0",
        "timeout after 3 s",
        "3 jobs: 2 succeeded, 1 failed; 4 attempts",
    ):
        assert part in page
    for part in (str(tmp_path / "jobs.csv"), ".jobyard/output", "ok  this holds", "NOT this does [not]: 3 missing"):
        assert part in page
    with (tmp_path / "jobs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["job"], row["state"], row["wall s"]) for row in rows] == [
        ("Mail", "succeeded", "2.00"),
        ("Mail", "succeeded", "4.00"),
        ("Slow", "failed", "2.00"),
    ]
