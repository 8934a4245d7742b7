"""``jobctl journal compact``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ....protocol import messages
from ....protocol.errors import SupervisorUnavailable
from .. import documents, exits, journal
from ..context import FOREVER, Context
from ..render import counted, size

if TYPE_CHECKING:
    from .. import shapes

_EXAMPLES = """Moves finished jobs into the history and puts everything else into one new file, as happens by itself
when there is enough to gain. A supervisor that runs does it while it goes on; else it is done here.

Exit codes: 0 done; 2 something stored is damaged (see journal check); 3 it cannot be read or is in use, or
the disk refuses; 5 the supervisor refuses, since its disk does.

examples:
  jobctl journal compact"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    code, done = _compact(context)
    if done is None:
        return code
    if args.output == "json":
        body: shapes.Compacted = {
            "upto": done.upto,
            "before_bytes": done.before_bytes,
            "after_bytes": done.after_bytes,
            "archived": done.archived,
            "trouble": done.trouble,
        }
        context.out.document(documents.COMPACTED, body)
        return code
    moved = f"; {counted(done.archived, 'job')} went into the history" if done.archived else ""
    context.out.line(f"compacted: {size(done.before_bytes)} -> {size(done.after_bytes)}{moved}")
    if done.trouble is not None:
        context.out.say(f"warning: {done.trouble}")
    return code


def _compact(context: Context) -> tuple[int, messages.Compacted | None]:
    try:
        return exits.OK, context.request(messages.Compact(), timeout=FOREVER)
    except SupervisorUnavailable:
        return journal.compact(context)
