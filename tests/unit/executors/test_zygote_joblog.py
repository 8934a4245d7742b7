"""The log lines of jobs, in an interpreter of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

PRELUDE = """
import os, sys
from jobyard.supervisor.executors.zygote import joblog
assert "logging" not in sys.modules, "it is imported by the job alone"
os.dup2(1, joblog.LOGGING_FD)
"""


INSTALL = "joblog.install(); import logging; "
OWN = "logging.basicConfig(stream=sys.stdout, format='own %(message)s'); "


@pytest.mark.parametrize(
    ("code", "printed"),
    [
        (INSTALL + "logging.info('hello %s', 'you')", "INFO root: hello you\n"),
        (INSTALL + "logging.getLogger('app').info('x'); logging.warning('y')", "INFO app: x\nWARNING root: y\n"),
        ("import logging; joblog.install(); logging.getLogger('a.b').error('x\\ny')", "ERROR a.b: x\n    y\n"),
        (INSTALL + "logging.debug('quiet')", ""),
        (INSTALL + "logging.getLogger().setLevel(10); logging.debug('x')", "DEBUG root: x\n"),
        (INSTALL + "logging.basicConfig(); logging.info('x')", "INFO root: x\n"),
        (INSTALL + OWN + "logging.warning('w'); logging.info('i')", "own w\n"),
        (INSTALL + "logging.root.addHandler(logging.StreamHandler(sys.stdout)); logging.warning('w')", "w\n"),
        ("import logging; " + OWN + "joblog.install(); logging.warning('w')", "own w\n"),
        ("joblog.install(); import logging.handlers; logging.warning('w')", "WARNING root: w\n"),
        ("import importlib.util as u; joblog.install(); u.find_spec('logging'); import logging; logging.warning('w')",
         "WARNING root: w\n"),
        ("joblog.write('INFO', 'job', 'bad \\udcff'); os.close(4); joblog.write('INFO', 'job', 'x')",
         "INFO job: bad \\udcff\n"),
    ],
)  # fmt: skip
def test_lines_of_a_job(code: str, printed: str) -> None:
    command = [sys.executable, "-c", PRELUDE + code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (printed, "", 0)
