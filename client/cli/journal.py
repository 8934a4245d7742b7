"""The journal verbs: they run the journal's own program, since jobctl knows nothing of its files."""

from __future__ import annotations

import subprocess
import sys

from .context import Context


def run(verb: str, context: Context) -> int:
    """Run ``verb`` on the state directory of the config; gives the program's exit code."""
    context.out.flush()
    command = [sys.executable, "-P", "-m", "jobyard.supervisor.journal", verb, str(context.paths.state_dir)]
    return subprocess.run(command, check=False).returncode
