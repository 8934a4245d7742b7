"""``jobctl catalog``."""

from __future__ import annotations

import argparse

from ....protocol import messages
from .. import documents, exits, views
from ..context import Context

_EXAMPLES = """examples:
  jobctl catalog
  jobctl catalog report
  jobctl catalog --json"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options] [TEXT]"
    parser.add_argument("text", metavar="TEXT", nargs="?", default="", help="only what has this in its name or alias")
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    reply: messages.CatalogReply = context.request(messages.Catalog())
    text = args.text.lower()
    reply = messages.CatalogReply(
        [entry for entry in reply.entries if _matches(entry, text)],
        [problem for problem in reply.problems if text in problem.what.lower()],
    )
    if args.output == "json":
        context.out.document(documents.CATALOG, documents.catalog(reply))
        return exits.OK
    for entry in reply.entries:
        context.out.block(views.catalog_entry(entry))
    if not reply.entries and not (text and reply.problems):
        context.out.say(
            f"nothing matches {args.text!r}" if args.text else "nothing may be submitted: the config allows no callable"
        )
    if reply.problems:
        context.out.block("\nproblems:\n" + "\n".join(views.problem(item) for item in reply.problems))
    return exits.OK


def _matches(entry: messages.CatalogEntry, text: str) -> bool:
    return any(text in name.lower() for name in (entry.ref, *entry.aliases))
