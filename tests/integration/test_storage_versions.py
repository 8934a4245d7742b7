"""Journals of each version, and one of very many jobs, and what a start makes of them: T14 and T18 of the plan."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import psutil
import pytest
import tiers
from jobyard.conf.settings import JournalSettings
from jobyard.supervisor.core.records import JOURNAL_VERSION
from jobyard.supervisor.journal import frames
from jobyard.supervisor.recovery import recover
from live import Yard, wait_for

GOLDEN = Path(__file__).parents[1] / "golden"
BATCH = 10_000


def segment_of(version: int, groups: list[Any], number: int = 1) -> bytes:
    """A segment as that version wrote it."""
    parts = [frames.encode(frames.SEGMENT, number, 7, frames.pack_number(number), version)]
    for group, records in enumerate(groups, number):
        payload = frames.pack_group(len(records), [msgpack.packb(record) for record in records])
        parts.append(frames.encode(frames.GROUP, group, 7, payload, version))
    return b"".join(parts)


def snapshot_of(version: int, chunks: list[Any]) -> bytes:
    """A snapshot of the first segment and group, as that version wrote it."""
    parts = [frames.encode(frames.SNAPSHOT, 1, 7, frames.pack_number(1), version)]
    parts += [frames.encode(frames.CHUNK, n, 7, msgpack.packb(chunk), version) for n, chunk in enumerate(chunks, 1)]
    return b"".join([*parts, frames.encode(frames.END, len(chunks), 7, version=version)])


def states_in(directory: Path) -> dict[int, str]:
    """Jobs by id that a supervisor finds there, with their states; the journal is as it leaves it."""
    found = recover(directory, JournalSettings(), 20)
    found.journal.close()
    return {job_id: job.state for job_id, job in found.state.jobs.items()}


@pytest.mark.tier("T18")
@pytest.mark.parametrize("version", range(1, JOURNAL_VERSION + 1))
def test_journal_of_each_version_is_recovered_from_records_and_from_a_snapshot(tmp_path: Path, version: int) -> None:
    golden = GOLDEN / f"records-v{version}"
    records = msgpack.unpackb((golden / "records.msgpack").read_bytes())
    chunks = msgpack.unpackb((golden / "snapshot.msgpack").read_bytes())
    for name in ("records", "snapshot"):
        (tmp_path / name).mkdir()
    (tmp_path / "records" / "0000000001.segment").write_bytes(segment_of(version, [[record] for record in records]))
    (tmp_path / "snapshot" / "0000000001.snapshot").write_bytes(snapshot_of(version, chunks))
    (tmp_path / "snapshot" / "0000000002.segment").write_bytes(segment_of(version, [], number=2))
    first = [states_in(tmp_path / name) for name in ("records", "snapshot")]
    assert first[0] == first[1] and len(first[0]) >= 4
    assert [states_in(tmp_path / name) for name in ("records", "snapshot")] == first, "as this version has left it"
    tiers.report("T18", f"journal of version {version}", jobs=len(first[0]), lost=0)


@pytest.mark.tier("T18")
def test_journal_of_a_newer_version_is_refused_by_a_start_in_one_clear_line(make_yard: Callable[..., Yard]) -> None:
    yard = make_yard(start=False)
    journal = yard.path(".jobyard") / "journal"
    journal.mkdir(parents=True, mode=0o700)
    yard.path(".jobyard").chmod(0o700)
    content = segment_of(JOURNAL_VERSION + 1, [[[99, "of the future"]]])
    (journal / "0000000001.segment").write_bytes(content)
    said = yard.start()
    assert yard.process is not None and yard.process.wait(10) == 6
    expected = f"newer jobyard: journal version {JOURNAL_VERSION + 1}, this one reads up to {JOURNAL_VERSION}"
    assert expected in said["error"]["message"]
    assert said["error"]["hint"] == "start the newer version again"
    assert (journal / "0000000001.segment").read_bytes() == content
    assert "Traceback" not in yard.log


@pytest.mark.tier("T14")
@pytest.mark.timeout(tiers.size(120, 1_800, 7_200))
def test_start_with_very_many_queued_jobs_has_them_all(make_yard: Callable[..., Yard]) -> None:
    count = tiers.size(20_000, 1_000_000, 5_000_000)
    limits = f"[limits]\nunfinished_jobs = {count}\nunfinished_bytes = '16GiB'\n"
    yard = make_yard(f"[queues.default]\npaused = true\n{limits}")
    client = yard.client(timeout=600)
    process = psutil.Process(yard.pid)
    bare = process.memory_info().rss
    for first in range(0, count, BATCH):
        client.submit_many("jobs:add", [(number,) for number in range(first, min(first + BATCH, count))])
    rss = process.memory_info().rss - bare
    yard.kill()
    began = time.monotonic()
    said = yard.start()
    took = time.monotonic() - began
    assert "pid" in said, said
    client = yard.client(timeout=600)
    assert wait_for("the counts", lambda: client.status().counts)["queued"] == count
    assert client.get(count).info().args == (count - 1,)
    tiers.report(
        "T14", "restart with queued jobs", jobs=count, restart_s=round(took, 2), rss_bytes_per_job=rss // count
    )
