"""Jobs as other runners show them in their documentation: classes with methods, and plain functions."""

from __future__ import annotations

import os
import time
from pathlib import Path

from jobyard import BaseJob, current_job


class ExampleJob:
    def handle(self, *words: str, message: str = "Hello") -> str:
        return " ".join([message, *words])


class SendWelcomeEmail:
    def handle(self, user_id: int) -> int:
        return user_id

    def erase(self) -> None:
        """Not for everybody."""

    def _secret(self) -> None:
        """For nobody."""


class ProcessUserReport:
    def generate(self, report_id: int) -> str:
        return f"generated {report_id}"

    def send(self, report_id: int) -> str:
        return f"sent {report_id}"


class SampleJob:
    def process(self, data: str, *more: str) -> dict[str, bool]:
        return {"processed": bool(data)}


class CompleteInvoiceJob(BaseJob):
    def complete(self, number: int) -> int:
        """Fails the first time."""
        self.log("starting invoice completion")
        if current_job().attempt == 1:
            raise RuntimeError("Sample ERROR")
        self.log(f"invoice completed: {number}")
        return number


def fail(message: str) -> None:
    raise ValueError(message)


def hold(path: str, seconds: float) -> int:
    """Say which process this is, and stay."""
    Path(path).write_text(str(os.getpid()))
    time.sleep(seconds)
    return os.getpid()


def process_ids(path: str) -> None:
    """Fail twice, and leave the number of each process."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")
    if current_job().attempt < 3:
        raise RuntimeError("again")
