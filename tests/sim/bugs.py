"""All planted bugs, and for each a seed that finds it.

After a change of the simulation or of the product another seed may be needed: the test looks for one then, which takes
a while. ``python tests/sim/bugs.py`` looks for all of them and prints the table anew.
"""

from __future__ import annotations

import bugs_edges  # noqa: F401
import bugs_jobs  # noqa: F401
import bugs_storage  # noqa: F401
import bugs_upkeep  # noqa: F401
from planting import BUGS, Bug
from world import Failed, run

SEEDS_MAX = 1_000
SEEDS = {
    "adopted_goes_twice": 1,
    "exits_forgotten": 42,
    "adopted_called_lost": 1,
    "go_not_sent_again": 103,
    "kill_not_sent_again": 21,
    "adopted_taken_for_spare": 45,
    "deadlines_die_with_supervisor": 16,
    "not_sent_again": 5,
    "resent_though_not_twice": 5,
    "gaps_not_noticed": 19,
    "truncation_not_told": 266,
    "refill_off_by_one": 1,
    "attempts_not_counted": 1,
    "retry_later_counts": 0,
    "cancel_forgotten_on_failure": 0,
    "losses_not_bounded": 6,
    "on_lost_ignored": 4,
    "first_delay_repeats": 2,
    "lost_without_fence": 68,
    "concurrency_leak": 5,
    "hold_lost_on_clock_step": 481,
    "children_before_zygote": 0,
    "pause_ignored_for_retries": 7,
    "queue_limit_off_by_one": 1,
    "cancelled_stays_in_heap": 0,
    "old_place_in_heap": 9,
    "key_not_freed": 1,
    "batch_forgets_keys": 24,
    "ids_given_again": 60,
    "drain_ignored": 3,
    "archived_uid_not_found": 41,
    "left_memory_meanwhile": 605,
    "early_after_clock_step": 5,
    "old_boot_believed": 6,
    "one_deadline_a_time": 2,
    "one_parent_is_enough": 0,
    "unblocked_twice": 0,
    "failed_parent_ignored": 0,
    "evicted_before_archived": 0,
    "archived_too_much": 4,
    "pruned_though_put_back": 9,
    "reply_before_sync": 0,
    "go_before_sync": 0,
    "exit_acknowledged_early": 0,
    "notice_before_sync": 0,
    "one_group_too_early": 0,
    "kill_overtakes_start": 12,
    "ids_told_before_reserved": 212,
    "forgotten_after_probe": 8,
    "no_probe": 8,
    "refused_though_stored": 13,
    "waiter_not_woken_by_cancel": 11,
    "one_waiter_only": 20,
    "snapshot_misses_a_group": 2,
    "segments_out_of_order": 6,
    "restart_with_old_state": 13,
    "failed_sync_ignored": 6,
    "uids_lost_in_snapshot": 4,
    "keys_lost_in_snapshot": 36,
    "cancel_lost_in_snapshot": 423,
}


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
