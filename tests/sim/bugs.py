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
    "adopted_goes_twice": 2,
    "exits_forgotten": 12,
    "adopted_called_lost": 2,
    "go_not_sent_again": 12,
    "kill_not_sent_again": 59,
    "adopted_taken_for_spare": 49,
    "deadlines_die_with_supervisor": 2,
    "not_sent_again": 2,
    "resent_though_not_twice": 6,
    "gaps_not_noticed": 17,
    "truncation_not_told": 216,
    "refill_off_by_one": 0,
    "attempts_not_counted": 2,
    "retry_later_counts": 2,
    "cancel_forgotten_on_failure": 11,
    "void_attempts_count": 20,
    "losses_not_bounded": 36,
    "on_lost_ignored": 7,
    "first_delay_repeats": 2,
    "lost_without_fence": 58,
    "concurrency_leak": 7,
    "hold_lost_on_clock_step": 863,
    "children_before_zygote": 0,
    "pause_ignored_for_retries": 13,
    "queue_limit_off_by_one": 0,
    "cancelled_stays_in_heap": 2,
    "old_place_in_heap": 14,
    "key_not_freed": 3,
    "batch_forgets_keys": 17,
    "ids_given_again": 238,
    "drain_ignored": 5,
    "archived_uid_not_found": 35,
    "left_memory_meanwhile": 270,
    "early_after_clock_step": 11,
    "old_boot_believed": 19,
    "one_deadline_a_time": 6,
    "one_parent_is_enough": 0,
    "unblocked_twice": 0,
    "failed_parent_ignored": 3,
    "evicted_before_archived": 4,
    "archived_too_much": 17,
    "pruned_though_put_back": 9,
    "reply_before_sync": 0,
    "go_before_sync": 0,
    "exit_acknowledged_early": 0,
    "notice_before_sync": 0,
    "one_group_too_early": 0,
    "kill_overtakes_start": 68,
    "ids_told_before_reserved": 193,
    "forgotten_after_probe": 10,
    "no_probe": 4,
    "refused_though_stored": 26,
    "waiter_not_woken_by_cancel": 14,
    "one_waiter_only": 0,
    "snapshot_misses_a_group": 0,
    "segments_out_of_order": 4,
    "restart_with_old_state": 7,
    "failed_sync_ignored": 7,
    "uids_lost_in_snapshot": 0,
    "keys_lost_in_snapshot": 35,
    "cancel_lost_in_snapshot": 1,
    "asked_too_late": 9,
    "seal_forgotten": 74,
    "values_dropped_too_early": 1,
    "values_in_errors": 1,
    "values_before_the_start": 182,
    "not_woken_for_values": 111,
    "answers_make_no_room": 0,
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
