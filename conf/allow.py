"""Which patterns of references a pool allows, put together from all the places of the config that may say so."""

from __future__ import annotations

from .settings import JobSettings, Settings


def pool_allows(settings: Settings, name: str) -> list[str]:
    """The patterns that this pool allows: those at the top of the file, its own, and its aliases' references."""
    found = [*settings.allow, *settings.pools[name].allow]
    for job in settings.jobs.values():
        queue = job.options.get("queue", settings.defaults["queue"])
        if settings.queues[queue].pool == name:
            found += alias_refs(job)
    return list(dict.fromkeys(found))


def alias_refs(job: JobSettings) -> list[str]:
    """What an alias allows: its target, or the methods of it; ``Class.*`` is a pattern."""
    return [f"{job.target}.{method}" for method in job.methods] or [job.target]
