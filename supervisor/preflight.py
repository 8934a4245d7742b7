"""What a start would find wrong with pools and code: ``python -m jobyard.supervisor.preflight``, for ``jobctl doctor``.

Builds every pool's catalogue as a supervisor does, in throw-away processes, and tells it as one line of JSON. Starts no
supervisor and no zygote, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
from pathlib import Path
from typing import Any

from ..conf.catalog import Built
from ..conf.loader import load
from ..conf.paths import paths_for
from ..protocol.errors import JobyardError
from . import clock
from .catalog_build import CatalogBuild
from .pools import pool_spec


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 whatever was found; 2 if the config cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m jobyard.supervisor.preflight")
    parser.add_argument("--config", required=True)
    parser.add_argument("--env")
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args(arguments)
    try:
        loaded = load(Path(options.config), environ=os.environ, env_name=options.env, overrides=options.set)
        paths = paths_for(loaded.settings, os.environ)
    except JobyardError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    found = []
    for name in sorted(loaded.settings.pools):
        try:
            spec = pool_spec(loaded.settings, paths, name)
        except JobyardError as error:
            found.append({"pool": name, "entries": 0, "problems": [{"what": f"pool {name}", "why": error.message}]})
        else:
            found.append(_plain(_built(CatalogBuild(spec))))
    print(json.dumps(found))
    return 0


def _built(build: CatalogBuild) -> Built:
    poll = select.poll()
    poll.register(build.fileno(), select.POLLIN)
    while (found := build.poll()) is None:
        poll.poll(max(0.0, build.deadline - clock.now().boot) * 1000)
    return found


def _plain(built: Built) -> dict[str, Any]:
    problems = [{"what": one.what, "why": one.why} for one in built.problems]
    return {"pool": built.pool, "entries": len(built.entries), "problems": problems}


if __name__ == "__main__":
    sys.exit(main())
