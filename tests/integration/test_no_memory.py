"""Memory that runs out at any allocation, and processes that crash: T20. What was acknowledged is in the journal."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import tiers
from jobyard import JobyardError
from live import Yard, wait_for
from soak_watch import module_of
from told import CONFIG, JOBS, Load, Told

TIMES = tiers.size(3, 1_000, 10_000)  # under load, and as often during a start
FIRST_MAX = 20_000  # allocations after which they fail, at most
FAILURES = (1, 20, 1_000, 50_000)  # so many. For ever is more than CPython can bear: it needs some to unwind
AT_START_MAX = 150_000  # the same of a start, counted from when the journal is read
LARGE = 20  # arguments of 0.9 MiB, where there is room for four
HUNG_S = 20.0
PASSED = 50  # acknowledgements after which all that was to fail has failed
HELD = "[queues.held]\npaused = true\n"
NO_MEMORY = Path(__file__).parent / "no_memory"
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("_testcapi") is None, reason="this Python was built without _testcapi"
)


class Ground:
    """A yard under load whose supervisor may die at any time, and is started again by ``again``."""

    def __init__(self, yard: Yard) -> None:
        self.yard = yard
        self.pipe = yard.path("no-memory")
        os.mkfifo(self.pipe)
        self.start()
        self.load = Load(yard)

    def environ(self, **more: str) -> dict[str, str]:
        path = os.pathsep.join([str(NO_MEMORY), os.environ.get("PYTHONPATH", "")])
        return {**os.environ, "PYTHONPATH": path, "NO_MEMORY": str(self.pipe), **more}

    def start(self) -> None:
        said = self.yard.start(env=self.environ())
        assert "pid" in said, said

    def starts_with(self, first: int, last: int) -> bool:
        """Start it without these allocations; whether it got ready."""
        try:
            said = self.yard.start(env=self.environ(NO_MEMORY_AT_START=f"{first} {last}"))
        except AssertionError:  # it has said nothing
            return False
        assert "damaged" not in str(said), "want of memory was taken for damage"
        return "pid" in said

    def take_memory(self, first: int, last: int) -> None:
        with self.pipe.open("w") as pipe:
            pipe.write(f"{first} {last}\n")

    def ended(self) -> bool:
        return self.yard.process is not None and self.yard.process.poll() is not None

    def dies_or_works(self) -> bool:
        """Whether the supervisor has died, or else has stored a job that was submitted now: it must not hang."""
        acked = len(self.load.acked)
        wait_for(
            "the supervisor to die or to go on", lambda: self.ended() or len(self.load.acked) > acked + PASSED, HUNG_S
        )
        return self.ended()

    def again(self) -> None:
        """After its end: everything is in the journal, and the next one finds it."""
        self.yard.kill()
        lost = Told(self.load).lost(self.yard.path(".jobyard"))
        assert lost == []
        self.start()

    def end(self) -> None:
        self.load.end()
        self.yard.close()


@pytest.fixture
def ground(make_yard: Callable[..., Yard]) -> Ground:
    return Ground(make_yard(CONFIG + HELD, JOBS, start=False))


@pytest.mark.tier("T20")
@pytest.mark.timeout(tiers.size(120, 7_000, 80_000))
def test_memory_that_runs_out_under_load_loses_nothing_and_hangs_nothing(ground: Ground) -> None:
    died = 0
    try:
        for seed in range(TIMES):
            chance = random.Random(seed)
            first = chance.randrange(FIRST_MAX)
            ground.take_memory(first, first + chance.choice(FAILURES))
            died += ground.dies_or_works()
            ground.again()
    finally:
        ground.end()
    tiers.report("T20", "no memory, under load", times=TIMES, crashes=died, lost=0, hung=0)


@pytest.mark.tier("T20")
@pytest.mark.timeout(tiers.size(120, 7_000, 80_000))
def test_memory_that_runs_out_during_a_start_loses_nothing(ground: Ground) -> None:
    failed = 0
    try:
        for seed in range(TIMES):
            chance = random.Random(seed)
            time.sleep(chance.uniform(0.0, 0.2))
            ground.yard.kill()
            first = chance.randrange(AT_START_MAX)
            failed += not ground.starts_with(first, first + chance.choice(FAILURES))
            ground.again()
    finally:
        ground.end()
    tiers.report("T20", "no memory, during a start", times=TIMES, failed_starts=failed, lost=0)


@pytest.mark.tier("T20")
def test_address_space_that_is_used_up_under_load_loses_nothing(ground: Ground) -> None:
    """As ``ulimit -v``, or a machine without room: large arguments come, and there is no memory to take them."""
    try:
        for _ in range(tiers.size(1, 20, 200)):
            process = psutil.Process(ground.yard.pid)
            limit = process.memory_info().vms + (4 << 20)
            allowed = resource.prlimit(process.pid, resource.RLIMIT_AS)
            resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, allowed[1]))
            client = ground.yard.client(timeout=1.0)
            for _ in range(LARGE):
                if not ground.ended():
                    with contextlib.suppress(JobyardError):
                        client.options(queue="held").submit("jobs:work", b"x" * (900 << 10), 0)
            if not ground.ended():
                resource.prlimit(process.pid, resource.RLIMIT_AS, allowed)
            ground.dies_or_works()
            ground.again()
    finally:
        ground.end()
    tiers.report("T20", "no address space", times=tiers.size(1, 20, 200), lost=0, hung=0)


MODULES = {
    "the supervisor": "jobyard.supervisor",
    "a zygote": "jobyard.supervisor.executors.zygote.zygote",
    "the archivist": "jobyard.supervisor.archivist",
    "the history process": "jobyard.supervisor.history.server",
}


@pytest.mark.tier("T20")
@pytest.mark.timeout(tiers.size(120, 3_600, 36_000))
@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV], ids=["SIGABRT", "SIGSEGV"])
def test_crash_of_any_process_loses_nothing(ground: Ground, number: signal.Signals) -> None:
    """Zygotes, log writers and children are processes of one module: each of them has its turn."""
    chance, times = random.Random(1), tiers.size(1, 50, 500)
    try:
        for _ in range(times):
            for module in MODULES.values():

                def hit(module: str = module) -> bool:
                    # Has the history process come up, for nobody in memory has this text.
                    ground.yard.client().list(limit=1, search="no such text")
                    there = [process for process in ground.yard.left() if module_of(process) == module]
                    with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
                        if there:
                            chance.choice(there).send_signal(number)
                            return True
                    return False

                wait_for(f"{module}, to be hit", hit)
                if ground.dies_or_works():
                    ground.again()
        ground.again()
    finally:
        ground.end()
    tiers.report("T20", f"{number.name} to each process", times=times * len(MODULES), lost=0)
