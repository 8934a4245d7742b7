"""A process that appends in a loop is killed again and again; what it was told is stored is there."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

from jobyard.conf.settings import JournalSettings
from journals import contents, opened

ROUNDS = 20
SETTINGS = JournalSettings(segment_bytes=4096, group_bytes_max=512)

APPENDER = """
import select, sys
from pathlib import Path
from journals import contents, record
from test_journal_kill import SETTINGS
from jobyard.supervisor.journal.journal import Journal

recovery = Journal.open(Path(sys.argv[1]), SETTINGS)
number = len(contents(recovery))
journal = recovery.begin()
poll = select.poll()
poll.register(journal.fileno(), select.POLLIN)
numbers = {}
said = 0
while True:
    batch = range(number + 1, number + 4)
    number += len(batch)
    numbers[journal.append(map(record, batch))] = number
    if number % 30 == 0:
        poll.poll()
    journal.collect()
    if journal.synced > said:
        said = journal.synced
        print(numbers[said], flush=True)
    if number % 300 == 0:
        numbers[journal.seal()] = number
"""


def test_nothing_synced_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    chance = random.Random(20)
    told = 0
    for _ in range(ROUNDS):
        process = subprocess.Popen(
            [sys.executable, "-c", APPENDER, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert process.stdout is not None
        with process.stdout:
            for _ in range(chance.randrange(1, 40)):
                line = process.stdout.readline()
                assert line, "the appender ended by itself"
            process.kill()
            lines = [line, *process.stdout.read().splitlines(keepends=True)]
        process.wait()
        told = max(told, *(int(line) for line in lines if line.endswith("\n")))

        read = contents(opened(directory=tmp_path, settings=SETTINGS))
        assert read == list(range(1, len(read) + 1))
        assert len(read) >= told
        assert len(read) % 3 == 0, "a part of an append"
    assert told > 100
