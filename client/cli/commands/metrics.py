"""``jobctl metrics``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ....protocol import messages
from .. import documents, exits, metrics
from ..context import Context

if TYPE_CHECKING:
    from .. import shapes_figures as shapes

_EXAMPLES = """The Prometheus text format, version 0.0.4. Counters begin at zero when the supervisor starts.

examples:
  jobctl metrics
  jobctl metrics > jobyard.prom.new && mv jobyard.prom.new jobyard.prom"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    found = metrics.families(context.request(messages.Status()), context.request(messages.Counters()))
    if args.output == "json":
        body: shapes.Metrics = {"families": found}
        context.out.document(documents.METRICS, body)
    else:
        context.out.block(metrics.text(found).rstrip("\n"))
    return exits.OK
