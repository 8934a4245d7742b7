"""All planted bugs, and for each a seed that finds it.

After a change of the simulation or of the product another seed may be needed: the test looks for one then, which takes
a while. ``python tests/sim/bugs.py`` looks for all of them and prints the table anew.
"""

from __future__ import annotations

import bugs_edges  # noqa: F401
import bugs_jobs  # noqa: F401
import bugs_storage  # noqa: F401
from planting import BUGS, Bug
from world import Failed, run

SEEDS_MAX = 1_000
SEEDS: dict[str, int] = {}


def find(bug: Bug, seeds: range) -> tuple[int, str] | None:
    """The first of the seeds that fails with this bug, and how it fails."""
    with bug.planted():
        for seed in seeds:
            try:
                run(seed, bug.doom)
            except Failed as failed:
                return seed, str(failed)
    return None


def main() -> None:
    for name, bug in BUGS.items():
        found = find(bug, range(SEEDS_MAX))
        print(f'    "{name}": {found[0]},' if found else f"    # {name} is not found", flush=True)


if __name__ == "__main__":
    main()
