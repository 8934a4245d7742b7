"""``jobctl stats``."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from ....protocol import messages
from ....protocol.history import Times
from ... import stats
from ...stats import Figures
from .. import documents, exits, selection
from ..context import Context
from ..parsing import add_filters
from ..render import Column, brief, size

if TYPE_CHECKING:
    from .. import shapes_figures as shapes

_EXAMPLES = """Times are p50/p95/max: half of the attempts took no longer than the first, 95 in 100 no longer
than the second. WAIT is from being due to starting, RUN from start to end. OK is the part of the
jobs that succeeded; cancelled ones do not count. PEAK is the most memory that an attempt held.
Figures by queue, function and time are kept by the hour, for as long as the history says: jobs that
ended since the beginning of the hour of --since, also those that have left the history, and those
that have not ended. Their times are right to within 5 %. With any other filter each job is looked
at, and --since means those that were submitted since then, to the second.

examples:
  jobctl stats
  jobctl stats --since 1h --queue mail
  jobctl stats --job app.reports:build --json"""
_COLUMNS = (
    Column("JOBS", right=True),
    Column("OK", right=True),
    Column("WAIT", right=True),
    Column("RUN", right=True),
    Column("CPU", right=True),
    Column("PEAK", right=True),
)


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    add_filters(parser, "every job, as without filters")
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    chosen = selection.filters(args, context.now()) or messages.Filter()
    questions = stats.questions(chosen)
    if questions:
        found = stats.combined([context.request(question) for question in questions])
    else:
        found = stats.summarise(selection.pages(context, chosen))
    out = context.out
    if args.output == "json":
        body = {**dataclasses.asdict(found), "incomplete": context.incomplete}
        out.document(documents.STATS, cast("shapes.Stats", body))
    elif not found.total.jobs:
        out.say("no jobs")
    else:
        out.table((*_COLUMNS, Column("FUNCTION")), _rows([*found.jobs, found.total]))
        out.line()
        out.table((*_COLUMNS, Column("QUEUE")), _rows(found.queues))
    return exits.OK


def _rows(figures: Sequence[Figures]) -> list[list[str]]:
    return [
        [
            f"{one.jobs:,}",
            "-" if one.success_rate is None else f"{100 * one.success_rate:.4g}%",
            _spread(one.wait),
            _spread(one.run),
            brief(one.cpu_s),
            size(one.peak_rss_bytes),
            one.name or "(all)",
        ]
        for one in figures
    ]


def _spread(times: Times) -> str:
    return "/".join(brief(seconds) for seconds in (times.p50_s, times.p95_s, times.max_s)) if times.count else "-"
