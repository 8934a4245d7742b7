"""``jobctl key revoke``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ....conf import keys
from ....protocol.errors import BadArguments
from ....protocol.options import nearest_hint
from .. import documents, exits
from ..context import Context

if TYPE_CHECKING:
    from .. import shapes_keys as shapes

_EXAMPLES = """Nothing that comes with this key is answered any more, also over connections that are there.

examples:
  jobctl key revoke web"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options] NAME..."
    parser.add_argument("names", metavar="NAME", nargs="+", help="whose key it is")
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    directory = context.paths.keys_dir
    known = {one.name for one in keys.grants(directory)}
    for name in args.names:
        if name not in known:
            raise BadArguments(f"there is no key {name!r}", hint=nearest_hint(name, known) or "jobctl key list")
    for name in args.names:
        keys.revoke(directory, name)
    if args.output == "json":
        body: shapes.Revoked = {"names": args.names}
        context.out.document(documents.REVOKED, body)
    else:
        context.out.line(f"revoked: {', '.join(args.names)}")
    return exits.OK
