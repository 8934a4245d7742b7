"""An archivist that is killed at any step: what it left is whole or not there, and the next one makes it right."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import msgpack
import pytest
from finished import finished
from jobyard.conf.settings import JournalSettings
from jobyard.protocol.history import Stats
from jobyard.protocol.job import Policy
from jobyard.supervisor import archivist
from jobyard.supervisor.core import records as r
from jobyard.supervisor.core.state import State
from jobyard.supervisor.core.transitions import IllegalRecord
from jobyard.supervisor.history import query
from jobyard.supervisor.history.store import Store
from jobyard.supervisor.journal.disk import Disk
from jobyard.supervisor.journal.journal import Journal
from jobyard.supervisor.journal.replay import replay

JOBS = 700  # more than are looked up at once
STEPS = [
    "history.store:Store.archive",  # before anything
    "history.store:Store._insert",  # inside the transaction, nothing written
    "history.store:Store._add",  # all jobs written, not the counts
    "history.store:Store.expire",  # committed
    "journal.snapshot:write",  # the history closed, no snapshot
    "journal.disk:Disk.rename",  # the snapshot written under a temporary name
    "journal.disk:Disk.sync_directory",  # and under its own
]
KILLED = """
import importlib, os, sys
from jobyard.supervisor import archivist
module, _, rest = sys.argv.pop(1).partition(":")
owner = importlib.import_module("jobyard.supervisor." + module)
*within, name = rest.split(".")
for part in within:
    owner = getattr(owner, part)
setattr(owner, name, lambda *_, **__: os.kill(os.getpid(), 9))
sys.exit(archivist.main(sys.argv[1:]))
"""


def make_journal(directory: Path) -> Journal:
    """Jobs that were cancelled before they ran, in a sealed segment."""
    recovery = Journal.open(directory, JournalSettings())
    assert not list(recovery.groups())
    journal = recovery.begin()
    for number in range(1, JOBS + 1):
        new = r.NewJob(number, f"{number:032x}", "app:f", "f", b"\x92\x90\x80", "default", 0, Policy(), 1e9, 1e9)
        journal.append([msgpack.packb(r.to_wire(r.Submitted([new])))])
    journal.append([msgpack.packb(r.to_wire(r.Cancelled(list(range(1, JOBS + 1)), 1e9, "me")))])
    journal.seal()
    journal.flush()
    return journal


def replayed(directory: Path) -> State:
    state, recovery = State(), Journal.open(directory, JournalSettings())
    replay(recovery, recovery.groups(), state, r.from_wire, IllegalRecord)
    return state


@pytest.mark.parametrize("step", STEPS)
def test_next_archivist_repeats_or_continues(tmp_path: Path, step: str, capsys: pytest.CaptureFixture[str]) -> None:
    directory, path = tmp_path / "journal", tmp_path / "history.db"
    directory.mkdir()
    journal = make_journal(directory)
    journal.close()
    arguments = [str(directory), "1", "--kept-attempts", "20", "--history", str(path)]
    before = list(replayed(directory).dump())

    done = subprocess.run([sys.executable, "-c", KILLED, step, *arguments], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()

    assert list(replayed(directory).dump()) == before, "the journal has lost nothing"
    if path.exists():
        with Store.open(path) as history:
            [(stored,)] = history.database.execute("SELECT count(*) FROM jobs").fetchall()
            assert stored in (0, JOBS)
            assert query.archived_upto(history.database) == stored

    again = archivist.main(arguments)
    said = capsys.readouterr()
    if step == STEPS[-1]:  # the snapshot stands already
        assert again == 1 and "cannot be compacted" in said.err
    else:
        assert (again, json.loads(said.out)["archived"]["upto"]) == (0, JOBS)
    with Store.open(path) as history:
        [tally] = query.stats(history.database, Stats([])).values()
        assert (tally.submitted, tally.states) == (JOBS, {"cancelled": JOBS}), "nothing is counted twice"
        assert history.database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert query.archived_upto(history.database) == JOBS
    assert list(replayed(directory).dump()) == before


def test_snapshot_is_made_though_the_history_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory, path = tmp_path / "journal", tmp_path / "history.db"
    directory.mkdir()
    make_journal(directory).close()
    path.mkdir()
    assert archivist.main([str(directory), "1", "--kept-attempts", "20", "--history", str(path)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["archived"]["upto"] is None
    assert "unable to open" in said["archived"]["trouble"]
    assert len(replayed(directory).finished) == JOBS
    assert (directory / "0000000001.snapshot").exists()


def test_snapshot_is_made_though_a_job_cannot_be_stored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def odd(*_: object) -> str:
        raise ValueError("odd")

    directory, path = tmp_path / "journal", tmp_path / "history.db"
    directory.mkdir()
    make_journal(directory).close()
    monkeypatch.setattr("jobyard.supervisor.history.text.arguments", odd)
    assert archivist.main([str(directory), "1", "--kept-attempts", "20", "--history", str(path)]) == 0
    told = json.loads(capsys.readouterr().out)["archived"]
    assert (told["upto"], told["trouble"]) == (None, "a fault in jobyard: ValueError: odd")
    assert (directory / "0000000001.snapshot").exists()
    with Store.open(path) as history:
        assert history.database.execute("SELECT count(*) FROM jobs").fetchall() == [(0,)]


def test_jobs_are_stored_though_output_of_older_ones_cannot_be_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory, path, output = tmp_path / "journal", tmp_path / "history.db", tmp_path / "output"
    directory.mkdir()
    make_journal(directory).close()
    with Store.open(path) as history:
        history.archive([finished(1, finished_at=1e9)], 0, 0)
    output.mkdir()
    (output / "0").write_text("no directory")
    arguments = [str(directory), "1", "--kept-attempts", "20", "--history", str(path), "--output", str(output)]
    assert archivist.main([*arguments, "--retention", "1"]) == 0
    told = json.loads(capsys.readouterr().out)["archived"]
    assert (told["upto"], told["trouble"], told["expired"]) == (JOBS, None, 1)
    assert "Not a directory" in told["left_behind"]


def test_damaged_history_is_kept_aside_and_a_new_one_begun(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory, path = tmp_path / "journal", tmp_path / "history.db"
    directory.mkdir()
    make_journal(directory).close()
    path.write_bytes(b"rubbish" * 1000)
    assert archivist.main([str(directory), "1", "--kept-attempts", "20", "--history", str(path)]) == 0
    said = json.loads(capsys.readouterr().out)["archived"]
    assert (said["upto"], said["stored"], said["trouble"]) == (JOBS, JOBS, None)
    assert "history-damaged-1.db" in said["aside"]
    assert (tmp_path / "history-damaged-1.db").read_bytes() == b"rubbish" * 1000


def test_archivist_ends_with_its_supervisor(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jobyard.supervisor.archivist", str(tmp_path), "1", "--kept-attempts", "20"]
    done = subprocess.run([*command, "--parent", "1"], capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"")
    assert Disk().list(tmp_path) == []
