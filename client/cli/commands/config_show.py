"""``jobctl config show``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ....conf.show import values
from .. import documents, exits
from ..context import Context
from ..render import Column

_EXAMPLES = """examples:
  jobctl config show
  jobctl config show --origin --env production"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    parser.add_argument("--origin", action="store_true", help="say where each value comes from")
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    loaded = context.loaded
    settings = values(loaded.settings)
    if args.output == "json":
        body = {"file": str(loaded.settings.file), "settings": documents.plain(settings), "origins": loaded.origins}
        context.out.document(documents.CONFIG, body)
    elif args.origin:
        rows = [[key, _written(value), loaded.origins.get(key, "default")] for key, value in settings.items()]
        context.out.table((Column("KEY"), Column("VALUE"), Column("ORIGIN")), rows)
    else:
        for key, value in settings.items():
            context.out.line(f"{key} = {_written(value)}")
    return exits.OK


def _written(value: Any) -> str:
    """The value as a config file would have it."""
    return '"none"' if value is None else json.dumps(documents.plain(value), ensure_ascii=False)
