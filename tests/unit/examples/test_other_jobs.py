from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest


def test_report_adds_up_all_orders_by_country(workplace):
    from shop.orders import read_orders
    from shop.report import sales_report

    turnover = sales_report()
    assert sum(turnover.values()) == sum(order.total for order in read_orders().values())
    assert (workplace / "sales-report.txt").read_text(encoding="utf-8").splitlines()[-1].endswith("25,325.63 EUR")


def test_hungry_holds_what_it_was_told_to():
    from shop.trouble import hungry

    assert hungry(3) == 3 << 20


def test_birth_names_a_live_process_and_no_dead_one():
    from shop.trouble import birth

    child = os.fork()
    if child == 0:
        signal.pause()
    born = birth(child)
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert born is not None and born.isdecimal()
    assert birth(child) is None  # a zombie
    os.waitpid(child, 0)
    assert birth(child) is None
    assert birth(os.getpid()) != born


@pytest.fixture
def stubborn(tmp_path, orders_directory):
    """A process that runs the stubborn job and has its daemons; all of it is killed at the end."""
    from demo_checks import stubborn_left

    command = [sys.executable, "-u", "-c", "from shop.trouble import stubborn; stubborn()"]
    environment = {**os.environ, "PYTHONPATH": str(orders_directory)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("here to stay")
        yield process
        for pid in stubborn_left(tmp_path):
            os.kill(pid, signal.SIGKILL)


def test_stubborn_starts_daemons_in_sessions_of_their_own_and_ignores_sigterm(tmp_path, stubborn):
    from demo_checks import stubborn_left

    pids = stubborn_left(tmp_path)
    assert len(pids) == 3 and pids[0] == stubborn.pid
    assert len({os.getsid(pid) for pid in pids}) == 3
    stubborn.terminate()
    stubborn.kill()
    assert stubborn.wait(10) == -signal.SIGKILL
    assert stubborn_left(tmp_path) == pids[1:]


def test_processes_are_found_by_the_variable_they_were_started_with(tmp_path):
    from demo_checks import marked_processes

    assert marked_processes("ORDERS_DEMO", str(tmp_path)) == []
    wait = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(wait, stdin=-1, stdout=-1, env={"ORDERS_DEMO": str(tmp_path)}) as process:
        assert process.stdout is not None
        process.stdout.readline()  # an exec hides the environment for a moment
        assert marked_processes("ORDERS_DEMO", str(tmp_path)) == [process.pid]
        process.communicate(b"\n")
    assert marked_processes("ORDERS_DEMO", str(tmp_path)) == []
