"""``jobctl demo``: a supervisor of its own in a temporary directory, one sample job, and its log.

Touches nothing of the user's: neither config nor supervisor.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ....protocol import messages
from ....protocol.codec import pack_arguments
from ....protocol.errors import SupervisorUnavailable, from_wire
from ....protocol.ids import new_uid
from ....protocol.options import LOG_FORMATS
from .. import exits
from ..context import FOREVER, Context
from ..joblist import print_jobs
from ..parsing import add_output

_CONFIG = """\
[defaults]
retry = { max_attempts = 4, delay = "1s" }

[jobs.Email]
target = "jobyard.client.samples:SendEmail"
methods = ["send"]

[jobs.Invoice]
target = "jobyard.client.samples:CompleteInvoice"
methods = ["complete"]
"""


class _Sample(NamedTuple):
    job: str
    method: str
    arguments: dict[str, Any]
    error_rate: float
    max_attempts: int


_EMAIL = {"email": "ann@example.org", "subject": "Hello", "message": "It works."}
SAMPLES = {
    "fail": _Sample("Invoice", "complete", {"number": 123}, 1.0, 2),
    "invoice": _Sample("Invoice", "complete", {"number": 123}, 0.5, 4),
    "success": _Sample("Email", "send", _EMAIL, 0.0, 4),
}
_EXAMPLES = """samples:
  fail      an invoice of which every attempt fails
  invoice   an invoice of which each attempt fails by a chance of one half
  success   an e-mail that is sent; with --error-rate not always at once

It runs in a temporary directory with a supervisor of its own; nothing is really sent. The log is on
stderr. Exit codes: as of jobctl run, so that fail gives 1.

examples:
  jobctl demo success
  jobctl demo invoice --seed 3
  jobctl demo success --error-rate 0.5 --log-format laravel"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options] SAMPLE"
    parser.add_argument("sample", metavar="SAMPLE", choices=SAMPLES, help="one of: " + ", ".join(SAMPLES))
    parser.add_argument("--seed", metavar="N", type=int, help="let the same attempts fail each time")
    parser.add_argument("--error-rate", metavar="P", type=_part, help="the part of attempts that fail, from 0 to 1")
    parser.add_argument("--log-format", choices=LOG_FORMATS, default="string", help="of the log (default: string)")
    add_output(parser)
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    sample = SAMPLES[args.sample]
    for number in (signal.SIGTERM, signal.SIGHUP):  # or the supervisor would be left behind
        signal.signal(number, signal.default_int_handler)
    with (
        tempfile.TemporaryDirectory(prefix="jobyard-demo-") as directory,
        _supervisor(Path(directory), args.log_format, context) as args.socket,
    ):
        accepted: messages.Submitted = context.request(messages.Submit([_submission(sample, args)]))
        reply: messages.Jobs = context.request(messages.Wait([accepted.jobs[0].id]), FOREVER)
        context.close()
    print_jobs(context, reply.jobs)
    return exits.for_jobs(reply.jobs)


def _submission(sample: _Sample, args: argparse.Namespace) -> messages.Submission:
    error_rate = sample.error_rate if args.error_rate is None else args.error_rate
    arguments = {**sample.arguments, "error_rate": error_rate, "seed": args.seed}
    return messages.Submission(
        uid=new_uid(),
        ref=sample.job,
        method=sample.method,
        payload=pack_arguments((), arguments),
        kwarg_names=list(arguments),
        options={"retry": {"max_attempts": sample.max_attempts}},
    )


@contextmanager
def _supervisor(directory: Path, log_format: str, context: Context) -> Iterator[str]:
    """The socket of a supervisor that ends with the block.

    Raises:
        JobyardError: it did not come up; says why.
    """
    config = directory / "jobyard.toml"
    config.write_text(_CONFIG)
    ours, theirs = os.pipe()
    command = [sys.executable, "-P", "-m", "jobyard.supervisor", "--config", str(config), "--ready-fd", str(theirs)]
    command += ["--set", f"logging.format={log_format}", *(["--quiet"] if context.out.for_programs else [])]
    environ = {name: value for name, value in context.environ.items() if not name.startswith("JOBYARD_")}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, pass_fds=[theirs], env=environ, cwd=directory, start_new_session=True
    ) as process:
        os.close(theirs)
        try:
            with open(ours, encoding="utf-8") as ready:
                said = json.loads(ready.readline() or "{}")
            if "error" in said:
                raise from_wire(said["error"])
            if not said:
                raise SupervisorUnavailable("the supervisor of the demo ended before it was ready")
            yield said["socket"]
        finally:
            process.terminate()
            process.wait()  # Popen itself waits only a moment after Ctrl-C


def _part(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return value
