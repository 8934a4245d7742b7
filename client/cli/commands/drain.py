"""``jobctl drain``."""

from __future__ import annotations

import argparse

from .. import queues
from ..context import Context


def add(parser: argparse.ArgumentParser) -> None:
    about = "Submits are refused until `jobctl resume`; what was accepted before still runs."
    queues.add(parser, about, "  jobctl drain mail\n  jobctl drain && jobctl wait --all; jobctl down")


def run(args: argparse.Namespace, context: Context) -> int:
    return queues.run(args, context, "draining")
