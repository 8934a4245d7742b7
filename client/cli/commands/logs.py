"""``jobctl logs``."""

from __future__ import annotations

import argparse

from ....protocol import messages
from ....protocol.errors import OutcomeUnknown, SupervisorUnavailable
from .. import documents, exits, follow, selection
from ..context import Context
from ..exits import UsageError

_EXAMPLES = """Control characters in the output are made visible, because they could forge lines or drive
the terminal; --raw prints the exact bytes.

examples:
  jobctl logs 42
  jobctl logs -f last
  jobctl logs 42 --attempt 1 --stream stderr
  jobctl logs 42 --raw > output.bin"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options] ID"
    parser.add_argument("id", metavar="ID", help="42 or last")
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on with what is written until the job is finished"
    )
    parser.add_argument("--attempt", metavar="N", type=int, help="of this attempt only (default: the last)")
    parser.add_argument("--stream", choices=follow.STREAMS, help="only this one")
    parser.add_argument("--raw", action="store_true", help="the exact bytes")
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    if args.attempt is not None and args.attempt < 1:
        raise UsageError(f"--attempt {args.attempt}: attempts are numbered from 1")
    found = selection.ids(context, [args.id])
    if len(found) != 1:
        raise UsageError(f"{args.id!r} names {len(found)} jobs", hint="logs shows one job")
    job_id = found[0]
    if args.output == "json":
        return _as_json(args, context, job_id)
    printer = follow.Printer(context.out, raw=args.raw, stream=args.stream)
    if args.follow:
        return _follow(args, context, job_id, printer)
    reply = follow.read(context, job_id, args.attempt, printer)
    follow.say_dropped(context, reply)
    return exits.OK


def _follow(args: argparse.Namespace, context: Context, job_id: int, printer: follow.Printer) -> int:
    try:
        if args.attempt is not None:
            follow.read(context, job_id, args.attempt, printer, wait=True)
        else:
            follow.until_finished(context, job_id, printer, first=max(1, follow.job(context, job_id).attempt))
    except (SupervisorUnavailable, OutcomeUnknown) as error:
        raise exits.Stopped(f"the supervisor stopped: {error.message}", hint="jobctl up") from None
    return exits.OK


def _as_json(args: argparse.Namespace, context: Context, job_id: int) -> int:
    chunks: list[messages.LogChunk] = []
    reply = follow.read(context, job_id, args.attempt, chunks.append, wait=args.follow)
    body = {
        "id": job_id,
        "attempt": reply.attempt,
        "path": reply.path,
        "ended": reply.ended,
        "dropped_bytes": reply.dropped_bytes,
        "unwritten_bytes": reply.unwritten_bytes,
        "unwritten_why": reply.unwritten_why,
        "chunks": [
            {
                "at": documents.time(chunk.at),
                "stream": chunk.stream,
                "offset_bytes": chunk.offset,
                "text": chunk.data.decode("utf-8", "backslashreplace"),
            }
            for chunk in chunks
            if args.stream in (None, chunk.stream)
        ],
    }
    context.out.document(documents.LOGS, body)
    return exits.OK
