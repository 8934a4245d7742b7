"""Jobs with hidden values among others: what jobctl does with many at once."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from jobyard.client.cli.main import main
from live import Yard

JOBS = """
def fail(number, token=None):
    raise ValueError("as it should")
"""


def test_jobs_that_cannot_be_put_back_do_not_keep_the_others_from_it(
    make_yard: Callable[..., Yard], capfd: pytest.CaptureFixture[str]
) -> None:
    yard = make_yard("[defaults]\nretries = 0\n", JOBS)
    client = yard.client()
    jobs = [client.submit("jobs:fail", 1, token="hush-hush" if number % 2 else None) for number in range(5)]
    assert not client.wait(jobs, 20).not_done
    capfd.readouterr()
    assert main(["--config", str(yard.config), "retry", "--state", "failed", "--yes", "--json"]) == 6
    out, err = capfd.readouterr()
    error = json.loads(err)["error"]
    assert out == ""
    assert (error["code"], error["details"]) == ("wrong_state", {"refused": [4, 2], "requeued": [5, 3, 1]})
    assert "(and 1 more were refused: 2)" in error["message"]
    assert not client.wait(jobs, 20).not_done
    assert [job.info().attempt for job in jobs] == [2, 1, 2, 1, 2]
    assert "jobctl retry" not in client.why(jobs[1]).hint
