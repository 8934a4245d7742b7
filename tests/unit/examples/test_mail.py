from __future__ import annotations

import subprocess
import sys
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from jobyard import GiveUp, RetryLater


@pytest.fixture
def invoice(workplace):
    from shop.invoice import CompleteInvoice

    return CompleteInvoice().complete(1003)


@pytest.fixture
def server(workplace, orders_directory, monkeypatch):
    """A running mail server; gives the directory in which it keeps letters."""
    command = [sys.executable, str(orders_directory / "mail_server.py"), "mails", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        monkeypatch.setenv("ORDERS_SMTP", f"127.0.0.1:{int(process.stdout.readline())}")
        yield workplace / "mails"
        process.terminate()


def letters(directory: Path):
    return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in sorted(directory.glob("*.eml"))]


def test_letter_arrives_with_the_invoice_attached(invoice, server):
    from shop.mail import SendEmail

    assert SendEmail().send(1003) == "<invoice-1003@papier-und-feder.example>"
    (letter,) = letters(server)
    assert "compta@brule.example" in letter["To"] and "Éditions Brûlé & Cie" in letter["To"]
    assert [part.get_content() for part in letter.iter_attachments()] == [invoice.read_bytes()]


def test_letter_sent_twice_is_kept_twice_under_one_message_id(invoice, server):
    from shop.mail import SendEmail

    SendEmail().send(1003)
    SendEmail().send(1003)
    assert sorted(path.name for path in server.iterdir()) == ["invoice-1003-1.eml", "invoice-1003-2.eml"]
    assert len({letter["Message-ID"] for letter in letters(server)}) == 1


def test_mail_waits_for_its_invoice_without_spending_an_attempt(workplace):
    from shop.mail import SendEmail

    with pytest.raises(RetryLater) as caught:
        SendEmail().send(1003)
    assert caught.value.count is False


def test_played_failure_is_the_same_for_the_same_seed():
    from shop.mail import fails

    played = [[fails(order, 1, 0.2, seed) for order in range(200)] for seed in (7, 7, 8)]
    assert played[0] == played[1] != played[2]
    assert 20 < sum(played[0]) < 60
    assert not any(fails(order, 1, 0.0, 7) for order in range(200))


def test_failing_mail_raises_before_it_is_sent(invoice, server):
    from shop.mail import MailFailure, SendEmail

    with pytest.raises(MailFailure, match=r"attempt 1\)"):
        SendEmail().send(1003, fail_rate=1.0)
    assert letters(server) == []


@pytest.mark.parametrize("address", ["nowhere", ":25", "host:", "host:smtp"])
def test_address_that_is_none_is_given_up(invoice, monkeypatch, address):
    from shop.mail import SendEmail

    monkeypatch.setenv("ORDERS_SMTP", address)
    with pytest.raises(GiveUp, match="ORDERS_SMTP is"):
        SendEmail().send(1003)


def test_demo_plays_failures_that_the_retries_get_over():
    from demo_story import FAIL_RATE, SEED
    from shop.mail import fails

    # The numbers of attempts can run ahead of the tries: a lost attempt and a wait for the invoice have numbers too.
    for order in range(1001, 1086):
        played = [fails(order, attempt, FAIL_RATE, SEED) for attempt in range(1, 10)]
        assert not any(all(played[start : start + 4]) for start in range(6))


@pytest.mark.parametrize("arguments", [[], ["mails", "x"], ["mails", "1", "2"]])
def test_mail_server_with_wrong_arguments_says_its_usage(capsys, arguments):
    from mail_server import main

    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("usage: ")


def test_mail_server_that_cannot_listen_says_why(tmp_path, capsys):
    from mail_server import main

    assert main([str(tmp_path), "70000"]) == 1
    assert "cannot serve" in capsys.readouterr().err
