"""The journal verbs: they run the journal's own program, since jobctl knows nothing of its files."""

from __future__ import annotations

import json
import subprocess
import sys

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
