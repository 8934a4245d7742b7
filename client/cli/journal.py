"""The journal verbs: they run the journal's own programs, since jobctl knows nothing of its files."""

from __future__ import annotations

import json
import subprocess
import sys

from ...protocol import schema
from ...protocol.messages import Compacted
from . import documents
from .context import Context


def run(verb: str, context: Context) -> int:
    """Run ``verb`` on the state directory of the config; gives the program's exit code."""
    context.out.flush()
    command = [sys.executable, "-P", "-m", "jobyard.supervisor.journal", verb, str(context.paths.state_dir)]
    if context.args.output != "json" or verb == "dump":  # a dump is lines of JSON in any case
        return subprocess.run(command, check=False).returncode
    ended = subprocess.run([*command, "--json"], stdout=subprocess.PIPE, check=False)
    if ended.stdout:
        context.out.document(documents.JOURNAL, json.loads(ended.stdout))
    return ended.returncode


def compact(context: Context) -> tuple[int, Compacted | None]:
    """Compact the journal of the config while no supervisor has it: the program's exit code, and what was done."""
    settings, paths = context.loaded.settings, context.paths
    command = [sys.executable, "-P", "-m", "jobyard.supervisor.offline_compaction", str(paths.state_dir)]
    command += ["--kept-attempts", str(settings.limits.kept_attempts), "--history", str(paths.history)]
    command += ["--output", str(paths.output_dir)]
    if settings.history.retention is not None:
        command += ["--retention", str(settings.history.retention)]
    if context.args.output == "json":
        command += ["--json"]
    ended = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    done: Compacted | None = schema.from_wire(Compacted, json.loads(ended.stdout)) if ended.returncode == 0 else None
    return ended.returncode, done
