"""Sample jobs, for ``jobctl demo`` and for trying things out: they pretend to work, and fail at random if asked to."""

from __future__ import annotations

import random

from .context import BaseJob, current_job


class SampleJob:
    """The least that a job class needs: a method."""

    def process(self, data: object = None) -> dict[str, bool]:
        """Do nothing with ``data`` and say that it is done."""
        return {"processed": True}


class SendEmail(BaseJob):
    """Sends no e-mail."""

    def send(
        self,
        email: str,
        subject: str = "",
        message: str = "",
        error_rate: float = 0.0,
        seed: int | None = None,
    ) -> str:
        """Pretend to send an e-mail; see ``CompleteInvoice.complete`` for how it fails."""
        self.log(f"Sending email to: {email}, Subject: {subject}")
        _fail_at_random(error_rate, seed)
        self.log(f"Email sent successfully to: {email}")
        return email


class CompleteInvoice(BaseJob):
    """Completes no invoice."""

    def complete(self, number: int, error_rate: float = 0.5, seed: int | None = None) -> int:
        """Pretend to complete an invoice.

        Args:
            error_rate: the part of attempts that fail: 0 for none, 1 for all.
            seed: with the same one the same attempts fail each time.
        """
        self.log("starting invoice completion")
        _fail_at_random(error_rate, seed)
        self.log(f"invoice completed: {number}")
        return number


def _fail_at_random(error_rate: float, seed: int | None) -> None:
    dice = random.Random() if seed is None else random.Random(f"{seed} {current_job().attempt}")
    if dice.random() < error_rate:
        raise RuntimeError("Sample ERROR")
