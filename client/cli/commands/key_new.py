"""``jobctl key new``."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ....conf import keys
from ....conf.paths import secure_directory
from ....protocol.errors import BadArguments
from ... import address
from .. import documents, exits
from ..context import Context

if TYPE_CHECKING:
    from .. import shapes_keys as shapes

_EXAMPLES = """The file holds a secret: whoever can read it may submit and read jobs as NAME. Give it to its user with
mode 0600, and keep no copy. A supervisor that runs knows the key at once.

examples:
  jobctl key new web
  jobctl key new web --out /srv/web/jobs.key"""


_HOST_NAME = re.compile(r"[\w.-]+", re.ASCII)


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options] NAME"
    parser.add_argument("name", metavar="NAME", help="whose it is to be: letters, digits and . _ -")
    parser.add_argument("--out", metavar="FILE", help="where to write it; the name ends in .key (default: NAME.key)")
    parser.add_argument("--host", metavar="HOST", help="by which this machine is reached (default: [supervisor] host)")
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    name = keys.valid_name(args.name)
    file = context.cwd / (args.out or f"{name}{address.KEY_SUFFIX}")
    if not file.name.endswith(address.KEY_SUFFIX):
        raise BadArguments(f"--out {args.out}: the name of a key file ends in .key", hint=f"--out {args.out}.key")
    if args.host is not None and not _is_host(args.host):
        raise BadArguments(f"--host {args.host!r} is no host", hint="give a name or an address, such as 10.0.0.5")
    if os.path.lexists(file):
        raise _taken(file)
    new = _make(context, name, file, args.host)
    if args.output == "json":
        body: shapes.NewKey = {
            "name": name,
            "public_key": new.public_key,
            "address": new.address,
            "file": str(file),
        }
        context.out.document(documents.NEW_KEY, body)
    else:
        context.out.line(f"{name}: {file}")
        context.out.say(f'it is used so: Client(socket="{file}")')
    if not context.paths.tcp:
        context.out.say('warning: it is of no use before the config has transport = "tcp" under [supervisor]')
    return exits.OK


def _make(context: Context, name: str, file: Path, host: str | None) -> keys.KeyFile:
    settings, places = context.loaded.settings, context.paths
    secure_directory(places.state_dir)
    server = keys.server_key(places.keys_dir, settings.supervisor.host)
    endpoint = keys.endpoint(host or settings.supervisor.host, settings.supervisor.port or server.port)
    new = keys.KeyFile(name, endpoint, server.public_key, *keys.make_pair())
    keys.grant(places.keys_dir, keys.mark_of(new.public_key), name, new.public_key, settings.limits.keys)
    try:
        keys.write(file, new, replace=False, setting="--out")
    except BaseException as error:
        keys.revoke(places.keys_dir, name)
        raise (_taken(file) if isinstance(error, FileExistsError) else error) from None
    return new


def _is_host(text: str) -> bool:
    if _HOST_NAME.fullmatch(text):
        return True
    import ipaddress  # few have an address with colons

    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def _taken(file: Path) -> BadArguments:
    return BadArguments(f"{file} is there already", hint="name another file with --out")
