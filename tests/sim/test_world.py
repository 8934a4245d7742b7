"""Simulated worlds: random ones, their repeatability, and what a failure looks like. ``--seed N`` runs one again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiers
from bugs import BUGS, find
from world import VICTIMS, World, run

PARTS = 8  # so that several processes can share the work
SEEDS = tiers.size(2_000, 200_000, 1_600_000)
DEATHS = tiers.size(2, 100, 1_000)
CRASH_POINTS = [
    "submit handed over, not written",
    "submit written, not synced",
    "synced, not replied",
    "start handed over, not written",
    "start written, not synced",
    "start synced, go not sent",
    "end handed over, not written",
    "end written, not synced",
    "end synced, not acknowledged",
    "cancel written, not synced",
    "cancel decided, kill not sent",
    "archived, no snapshot",
    "snapshot written, nothing evicted",
    "snapshot taken over, segments not removed",
    "new start stored",
]


@pytest.mark.tier("T15")
@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_is_lost_doubled_early_or_stuck_in_random_worlds(part: int, pytestconfig: pytest.Config) -> None:
    only = pytestconfig.getoption("--seed")
    if only is not None:
        if part == 0:
            run(only)
        return
    seeds = range(part, pytestconfig.getoption("--seeds") or SEEDS, PARTS)
    begun, simulated_s = time.process_time(), 0.0
    for seed in seeds:
        simulated_s += run(seed).took
    spent_s = time.process_time() - begun
    tiers.report(
        "T15",
        f"random worlds, part {part + 1} of {PARTS}",
        seeds=len(seeds),
        simulated_hours=round(simulated_s / 3600, 2),
        simulated_hours_per_cpu_s=round(simulated_s / 3600 / spent_s, 3),
        violations=0,
    )


@pytest.mark.tier("T1b")
@pytest.mark.timeout(0)
@pytest.mark.parametrize("point", CRASH_POINTS)
def test_supervisor_zygotes_or_power_may_go_at_this_point(point: str) -> None:
    for victim in VICTIMS:
        struck = seed = 0
        while struck < DEATHS:
            assert seed < DEATHS * 50, f"seldom or never reached: {struck} times"
            struck += run(seed, (point, victim)).struck
            seed += 1
        tiers.report("T1b", f"simulated: {victim} dies", points=1, deaths=struck, violations=0)


def test_the_same_seed_gives_the_same_story_whatever_the_hash_seed() -> None:
    seeds = [3, 11, 208]
    here = [run(seed).story.digest() for seed in seeds]
    code = f"from world import run; print(*(run(seed).story.digest() for seed in {seeds}))"
    for hash_seed in ("0", "4711"):
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(__file__).parent,
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == here


def test_different_seeds_give_different_mixes_of_faults() -> None:
    mixes = {World(seed).mix for seed in range(50)}
    assert len(mixes) > 45


def test_a_failure_tells_its_seed_its_faults_and_the_story_of_the_job() -> None:
    found = find(BUGS["go_before_sync"], range(20))
    assert found is not None
    seed, text = found
    assert text.startswith(f"seed {seed}: ") and "\nfaults: " in text and "the story of job " in text
    assert "Started(" in text and text.endswith(f"again: pytest tests/sim --seed {seed}")
