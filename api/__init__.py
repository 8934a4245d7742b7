"""jobyard: background jobs you can really stop.

The public names load on first use: a job module's ``from jobyard import current_job`` must not pull in ZeroMQ, or every
job process would carry it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobyard.client.aio import AsyncClient
    from jobyard.client.aio_handle import AsyncJob
    from jobyard.client.context import BaseJob, current_job
    from jobyard.client.handle import Job, as_completed, wait
    from jobyard.client.helpers import Rejected, queue_background_job, run_background_job
    from jobyard.client.sync import Client
    from jobyard.client.task import task
    from jobyard.protocol.errors import (
        BadArguments,
        CancelRequested,
        DuplicateJob,
        GiveUp,
        HistoryUnavailable,
        InvalidConfig,
        JobCancelled,
        JobCrashed,
        JobFailed,
        JobLost,
        JobNotFound,
        JobOutcomeError,
        JobTimedOut,
        JobyardError,
        NoCurrentJob,
        NotAllowed,
        NotImportable,
        NotSerializable,
        OutcomeUnknown,
        ProtocolError,
        QueueDraining,
        QueueFull,
        RateLimited,
        RetryLater,
        SoftTimeout,
        StorageUnavailable,
        SupervisorUnavailable,
        TooDeep,
        TooLarge,
        Unauthorised,
        UnknownQueue,
        VersionMismatch,
        WaitTimeout,
        WrongState,
    )
    from jobyard.protocol.job import JobInfo, Retry

_ERRORS = (
    "BadArguments",
    "CancelRequested",
    "DuplicateJob",
    "GiveUp",
    "HistoryUnavailable",
    "InvalidConfig",
    "JobCancelled",
    "JobCrashed",
    "JobFailed",
    "JobLost",
    "JobNotFound",
    "JobOutcomeError",
    "JobTimedOut",
    "JobyardError",
    "NoCurrentJob",
    "NotAllowed",
    "NotImportable",
    "NotSerializable",
    "OutcomeUnknown",
    "ProtocolError",
    "QueueDraining",
    "QueueFull",
    "RateLimited",
    "RetryLater",
    "SoftTimeout",
    "StorageUnavailable",
    "SupervisorUnavailable",
    "TooDeep",
    "TooLarge",
    "Unauthorised",
    "UnknownQueue",
    "VersionMismatch",
    "WaitTimeout",
    "WrongState",
)

_HOME = {
    "AsyncClient": "client.aio",
    "AsyncJob": "client.aio_handle",
    "Client": "client.sync",
    "Job": "client.handle",
    "as_completed": "client.handle",
    "wait": "client.handle",
    "JobInfo": "protocol.job",
    "Retry": "protocol.job",
    "task": "client.task",
    "BaseJob": "client.context",
    "current_job": "client.context",
    "run_background_job": "client.helpers",
    "queue_background_job": "client.helpers",
    "Rejected": "client.helpers",
    **dict.fromkeys(_ERRORS, "protocol.errors"),
}

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "AsyncJob",
    "BadArguments",
    "BaseJob",
    "CancelRequested",
    "Client",
    "DuplicateJob",
    "GiveUp",
    "HistoryUnavailable",
    "InvalidConfig",
    "Job",
    "JobCancelled",
    "JobCrashed",
    "JobFailed",
    "JobInfo",
    "JobLost",
    "JobNotFound",
    "JobOutcomeError",
    "JobTimedOut",
    "JobyardError",
    "NoCurrentJob",
    "NotAllowed",
    "NotImportable",
    "NotSerializable",
    "OutcomeUnknown",
    "ProtocolError",
    "QueueDraining",
    "QueueFull",
    "RateLimited",
    "Rejected",
    "Retry",
    "RetryLater",
    "SoftTimeout",
    "StorageUnavailable",
    "SupervisorUnavailable",
    "TooDeep",
    "TooLarge",
    "Unauthorised",
    "UnknownQueue",
    "VersionMismatch",
    "WaitTimeout",
    "WrongState",
    "as_completed",
    "current_job",
    "queue_background_job",
    "run_background_job",
    "task",
    "wait",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'jobyard' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"jobyard.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
