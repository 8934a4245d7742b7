"""Doing something to many jobs, in requests that take a bounded number each."""

from __future__ import annotations

from collections.abc import Callable

from ...protocol import messages
from ...protocol.errors import WrongState
from .context import Context


def ask(
    context: Context, ids: list[int], request: Callable[[list[int]], messages.SetJob | messages.Remove]
) -> tuple[list[int], list[int]]:
    """Send as many requests as it takes; ids of the jobs to which it was done, and of those in a wrong state.

    Raises:
        WrongState: it could be done to none of them.
    """
    done: list[int] = []
    others: list[int] = []
    refusal: WrongState | None = None
    for start in range(0, len(ids), messages.CHANGE_JOBS_MAX):
        part = ids[start : start + messages.CHANGE_JOBS_MAX]
        try:
            reply: messages.Changed | messages.Removed = context.request(request(part))
        except WrongState as error:
            refusal = refusal or error
            others += part
        else:
            done += reply.ids
            others += reply.others
    if refusal is not None and not done:
        raise refusal
    return done, others


def print_done(context: Context, schema: str, verb: str, done: list[int], others: list[int], why: str) -> None:
    """``verb`` is what was done, as a participle; ``why`` says what is the matter with the others."""
    out, form = context.out, context.args.output
    if form == "json":
        out.document(schema, {"ids": done, "others": others})
    elif form == "jsonl":
        for job_id in done:
            out.json_line({"id": job_id})
    elif form == "id":
        for job_id in done:
            out.line(str(job_id))
    elif done or others:
        out.line(f"{verb} {listed(done)}")
        if others:
            out.say(f"{why}: {listed(others)}")
    else:
        out.say("no such jobs")


def listed(ids: list[int]) -> str:
    shown = ", ".join(map(str, ids[:10]))
    return shown if len(ids) <= 10 else f"{shown} and {len(ids) - 10} more"
