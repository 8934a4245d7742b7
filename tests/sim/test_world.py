"""Properties of the core in a seeded world. ``pytest tests/sim --seed N`` reproduces one; ``--seeds N`` runs more."""

from __future__ import annotations

import pytest
from world import World

STEPS = 120


def test_nothing_is_lost_doubled_or_stuck_in_a_random_world(seed: int) -> None:
    world = World(seed)
    try:
        for _ in range(STEPS):
            world.step()
        world.settle()
    except BaseException as error:
        story = "\n".join(world.story[-60:])
        pytest.fail(f"seed {seed}: {type(error).__name__}: {error}\n{story}")


def test_the_same_seed_gives_the_same_story() -> None:
    stories = []
    for _ in range(2):
        world = World(7)
        for _ in range(STEPS):
            world.step()
        stories.append(world.story)
    assert stories[0] == stories[1]
