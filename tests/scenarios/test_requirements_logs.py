"""The two logs: which lines they have, where they lie, and what an environment changes."""

from __future__ import annotations

import jobyard
import pytest
from jobyard import Retry
from live import Yard, wait_for
from shops import Shop


def log_of(yard: Yard, name: str, wanted: str) -> list[str]:
    """The lines of a log, once the one that is waited for is there."""
    path = yard.path(name)
    wait_for(f"{wanted!r} in {name}", lambda: path.exists() and wanted in path.read_text())
    return path.read_text().splitlines()


def test_general_log_tells_each_attempt_with_its_number_and_error_and_the_error_log_the_failures(
    make_shop: Shop,
) -> None:
    yard = make_shop()
    client = yard.client()
    client.submit("jobs:ExampleJob.handle").result(timeout=20)
    with pytest.raises(jobyard.NotAllowed):
        client.submit("os:system", "true")
    failed = client.options(retry=Retry(max_attempts=2, delay=0.05)).submit("jobs:fail", "this went wrong")
    assert isinstance(failed.exception(timeout=20), jobyard.JobFailed)
    general = log_of(yard, ".jobyard/background_jobs.log", "; failed")
    told = [line for line in general if f"job {failed.id} " in line]
    starts = [line for line in told if "started" in line]
    assert ["attempt 1/2" in starts[0], "attempt 2/2" in starts[1], len(starts)] == [True, True, 2]
    assert sum("ValueError: this went wrong" in line for line in told) == 2
    assert any("job 1 ExampleJob@handle" in line and "succeeded" in line for line in general)
    errors = log_of(yard, ".jobyard/background_jobs_errors.log", "; failed")
    assert sum("'os:system' is not allowed" in line for line in errors) == 1
    assert sum("this went wrong" in line for line in errors) == 2
    assert not any("succeeded" in line for line in errors)


def test_logs_lie_where_the_config_says_and_are_only_added_to(make_shop: Shop) -> None:
    yard = make_shop('[logging]\nfile = "app.log"\nerror_file = "errors.log"\n', start=False)
    yard.path("app.log").write_text("a line of the application\n")
    yard.start()
    job = yard.client().options(retries=0).submit("jobs:fail", "this went wrong")
    job.wait(20)
    general = log_of(yard, "app.log", "this went wrong")
    assert general[0] == "a line of the application"
    assert len(log_of(yard, "errors.log", "this went wrong")) == 1
    assert not yard.path(".jobyard/background_jobs.log").exists()


def test_level_of_the_error_log_can_be_chosen(make_shop: Shop) -> None:
    yard = make_shop('[logging]\nerror_level = "critical"\n')
    yard.client().options(retries=0).submit("jobs:fail", "this went wrong").wait(20)
    log_of(yard, ".jobyard/background_jobs.log", "this went wrong")
    errors = yard.path(".jobyard/background_jobs_errors.log")
    assert not errors.exists() or errors.read_text() == ""


def test_environment_has_level_and_files_of_its_own(make_shop: Shop) -> None:
    production = '[env.production.logging]\nlevel = "error"\nfile = "production.log"\n'
    yard = make_shop(f"[env.local]\n{production}", start=False)
    yard.start("--env", "production")
    client = yard.client()
    client.submit("jobs:ExampleJob.handle").result(timeout=20)
    with pytest.raises(jobyard.NotAllowed):
        client.submit("os:system", "true")
    lines = log_of(yard, "production.log", "'os:system' is not allowed")
    assert len(lines) == 1, lines
    assert not yard.path(".jobyard/background_jobs.log").exists()
