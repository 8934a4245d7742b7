"""``jobctl key list``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ....conf import keys
from .. import documents, exits
from ..context import Context
from ..render import Column

if TYPE_CHECKING:
    from .. import shapes_keys as shapes

_COLUMNS = (Column("NAME"), Column("SINCE"), Column("PUBLIC KEY"))
_EXAMPLES = """The supervisor makes a key for its own user at each start; that one is not listed.

examples:
  jobctl key list
  jobctl key list --json"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    found = keys.grants(context.paths.keys_dir)
    if args.output == "json":
        body: shapes.Keys = {
            "keys": [
                {"name": one.name, "public_key": one.public_key, "created_at": documents.time(one.created_at)}
                for one in found
            ]
        }
        context.out.document(documents.KEYS, body)
    elif found:
        context.out.table(
            _COLUMNS, [(one.name, (documents.time(one.created_at) or "")[:19] + "Z", one.public_key) for one in found]
        )
    else:
        context.out.say("no keys\ntry: jobctl key new NAME")
    return exits.OK
