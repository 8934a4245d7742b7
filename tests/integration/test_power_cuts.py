"""The power goes while a supervisor works, on a real file system over a device with a cache that is lost: T6b."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiers
from live import Yard
from told import CONFIG, JOBS, Load, Told
from volatile_disk import VolatileDisk, why_not

CUTS = tiers.size(5, 200, 1_000)
CUTS_PER_DISK = 20
KINDS = [
    ("ext4", "noatime"),
    ("ext4", "noatime,data=writeback"),
    ("ext4", "noatime,data=journal"),
    ("xfs", "noatime"),
][: tiers.size(1, 4, 4)]
ON_DISK = CONFIG + '[supervisor]\nstate_dir = "{0}/state"\n'


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[Callable[[str, str], VolatileDisk]]:
    made: list[VolatileDisk] = []

    def make(kind: str, options: str) -> VolatileDisk:
        (directory := tmp_path / f"volatile{len(made)}").mkdir()
        made.append(VolatileDisk(directory, kind, options))
        return made[-1]

    yield make
    for disk in made:
        disk.close()


def cuts(yard: Yard, disk: VolatileDisk, seeds: range) -> Iterator[list[str]]:
    """Cut the power at random moments under load; what was lost each time. Only the disk notices."""
    load, chance = Load(yard), random.Random(seeds.start)
    try:
        for seed in seeds:
            time.sleep(chance.uniform(0.0, 0.3))
            told = Told(load)
            with disk.after(disk.cut_power(seed)) as left:
                yield told.lost(left / "state")
    finally:
        load.end()
    assert load.errors == []


@pytest.mark.tier("T6b")
@pytest.mark.timeout(tiers.size(120, 3_600, 18_000))
@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_power_cut_on_a_real_file_system_loses_nothing_that_anybody_was_told(
    make_disk: Callable[[str, str], VolatileDisk], make_yard: Callable[..., Yard], kind: str, options: str
) -> None:
    if reason := why_not(kind):
        pytest.skip(reason)
    for first in range(0, CUTS, CUTS_PER_DISK):
        disk = make_disk(kind, options)
        yard = make_yard(ON_DISK.format(disk.path), JOBS)
        seeds = range(first, min(first + CUTS_PER_DISK, CUTS))
        for seed, lost in zip(seeds, cuts(yard, disk, seeds), strict=True):
            assert lost == [], f"seed {seed}"
        yard.close()
        disk.close()
    tiers.report("T6b", f"power cuts, {kind} ({options})", cuts=CUTS, lost=0)


def test_disk_that_never_flushes_is_seen_to_lose(
    make_disk: Callable[[str, str], VolatileDisk], make_yard: Callable[..., Yard]
) -> None:
    """That the test above can fail: without barriers nothing is ever flushed."""
    if reason := why_not():
        pytest.skip(reason)
    disk = make_disk("ext4", "noatime,barrier=0")
    yard = make_yard(ON_DISK.format(disk.path), JOBS)
    try:
        seen = any(cuts(yard, disk, range(10)))
    except AssertionError as error:
        seen = "cannot be mounted" in str(error)
    assert seen
