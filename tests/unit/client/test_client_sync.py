"""The client over a real socket: what travels, and what happens when it does not."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from jobyard.client.sync import Client
from jobyard.protocol import messages
from jobyard.protocol.errors import (
    BadArguments,
    NotAllowed,
    OutcomeUnknown,
    ProtocolError,
    SupervisorUnavailable,
    TooLarge,
    WaitTimeout,
)

from fake_supervisor import FakeSupervisor, make_info


def test_submit_sends_reference_arguments_and_options_and_returns_a_handle(client: Client, supervisor: FakeSupervisor) -> None:
    job = client.options(queue="mail", delay="15m").submit("app.mail:send", "a@x", subject="hi")
    (request,) = supervisor.requests
    (sent,) = request.jobs
    assert (job.id, job.uid, job.existing) == (1, sent.uid, False)
    assert (sent.ref, sent.arg_count, sent.kwarg_names, sent.resent) == ("app.mail:send", 1, ["subject"], False)
    assert sent.options == {"queue": "mail", "delay": 900.0}
    assert job and repr(job) == "<Job 1>" and job == client.submit("app:f").__class__(client, 1, "x")
