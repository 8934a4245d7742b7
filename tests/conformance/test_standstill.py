"""One side stands still for a while: nobody is stopped early for it, and nobody's deadline is forgotten."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from jobyard.supervisor.executors.zygote import executor
from yard import MakeYard, Yard

zygote_only = pytest.mark.parametrize("kind", ["zygote"], indirect=True)
ANSWER_S, AGAIN_S = 0.4, 0.3


@pytest.fixture
def impatient(make_yard: MakeYard, monkeypatch: pytest.MonkeyPatch) -> Yard:
    """A zygote with four children that wait, and a supervisor that expects answers soon."""
    yard = make_yard()
    yard.executor.prepare(4)
    yard.wait(lambda: len(yard.ready) == 4, "four children")
    monkeypatch.setattr(executor, "ANSWER_S", ANSWER_S)
    monkeypatch.setattr(executor, "ANSWER_AGAIN_S", AGAIN_S)
    return yard


def stand_still(seconds: float) -> None:
    """The supervisor, which is this process."""
    time.sleep(seconds)


@zygote_only
def test_timeout_that_a_stopped_zygote_cannot_keep_is_kept_by_the_supervisor(impatient: Yard) -> None:
    yard = impatient
    attempt = yard.begin("sleep", 60, options={"timeout_s": 0.3, "grace_s": 0.0})
    assert yard.up is not None
    os.kill(yard.up.pid, signal.SIGSTOP)
    yard.wait(lambda: yard.gone, "the end of the zygote")
    assert yard.gone is not None and yard.gone.fenced and "did not answer" in yard.gone.why
    assert not Path(f"/proc/{attempt.child.pid}").exists()


@zygote_only
def test_supervisor_that_stood_still_blames_nobody(impatient: Yard) -> None:
    yard = impatient
    late = yard.begin("sleep", 60, options={"timeout_s": 0.2, "grace_s": 0.0})
    others = [yard.begin("sleep", 0.1, options={"timeout_s": 60.0}) for _ in range(3)]
    stand_still(0.2 + 3 * (ANSWER_S + AGAIN_S))
    for attempt in (late, *others):
        yard.finish(attempt)
    assert yard.gone is None
    assert late.exit is not None and late.exit.killed == "timeout"
    assert [attempt.value for attempt in others] == ["slept"] * 3


@zygote_only
def test_deadline_is_kept_by_the_zygote_while_the_supervisor_stands_still(impatient: Yard) -> None:
    yard = impatient
    began_at = time.time()
    attempt = yard.begin("sleep", 60, options={"timeout_s": 0.3, "grace_s": 0.0})
    stand_still(1.5)
    exit = yard.finish(attempt).exit
    assert exit is not None and 0.3 <= exit.at - began_at < 1.4


@zygote_only
def test_kill_that_comes_after_the_end_is_not_waited_for(impatient: Yard) -> None:
    """As it does when a job ends while its cancel, and then its end, wait for the disk."""
    yard = impatient
    yard.acknowledging = False
    over = yard.run("nothing")
    yard.kill(over, "cancel", 0.0)
    other = yard.run("sleep", 3 * (ANSWER_S + AGAIN_S))
    assert yard.gone is None and other.value == "slept"


@zygote_only
def test_zygote_that_stood_still_ends_nobody_before_their_time(make_yard: MakeYard) -> None:
    yard = make_yard()
    attempts = [yard.begin("sleep", 1.5, options={"timeout_s": 30.0, "stall_timeout_s": 20.0}) for _ in range(5)]
    assert yard.up is not None
    os.kill(yard.up.pid, signal.SIGSTOP)
    time.sleep(1.0)
    os.kill(yard.up.pid, signal.SIGCONT)
    assert [yard.finish(attempt).value for attempt in attempts] == ["slept"] * 5


SLOW_FORK = """
import os, time
real = os.fork
def fork():
    time.sleep(0.05)
    return real()
os.fork = fork
"""


@zygote_only
def test_deadlines_do_not_wait_for_a_row_of_slow_forks(make_yard: MakeYard, tmp_path: Path) -> None:
    (tmp_path / "slow_fork.py").write_text(SLOW_FORK)
    jobs = str(Path(__file__).parent)
    yard = make_yard(path=[jobs, str(tmp_path)], preload=["slow_fork", "conformance_jobs"])
    yard.run("nothing")
    began_at = time.time()
    attempt = yard.begin("sleep", 60, options={"timeout_s": 0.3, "grace_s": 0.0})
    yard.executor.prepare(40)
    exit = yard.finish(attempt).exit
    made = len(yard.ready)
    assert exit is not None and exit.killed == "timeout" and exit.at - began_at < 1.5
    assert made < 40, "the others were still to be made"
