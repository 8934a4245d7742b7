"""The screen of ``jobctl top``, drawn with rich. Imported only when one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from . import look, views
from .render import Column, Output, clean

_ROWS_MIN = 3  # of running jobs, however small the screen


def console_for(out: Output) -> Console:
    return Console(file=out.stdout, force_terminal=True, no_color=not out.color, highlight=False)


def picture(seen: look.Look, height: int, absent: str) -> RenderableType:
    """What fits into ``height`` lines; ``absent`` says why it is not of now."""
    status = seen.status
    head = look.heading(seen).splitlines()
    room = height - len(head) - len(status.queues) - len(status.pools) - 7
    jobs = seen.jobs[: max(_ROWS_MIN, room)]
    unseen = len(seen.jobs) - len(jobs)
    parts: list[RenderableType] = [Text(head[0], style="bold"), *map(_line, head[1:])]
    if absent:
        parts.append(Text(clean(f"as it was: {absent}"), style="bold red", no_wrap=True, overflow="ellipsis"))
    parts += [Text(), _table(look.COLUMNS, [look.row(job, seen.at) for job in jobs])]
    if unseen or seen.more:
        parts.append(Text(f"and {unseen}{' or more' if seen.more else ''} that run for a shorter time"))
    parts += [Text(), _table(views.QUEUE_COLUMNS, [views.queue_row(queue) for queue in status.queues])]
    parts += [Text(), _table(views.POOL_COLUMNS, [views.pool_row(pool) for pool in status.pools])]
    return Group(*parts)


def _line(text: str) -> Text:
    return Text(text, style="yellow" if text.startswith("warning") else "", no_wrap=True, overflow="ellipsis")


def _table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Table:
    """One line per row, whatever the width: the last column is cut, then the others."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        side: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(column.title, justify=side, no_wrap=True, overflow="ellipsis")
    for row in rows:
        cells = [
            Text(clean(cell), style=column.styles.get(cell, "")) for cell, column in zip(row, columns, strict=True)
        ]
        table.add_row(*cells)
    return table
