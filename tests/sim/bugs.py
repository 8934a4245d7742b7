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
    "adopted_goes_twice": 7,
    "exits_forgotten": 13,
    "adopted_called_lost": 7,
    "go_not_sent_again": 110,
    "kill_not_sent_again": 49,
    "adopted_taken_for_spare": 41,
    "deadlines_die_with_supervisor": 33,
    "not_sent_again": 3,
    "resent_though_not_twice": 3,
    "gaps_not_noticed": 19,
    "truncation_not_told": 573,
    "refill_off_by_one": 0,
    "attempts_not_counted": 0,
    "retry_later_counts": 0,
    "cancel_forgotten_on_failure": 1,
    "void_attempts_count": 5,
    "losses_not_bounded": 27,
    "on_lost_ignored": 36,
    "first_delay_repeats": 2,
    "lost_without_fence": 62,
    "concurrency_leak": 20,
    "hold_lost_on_clock_step": 5,
    "children_before_zygote": 0,
    "pause_ignored_for_retries": 12,
    "queue_limit_off_by_one": 1,
    "cancelled_stays_in_heap": 1,
    "old_place_in_heap": 1,
    "key_not_freed": 3,
    "ids_given_again": 238,
    "drain_ignored": 1,
    "archived_uid_not_found": 28,
    "left_memory_meanwhile": 813,
    "early_after_clock_step": 11,
    "old_boot_believed": 27,
    "one_deadline_a_time": 1,
    "one_parent_is_enough": 0,
    "unblocked_twice": 0,
    "failed_parent_ignored": 0,
    "evicted_before_archived": 4,
    "archived_too_much": 4,
    "pruned_though_put_back": 0,
    "reply_before_sync": 0,
    "go_before_sync": 0,
    "exit_acknowledged_early": 0,
    "notice_before_sync": 0,
    "one_group_too_early": 0,
    "kill_overtakes_start": 32,
    "ids_told_before_reserved": 526,
    "forgotten_after_probe": 92,
    "no_probe": 4,
    "refused_though_stored": 26,
    "waiter_not_woken_by_cancel": 18,
    "one_waiter_only": 0,
    "snapshot_misses_a_group": 0,
    "segments_out_of_order": 0,
    "restart_with_old_state": 4,
    "failed_sync_ignored": 26,
    "uids_lost_in_snapshot": 0,
    "keys_lost_in_snapshot": 44,
    "cancel_lost_in_snapshot": 123,
    "asked_too_late": 3,
    "seal_forgotten": 7,
    "values_dropped_too_early": 0,
    "values_in_errors": 0,
    "values_before_the_start": 126,
    "not_woken_for_values": 129,
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
