"""``jobctl schema``."""

from __future__ import annotations

import argparse
import json

from ....protocol.options import nearest_hint
from .. import exits, schemas
from ..context import Context
from ..exits import UsageError

_EXAMPLES = """Without a name it lists them: documents, which say their schema in the key "schema", and lines: "job"
of -o jsonl, "error" of standard error.

examples:
  jobctl schema
  jobctl schema jobs
  jobctl schema jobctl.status/1 > status.schema.json"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options] [NAME]"
    parser.add_argument("name", metavar="NAME", nargs="?", help="jobs, status, error ...; jobctl schema lists them")
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    if args.name is None:
        for name in schemas.names():
            context.out.line(name)
        return exits.OK
    try:
        found = schemas.schema(args.name)
    except KeyError:
        hint = nearest_hint(args.name, schemas.names())
        raise UsageError(f"there is no schema {args.name!r}", hint=hint) from None
    context.out.block(json.dumps(found, indent=2))
    return exits.OK
