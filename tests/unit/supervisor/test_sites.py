"""Which executor a pool has: started, replaced, given up, and never an older one after a newer one."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest
from jobyard.supervisor.core import effects as f
from jobyard.supervisor.core import events as e
from jobyard.supervisor.core.effects import Order
from jobyard.supervisor.core.events import Child
from jobyard.supervisor.executors.base import Caps, ExecutorEvent, PoolSpec
from jobyard.supervisor.sites import RESTART_FIRST_S, STEADY_S, UP_S, Sites


def spec(name: str = "default") -> PoolSpec:
    return PoolSpec(name, "python", "/", [], {}, [], "/run", "/out")


class Fake:
    """An executor that notes what is done to it, and tells what it is told to tell."""

    caps = Caps(survives_supervisor=False, splits_streams=False)

    def __init__(self, spec: PoolSpec, number: int, fails: OSError | None) -> None:
        self.pool, self.uuid = spec.name, f"u{number}"
        self.done: list[str] = []
        self.waiting: list[ExecutorEvent] = []
        self._fails = fails
        self._fd = os.eventfd(0)

    def fileno(self) -> int:
        return self._fd

    def start(self) -> None:
        if self._fails is not None:
            raise self._fails

    def prepare(self, count: int) -> None: ...
    def go(self, child: Child, order: Order) -> None: ...
    def discard(self, child: Child) -> None: ...
    def kill(self, child: Child, kind: str, grace_s: float, reason: str | None) -> None: ...
    def ack(self, child: Child, seq: int) -> None: ...
    def follow(self, child: Child, size: int) -> None: ...

    def retire(self) -> None:
        self.done.append("retired")

    def leave(self) -> None:
        self.done.append("left")
        os.close(self._fd)

    def close(self) -> None:
        self.done.append("closed")
        os.close(self._fd)

    def events(self) -> list[ExecutorEvent]:
        found, self.waiting = self.waiting, []
        return found


class House:
    """Sites over fakes."""

    def __init__(self) -> None:
        self.made: list[Fake] = []
        self.fails: OSError | None = None
        self.watched: set[int] = set()
        self.sites = Sites(self._make)
        self.sites.watch, self.sites.unwatch = self.watched.add, self.watched.remove

    def _make(self, spec: PoolSpec) -> Fake:
        self.made.append(Fake(spec, len(self.made), self.fails))
        return self.made[-1]

    def up(self, executor: Fake, now: float = 0.0) -> None:
        executor.waiting.append(e.ZygoteUp(executor.pool, executor.uuid, 1, 1, "boot"))
        self.sites.events(executor.fileno(), now)

    def gone(self, executor: Fake, now: float) -> float:
        """It dies; how long until the next one is started."""
        executor.waiting.append(e.ZygoteGone(executor.pool, executor.uuid, True, ""))
        self.sites.events(executor.fileno(), now)
        wake_at = self.sites.wake_at()
        assert wake_at is not None
        return wake_at - now


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.sites.close()
    assert house.watched == set()


def test_reload_gives_up_an_executor_that_is_not_up_yet(house: House) -> None:
    house.sites.configure({"default": spec()}, 0.0)
    house.sites.configure({"default": spec()}, 1.0)
    assert house.made[0].done == ["closed"]
    assert list(house.sites.executors) == ["u1"]


def test_reload_leaves_one_that_is_up_to_the_machine(house: House) -> None:
    house.sites.configure({"default": spec()}, 0.0)
    house.up(house.made[0])
    house.sites.configure({"other": spec("other")}, 1.0)
    assert house.made[0].done == []
    house.sites.perform(f.Retire("default", "u0"))
    assert house.made[0].done == ["retired"]
    assert list(house.sites.pools) == ["other"]


def test_one_that_does_not_come_up_in_time_is_given_up_and_tried_again(house: House) -> None:
    house.sites.configure({"default": spec()}, 100.0)
    assert house.sites.wake_at() == 100.0 + UP_S
    house.sites.mind_deadlines(100.0 + UP_S)
    site = house.sites.pools["default"]
    assert (house.made[0].done, site.state) == (["closed"], "failed")
    assert site.problem is not None and "hangs" in site.problem
    assert house.sites.wake_at() == 100.0 + UP_S + RESTART_FIRST_S
    house.sites.mind_deadlines(100.0 + UP_S + RESTART_FIRST_S)
    house.up(house.made[1])
    assert (site.state, house.sites.wake_at()) == ("up", None)


def test_no_descriptor_left_is_a_failed_start_and_not_the_end(house: House) -> None:
    house.fails = OSError(errno.EMFILE, "Too many open files")
    house.sites.configure({"default": spec()}, 0.0)
    site = house.sites.pools["default"]
    assert (site.state, site.problem) == ("failed", "its zygote cannot be started: Too many open files")
    house.fails = None
    house.sites.mind_deadlines(RESTART_FIRST_S)
    house.up(house.made[1])
    assert site.state == "up"


def test_pauses_grow_while_an_executor_comes_up_and_dies_again_and_begin_anew_after_a_steady_one(house: House) -> None:
    house.sites.configure({"default": spec()}, 0.0)
    now, pauses = 0.0, []
    for lived in (1.0, 1.0, 1.0, STEADY_S, 1.0):
        house.up(house.made[-1], now)
        pauses.append(house.gone(house.made[-1], now + lived))
        now += lived + pauses[-1]
        house.sites.mind_deadlines(now)
    assert pauses == pytest.approx([RESTART_FIRST_S * times for times in (1, 2, 4, 1, 2)])


def test_what_a_replaced_executor_cannot_make_is_no_problem_of_the_pool(house: House) -> None:
    house.sites.configure({"default": spec()}, 0.0)
    house.up(house.made[0])
    house.sites.recycle("default", 1.0)
    house.up(house.made[1], 2.0)
    old, new = house.made
    old.waiting.append(e.PrepareFailed("default", old.uuid, 3, "this zygote is retiring"))
    house.sites.events(old.fileno(), 3.0)
    site = house.sites.pools["default"]
    assert (site.short, site.problem) == (False, None)
    new.waiting.append(e.PrepareFailed("default", new.uuid, 3, "no room"))
    house.sites.events(new.fileno(), 4.0)
    assert (site.short, site.problem) == (True, "no room")
    old.waiting.append(e.ChildReady(Child("default", old.uuid, 1, 1, 1)))
    house.sites.events(old.fileno(), 5.0)
    assert site.short, "that another could make one says nothing"
    new.waiting.append(e.ChildReady(Child("default", new.uuid, 1, 1, 1)))
    house.sites.events(new.fileno(), 6.0)
    assert (site.short, site.problem) == (False, None)


def test_reload_after_the_end_has_begun_starts_nothing(house: House) -> None:
    house.sites.configure({"default": spec()}, 0.0)
    house.up(house.made[0])
    house.sites.retire_all()
    house.sites.configure({"default": spec()}, 1.0)
    assert len(house.made) == 1


def adopted(house: House, number: int, *, current: bool = True, pool: str = "default") -> Fake:
    executor = Fake(spec(pool), number, None)
    house.sites.adopt(executor)
    executor.waiting.append(e.ZygoteAdopted(pool, executor.uuid, current, frozenset(), 4711))
    assert len(house.sites.events(executor.fileno(), 0.0)) == 1
    return executor


def test_pool_whose_zygote_was_adopted_starts_none_and_the_others_do(house: House) -> None:
    adopted(house, 70)
    house.sites.begin({"default": spec(), "mail": spec("mail")}, 0.0)
    assert [executor.pool for executor in house.made] == ["mail"]
    site = house.sites.pools["default"]
    assert (site.state, site.pid, house.sites.retiring("default")) == ("up", 4711, 0)
    assert house.sites.wake_at() == UP_S, "that is for the other pool"


def test_of_two_adopted_ones_the_last_that_fits_is_its_pools(house: House) -> None:
    for number, current in ((70, True), (71, True), (72, False)):
        adopted(house, number, current=current)
    house.sites.begin({"default": spec()}, 0.0)
    executor = house.sites.pools["default"].executor
    assert executor is not None and executor.uuid == "u71"
    assert (house.made, house.sites.retiring("default")) == ([], 2)


def test_adopted_one_that_ends_before_the_start_is_replaced(house: House) -> None:
    executor = adopted(house, 70)
    executor.waiting.append(e.ZygoteGone("default", "u70"))
    house.sites.events(executor.fileno(), 0.0)
    house.sites.begin({"default": spec()}, 0.0)
    assert [made.pool for made in house.made] == ["default"]


def test_leaving_lets_go_of_all_and_closes_none(house: House) -> None:
    one = adopted(house, 70)
    house.sites.begin({"default": spec(), "mail": spec("mail")}, 0.0)
    house.sites.leave()
    assert [executor.done for executor in (one, *house.made)] == [["left"], ["left"]]
    assert house.sites.executors == {}


def test_recycling_starts_a_fresh_one_for_this_pool_alone(house: House) -> None:
    house.sites.configure({"default": spec(), "mail": spec("mail")}, 0.0)
    for executor in house.made:
        house.up(executor)
    assert house.sites.recycle("mail", 1.0)
    assert [executor.pool for executor in house.made] == ["default", "mail", "mail"]
    assert house.made[1].done == []  # the machine retires it when the fresh one is up
    assert not house.sites.recycle("nope", 1.0)


def test_executor_that_is_not_fenced_is_kept_until_it_is_released(house: House) -> None:
    house.sites.configure({"default": spec()}, 0.0)
    first = house.made[0]
    house.up(first)
    first.waiting.append(e.ZygoteGone("default", "u0", fenced=False))
    house.sites.events(first.fileno(), 5.0)
    assert first.done == []
    house.sites.release("u0")
    assert first.done == ["closed"]
