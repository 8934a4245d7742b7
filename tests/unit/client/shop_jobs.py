"""Jobs that the tests of jobyard.testing run."""

from __future__ import annotations

import asyncio
import logging
import sys

from jobyard import Client, GiveUp, RetryLater, current_job, task
from jobyard.client.default import default_client

log = logging.getLogger("shop")
sent: list[str] = []
moods: list[int] = []


def add(a, b=0):
    return a + b


def echo(*args, **kwargs):
    return [args, kwargs]


async def add_slowly(a, b):
    came_round = asyncio.Event()
    asyncio.get_running_loop().call_soon(came_round.set)
    await came_round.wait()
    assert current_job().attempt == 1
    return a + b


def talk(word):
    print(f"out {word}")
    print(f"err {word}", file=sys.stderr)
    log.info("logged %s", word)
    log.debug("not kept")
    job = current_job()
    job.log("told\ntwice", "warning")
    job.progress(1, 2, "half")
    for _ in job.track([1, 2]):
        job.heartbeat()
    sys.stdout.write("no end")


def who():
    job = current_job()
    (job.scratch / "note").write_text("x")
    return {"id": job.id, "attempt": job.attempt, "max": job.max_attempts, "tags": job.tags, "ref": job.meta["ref"]}


def moody(good_from):
    moods.append(current_job().attempt)
    if current_job().attempt < good_from:
        raise ValueError(f"not in attempt {current_job().attempt}")
    return "fine"


def later(count=False):
    raise RetryLater(30, count=count)


def hopeless():
    raise GiveUp("no use")


def leaves():
    sys.exit(3)


def unsendable():
    return object()


def patient():
    for _ in range(3):
        current_job().check_cancelled()
    return current_job().is_cancelled()


@task(queue="mail", retries=0)
def mail(to):
    sent.append(to)
    return to


def parent():
    child = default_client().submit("shop_jobs:add", 1, 2)
    return child.id, child.result()


def after_others():
    return current_job().parents


def _secret():
    return "secret"


class Greeter:
    def greet(self, name):
        return f"hello {name}"


client = Client()
