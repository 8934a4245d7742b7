"""What may run and what may not, as the documentation of other job runners has it: by class, by method, by alias."""

from __future__ import annotations

import subprocess
import sys

import jobyard
import pytest
from jobyard import run_background_job
from shops import Shop

METHODS = '"jobs:SendWelcomeEmail.handle", "jobs:ProcessUserReport.generate", "jobs:ProcessUserReport.send"'


def refused(class_name: str, method: str) -> bool:
    rejected = run_background_job(class_name, method, errors="return")
    return isinstance(rejected, jobyard.Rejected) and rejected.code == "not_allowed"


def test_listed_methods_of_a_class_run_and_no_others(make_shop: Shop) -> None:
    make_shop(allow=METHODS)
    assert run_background_job("jobs.SendWelcomeEmail", "handle", {"user_id": 1}).result(timeout=20) == 1
    assert run_background_job("jobs.ProcessUserReport", "generate", [2]).result(timeout=20) == "generated 2"
    assert run_background_job("jobs.ProcessUserReport", "send", [3]).result(timeout=20) == "sent 3"
    assert refused("jobs.SendWelcomeEmail", "erase")
    assert refused("jobs.ExampleJob", "handle")
    assert refused("os", "system")


def test_class_may_be_allowed_as_a_whole_which_means_its_public_methods(make_shop: Shop) -> None:
    make_shop(allow='"jobs:SendWelcomeEmail.*"')
    assert run_background_job("jobs.SendWelcomeEmail", "handle", [1]).result(timeout=20) == 1
    assert run_background_job("jobs.SendWelcomeEmail", "erase").result(timeout=20) is None
    assert refused("jobs.SendWelcomeEmail", "_secret")
    assert refused("jobs.SendWelcomeEmail", "__init__")


def test_alias_alone_allows_its_methods(make_shop: Shop) -> None:
    make_shop('[jobs.Welcome]\ntarget = "jobs:SendWelcomeEmail"\nmethods = ["handle"]\n', allow="")
    assert run_background_job("Welcome", "handle", [1]).result(timeout=20) == 1
    assert refused("Welcome", "erase")


@pytest.mark.parametrize("verb", ["submit", "run"])
def test_command_ends_with_an_error_and_the_error_log_names_the_job_and_who_asked(make_shop: Shop, verb: str) -> None:
    yard = make_shop(allow=METHODS)
    command = [sys.executable, "-P", "-m", "jobyard", verb, "jobs.ExampleJob", "handle"]
    done = subprocess.run(command, cwd=yard.directory, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.startswith("error: 'jobs.ExampleJob")
    assert "is not allowed" in done.stderr
    log = yard.path(".jobyard/background_jobs_errors.log").read_text()
    assert "jobs.ExampleJob" in log and " uid " in log
    client = yard.client()
    assert (client.status().refused, client.list()) == (1, [])
