"""The verbs of jobctl: where each is and what it does, in one sentence. All that ``jobctl --help`` needs."""

from __future__ import annotations

from typing import NamedTuple


class Verb(NamedTuple):
    """``module`` is the file in ``commands/``; ``summary`` one sentence for the overview and the verb's own help."""

    module: str
    group: str
    summary: str


_SERVICE, _JOBS, _QUEUES, _CONFIG, _JOURNAL = "Start and stop", "Jobs", "Queues and pools", "Config", "Journal"
_WATCH, _SHELL = "Watch and examine", "Scripts and shells"
_CODE = "Samples"

VERBS: dict[str, Verb] = {
    "init": Verb("init", _SERVICE, "Write a jobyard.toml and a jobs.py to start from."),
    "up": Verb("up", _SERVICE, "Start the supervisor; with -d in the background."),
    "process": Verb("process", _SERVICE, "Run the jobs that are due, then end; for cron."),
    "down": Verb("down", _SERVICE, "Stop the supervisor: running jobs end first, queued ones stay."),
    "restart": Verb("restart", _SERVICE, "Put a new supervisor in the place of this one; running jobs go on."),
    "reload": Verb("reload", _SERVICE, "Read the config and the job modules again; running jobs stay."),
    "status": Verb("status", _SERVICE, "Say what runs, what waits and what is wrong."),
    "log-format": Verb("log_format", _SERVICE, "Say or change what the lines of the supervisor's log look like."),
    "ping": Verb("ping", _SERVICE, "Ask whether the supervisor answers."),
    "submit": Verb("submit", _JOBS, "Queue a job and print its id."),
    "run-job": Verb("run_job", _JOBS, "As submit; with --csv for arguments with commas between them."),
    "run": Verb("run", _JOBS, "Queue a job, follow its output and exit as it ended."),
    "list": Verb("list", _JOBS, "List jobs, newest first."),
    "show": Verb("show", _JOBS, "Show everything that is known about jobs."),
    "logs": Verb("logs", _JOBS, "Print what a job wrote."),
    "events": Verb("events", _JOBS, "Tell what happens, as it happens."),
    "wait": Verb("wait", _JOBS, "Wait until jobs are finished."),
    "cancel": Verb("cancel", _JOBS, "Cancel jobs, running ones with all their processes."),
    "retry": Verb("retry", _JOBS, "Put finished jobs back into their queue."),
    "retries": Verb("retries", _JOBS, "List jobs that have failed, with their next attempt and last error."),
    "why": Verb("why", _JOBS, "Say why a job is in its state: what it waits for, or how it ended."),
    "set": Verb("set", _JOBS, "Change priority, queue, time or timeout of jobs that wait."),
    "rm": Verb("rm", _JOBS, "Remove jobs that have ended."),
    "prune": Verb("prune", _JOBS, "Forget jobs that ended long ago."),
    "catalog": Verb("catalog", _JOBS, "List what may be submitted, and what is wrong with the rest."),
    "pause": Verb("pause", _QUEUES, "Start nothing more from a queue; it still accepts jobs."),
    "resume": Verb("resume", _QUEUES, "End a pause or a drain."),
    "drain": Verb("drain", _QUEUES, "Refuse new jobs and finish what is queued."),
    "queue list": Verb("queue_list", _QUEUES, "List the queues with what runs and waits in each."),
    "queue show": Verb("queue_show", _QUEUES, "Show one queue and its unfinished jobs."),
    "queue set": Verb("queue_set", _QUEUES, "Set the mode of a queue: open, paused or draining."),
    "pool list": Verb("pool_list", _QUEUES, "List the pools with their zygotes."),
    "pool recycle": Verb("pool_recycle", _QUEUES, "Start a fresh zygote for one pool; running jobs stay."),
    "top": Verb("top", _WATCH, "Watch what runs, live."),
    "stats": Verb("stats", _WATCH, "Say how long jobs waited and ran, and how many succeeded."),
    "metrics": Verb("metrics", _WATCH, "Print figures for Prometheus."),
    "doctor": Verb("doctor", _WATCH, "Examine machine, config and supervisor, and say what to do."),
    "check": Verb("check", _WATCH, "Check that everything is in place: config check and doctor."),
    "selftest": Verb("selftest", _WATCH, "Run a few jobs of its own in a temporary supervisor."),
    "make-job": Verb("make_job", _CODE, "Write a job to start from, and register it in the config."),
    "demo": Verb("demo", _CODE, "Run a sample job in a directory of its own and show the log of it."),
    "config check": Verb("config_check", _CONFIG, "Check a config file and report every mistake in it."),
    "config show": Verb("config_show", _CONFIG, "Print the settings in force, with --origin where each comes from."),
    "config schema": Verb("config_schema", _CONFIG, "Print the JSON Schema of the config file, for editors."),
    "journal check": Verb("journal_check", _JOURNAL, "Read the journal as a start would and report every damage."),
    "journal repair": Verb("journal_repair", _JOURNAL, "Make a damaged journal one that can be opened."),
    "journal dump": Verb("journal_dump", _JOURNAL, "Print every record as a line of JSON."),
    "schema": Verb("schema", _SHELL, "Print the JSON Schema of what a verb prints with --json."),
    "completion": Verb("completion", _SHELL, "Print the completion script of a shell."),
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
