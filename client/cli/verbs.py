"""The verbs of jobctl: where each is and what it does, in one sentence. All that ``jobctl --help`` needs."""

from __future__ import annotations

from typing import NamedTuple


class Verb(NamedTuple):
    """``module`` is the file in ``commands/``; ``summary`` one sentence for the overview and the verb's own help."""

    module: str
    group: str
    summary: str


_SERVICE, _JOBS, _QUEUES, _CONFIG, _JOURNAL = "Start and stop", "Jobs", "Queues", "Config", "Journal"

VERBS: dict[str, Verb] = {
    "init": Verb("init", _SERVICE, "Write a jobyard.toml and a jobs.py to start from."),
    "up": Verb("up", _SERVICE, "Start the supervisor; with -d in the background."),
    "down": Verb("down", _SERVICE, "Stop the supervisor: running jobs end first, queued ones stay."),
    "reload": Verb("reload", _SERVICE, "Read the config and the job modules again; running jobs stay."),
    "status": Verb("status", _SERVICE, "Say what runs, what waits and what is wrong."),
    "ping": Verb("ping", _SERVICE, "Ask whether the supervisor answers."),
    "submit": Verb("submit", _JOBS, "Queue a job and print its id."),
    "run": Verb("run", _JOBS, "Queue a job, follow its output and exit as it ended."),
    "list": Verb("list", _JOBS, "List jobs, newest first."),
    "show": Verb("show", _JOBS, "Show everything that is known about jobs."),
    "logs": Verb("logs", _JOBS, "Print what a job wrote."),
    "events": Verb("events", _JOBS, "Tell what happens, as it happens."),
    "wait": Verb("wait", _JOBS, "Wait until jobs are finished."),
    "cancel": Verb("cancel", _JOBS, "Cancel jobs, running ones with all their processes."),
    "retry": Verb("retry", _JOBS, "Put finished jobs back into their queue."),
    "catalog": Verb("catalog", _JOBS, "List what may be submitted, and what is wrong with the rest."),
    "pause": Verb("pause", _QUEUES, "Start nothing more from a queue; it still accepts jobs."),
    "resume": Verb("resume", _QUEUES, "End a pause or a drain."),
    "drain": Verb("drain", _QUEUES, "Refuse new jobs and finish what is queued."),
    "config check": Verb("config_check", _CONFIG, "Check a config file and report every mistake in it."),
    "config show": Verb("config_show", _CONFIG, "Print the settings in force, with --origin where each comes from."),
    "journal check": Verb("journal_check", _JOURNAL, "Read the journal as a start would and report every damage."),
    "journal repair": Verb("journal_repair", _JOURNAL, "Make a damaged journal one that can be opened."),
    "journal dump": Verb("journal_dump", _JOURNAL, "Print every record as a line of JSON."),
}

DEFAULT = "status"
NOUNS = frozenset(name.split()[0] for name in VERBS if " " in name)


def overview() -> str:
    """All verbs by group, for ``jobctl --help``."""
    lines: list[str] = []
    group = ""
    for name, verb in VERBS.items():
        if verb.group != group:
            group = verb.group
            lines += ["", f"{group}:"]
        lines.append(f"  {name:<16}{verb.summary}")
    return "\n".join(lines[1:])
