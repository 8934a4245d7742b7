"""``from jobyard.testing import ...``: helpers for tests; not imported by ``jobyard`` itself."""

from jobyard.client.default import set_default_client
from jobyard.client.testing.attempt import JobRun, run_attempt, run_job
from jobyard.client.testing.inline import InlineClient
from jobyard.client.testing.recording import Recorded, RecordingClient

__all__ = [
    "InlineClient",
    "JobRun",
    "Recorded",
    "RecordingClient",
    "run_attempt",
    "run_job",
    "set_default_client",
]
