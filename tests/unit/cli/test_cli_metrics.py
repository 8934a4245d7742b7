"""The Prometheus text: what its readers insist on."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from jobyard.client.cli import metrics
from jobyard.protocol.counters import Counted, Distribution, QueueCounters
from jobyard.protocol.messages import Counters, PoolStatus, QueueStatus, Status, SupervisorStatus

Run = Callable[..., Any]
_SAMPLE = re.compile(r'(?P<name>[a-z_]+)(?:\{(?P<labels>(?:\w+="(?:[^"\\\n]|\\[\\"n])*",?)+)\})? (?P<value>\S+)')


@pytest.fixture
def answered(supervisor: Any) -> Any:
    hostile = 'a"b\\c\nd\x1b[2J'
    supervisor.answers[Status] = SupervisorStatus(
        1, "0", 2, 1000.5, "c", "s", "k", False, True, {"queued": 3}, 7,
        [QueueStatus("mail", "paused", "default", None, 1, 2, 3)], [PoolStatus(hostile, "up", 4, 1, 0)], 10,
    )  # fmt: skip
    times = Distribution([1, 2, 3], 12.5)
    queue = QueueCounters("mail", 6, 3, 2, 1, {"ok": 3, "error": 4}, times, times, 0.5)
    supervisor.answers[Counters] = Counted(1000.5, [0.1, 1.0], [queue])
    return supervisor


def test_every_line_is_a_sample_of_the_family_above_it(jobctl: Run, answered: Any) -> None:
    family = kind = ""
    for line in jobctl("metrics").out.splitlines():
        if line.startswith("# HELP "):
            family = line.split()[2]
        elif line.startswith("# TYPE "):
            assert line.split()[2] == family
            kind = line.split()[3]
            assert (kind == "counter") == family.endswith("_total")
        else:
            sample = _SAMPLE.fullmatch(line)
            assert sample is not None, line
            assert sample["name"].removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") == family or (
                kind != "histogram" and sample["name"] == family
            )
            float(sample["value"])


def test_label_values_are_escaped_and_control_characters_made_visible(jobctl: Run, answered: Any) -> None:
    out = jobctl("metrics").out
    assert 'jobyard_pool_slots{pool="a\\"b\\\\c\\nd\\\\x1b[2J"} 4' in out
    assert "\x1b" not in out


def test_buckets_are_cumulative_and_end_with_all(jobctl: Run, answered: Any) -> None:
    lines = [line for line in jobctl("metrics").out.splitlines() if line.startswith("jobyard_run_seconds")]
    assert lines == [
        'jobyard_run_seconds_bucket{queue="mail",le="0.1"} 1',
        'jobyard_run_seconds_bucket{queue="mail",le="1"} 3',
        'jobyard_run_seconds_bucket{queue="mail",le="+Inf"} 6',
        'jobyard_run_seconds_sum{queue="mail"} 12.5',
        'jobyard_run_seconds_count{queue="mail"} 6',
    ]


def test_no_family_is_told_twice(jobctl: Run, answered: Any) -> None:
    names = [line.split()[2] for line in jobctl("metrics").out.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names)) > 10
    assert [family["name"] for family in jobctl("metrics", "--json").json["families"]] == [
        name.removeprefix("jobyard_") for name in names
    ]


def test_numbers_are_whole_where_they_are_and_exact_where_not() -> None:
    assert [metrics._number(value) for value in (3.0, 0.1, 1e21)] == ["3", "0.1", "1000000000000000000000"]
