"""The proof that the simulation is awake: every planted bug is found."""

from __future__ import annotations

import pytest
import tiers
from bugs import SEEDS, SEEDS_MAX, find
from planting import BUGS
from world import run


def test_there_are_many_bugs_and_each_has_a_seed() -> None:
    assert len(BUGS) >= 20
    assert SEEDS.keys() == BUGS.keys()


@pytest.mark.tier("T15")
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str) -> None:
    bug = BUGS[name]
    remembered = SEEDS[name] if tiers.TIER == "P" else None
    found = None if remembered is None else find(bug, range(remembered, remembered + 1))
    if found is None:  # the simulation has changed since, or the number of seeds is what is asked for
        found = find(bug, range(SEEDS_MAX))
    assert found is not None, f"{bug.where}: {bug.what}: not found with {SEEDS_MAX} seeds"
    run(found[0], bug.doom)  # without the bug it passes
    tiers.report("T15", "planted bugs, each of which was found", bugs=1, seeds_needed_max=found[0] + 1)
