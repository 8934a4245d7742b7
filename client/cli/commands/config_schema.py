"""``jobctl config schema``."""

from __future__ import annotations

import argparse
import json

from ....conf.json_schema import json_schema
from .. import exits
from ..context import Context

_EXAMPLES = """Editors that read JSON Schemas complete and check jobyard.toml with it. jobctl config check is the
judge of values.

examples:
  jobctl config schema > jobyard.schema.json"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options]"
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    context.out.block(json.dumps(json_schema(), indent=2))
    return exits.OK
