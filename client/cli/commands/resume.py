"""``jobctl resume``."""

from __future__ import annotations

import argparse

from .. import queues
from ..context import Context


def add(parser: argparse.ArgumentParser) -> None:
    queues.add(parser, "The queue accepts jobs and starts them again.", "  jobctl resume mail\n  jobctl resume")


def run(args: argparse.Namespace, context: Context) -> int:
    return queues.run(args, context, "open")
