"""``jobctl pause``."""

from __future__ import annotations

import argparse

from .. import queues
from ..context import Context


def add(parser: argparse.ArgumentParser) -> None:
    queues.add(parser, "Running jobs go on. The pause outlasts a restart.", "  jobctl pause mail\n  jobctl pause")


def run(args: argparse.Namespace, context: Context) -> int:
    return queues.run(args, context, "paused")
