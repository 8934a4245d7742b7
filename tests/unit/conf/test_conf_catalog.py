"""Names to entries, and refusals that say what to do; no process, no file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobyard.conf.catalog import Built, Catalog
from jobyard.conf.settings import JobSettings, PoolSettings, QueueSettings, Settings
from jobyard.protocol.errors import JobyardError, NotAllowed, UnknownQueue
from jobyard.protocol.job import RetryPolicy
from jobyard.protocol.messages import CatalogEntry, CatalogProblem

FILE = Path("/srv/jobyard.toml")


def entry(ref: str, pool: str = "default", **fields: Any) -> CatalogEntry:
    return CatalogEntry(ref=ref, pool=pool, parameters=[], **fields)


def catalog(*refs: str | CatalogEntry, problems: dict[str, str] | None = None, **sections: Any) -> Catalog:
    """A catalogue of one pool that allows everything in ``app`` and ``lib``."""
    settings = Settings(file=FILE, **{"allow": ("app:*", "lib:*", "app:Odd.*"), **sections})
    entries = [ref if isinstance(ref, CatalogEntry) else entry(ref) for ref in refs]
    found = [CatalogProblem(what, why, "default") for what, why in (problems or {}).items()]
    return Catalog(settings, [Built("default", entries, found)])


def refusal(subject: Catalog, ref: str, method: str | None = None) -> NotAllowed:
    with pytest.raises(NotAllowed) as caught:
        subject.resolve(ref, method)
    return caught.value


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ref", "method", "expected", "name"),
    [
        ("app.mail:send", None, "app.mail:send", "send"),
        ("app.mail:Mail.send", None, "app.mail:Mail.send", "Mail@send"),
        ("app.mail:Mail", "send", "app.mail:Mail.send", "Mail@send"),
        ("app.mail.Mail", "send", "app.mail:Mail.send", "Mail@send"),
        ("Email", None, "app.mail:Mail.send", "Email@send"),
        ("EMAIL", None, "app.mail:Mail.send", "Email@send"),
        ("Email", "send", "app.mail:Mail.send", "Email@send"),
        ("email.send", None, "app.mail:Mail.send", "Email@send"),
        ("Plain", None, "app.mail:send", "Plain"),
        ("Direct", None, "app.mail:Mail.send", "Direct@send"),
        ("Direct", "send", "app.mail:Mail.send", "Direct@send"),
        ("Any.check", None, "app.mail:Mail.check", "Any@check"),
        ("with.dot", None, "app.mail:Mail.send", "with.dot@send"),
        ("with.dot.send", None, "app.mail:Mail.send", "with.dot@send"),
    ],
)
def test_every_form_of_a_name_is_understood(ref: str, method: str | None, expected: str, name: str) -> None:
    subject = catalog(
        "app.mail:send",
        "app.mail:Mail.send",
        "app.mail:Mail.check",
        jobs={
            "Email": JobSettings(target="app.mail:Mail", methods=("send",)),
            "Plain": JobSettings(target="app.mail:send"),
            "Direct": JobSettings(target="app.mail:Mail.send"),
            "Any": JobSettings(target="app.mail:Mail", methods=("*",)),
            "with.dot": JobSettings(target="app.mail:Mail", methods=("send",)),
        },
    )
    resolved = subject.resolve(ref, method)
    assert (resolved.entry.ref, resolved.name) == (expected, name)


@pytest.mark.parametrize(
    ("ref", "method", "expected"),
    [
        ("build", None, "app.jobs:build"),
        ("reports.build", None, "app.jobs.reports:build"),
        ("reports:build", None, "app.jobs.reports:build"),
        ("Email.send", None, "app.jobs.email:EmailJob.send"),
        ("Email", "send", "app.jobs.email:EmailJob.send"),
        ("EmailJob", "send", "app.jobs.email:EmailJob.send"),
        ("email.Email", "send", "app.jobs.email:EmailJob.send"),
        ("Both.run", None, "app.jobs:Both.run"),
        ("helper", None, "lib:helper"),
    ],
)
def test_short_names_are_looked_up_below_the_namespaces(ref: str, method: str | None, expected: str) -> None:
    subject = catalog(
        "app.jobs:build",
        "app.jobs.reports:build",
        "app.jobs.email:EmailJob.send",
        "app.jobs:Both.run",
        "app.jobs:BothJob.run",
        "app.jobsother:hidden",
        "lib:helper",
        namespace=("app.jobs", "lib"),
    )
    if ref == "build":
        assert "may mean app.jobs.reports:build, app.jobs:build" in refusal(subject, ref).message
    else:
        assert subject.resolve(ref, method).entry.ref == expected
    assert "not allowed" in refusal(subject, "hidden").message


def test_name_that_stands_for_several_things_is_refused() -> None:
    subject = catalog("app:f", "lib:f", namespace=("app", "lib"))
    error = refusal(subject, "f")
    assert error.message == "'f' may mean app:f, lib:f"
    assert error.hint == "write it in full: app:f"


@pytest.mark.parametrize(
    ("ref", "method", "message", "hint"),
    [
        ("app:sned", None, "app:sned is allowed, but app has no public function 'sned'", "did you mean 'app:send'?"),
        ("os:system", None, "'os:system' is not allowed", "add it to allow in /srv/jobyard.toml"),
        ("ap:send", None, "'ap:send' is not allowed", "did you mean 'app:send'?"),
        ("Plian", None, "'Plian' is not allowed", "did you mean 'Plain'?"),
        ("Emial", None, "'Emial' is not allowed", "did you mean 'Email'?"),
        ("Email", "sned", "Email allows no method 'sned'", "did you mean 'send'?"),
        ("Email.zzz", None, "Email allows no method 'zzz'", "known: check, send"),
        ("Email", None, "Email allows several methods: check, send", "name one: Email.send"),
        ("Plain", "send", "Plain allows no method 'send'", "submit Plain without a method"),
        ("", None, "'' is not allowed", "jobctl catalog"),
        ("send", None, "'send' is not allowed", "did you mean 'app:send'?"),
        ("app:send:x", None, "'app:send:x' is not allowed", "jobctl catalog"),
        ("sned", None, "'sned' is not allowed", "did you mean 'app:send'?"),
        ("app.send", None, "'app.send' is not allowed", "did you mean 'app:send'?"),
        ("./app.py:send", None, "'./app.py:send' is not allowed", "did you mean 'app:send'?"),
        ("app:", None, "'app:' is not allowed", "jobctl catalog"),
        ("app\\Mail", "chekc", "'app\\\\Mail.chekc' is not allowed", "did you mean 'app:Mail.check'?"),
        ("app.Mail@check", None, "'app.Mail@check' is not allowed", "did you mean 'app:Mail.check'?"),
        ("app.Mail", "delete", "'app.Mail.delete' is not allowed", "known: check, send"),
        ("app", "other", "'app.other' is not allowed", "jobctl catalog"),
        (
            "app:essentials",
            None,
            "app:essentials is allowed, but app has no public function 'essentials'",
            "jobctl reload if it is new, or jobctl catalog",
        ),
        (
            "elsewhere.entirely:send",
            None,
            "'elsewhere.entirely:send' is not allowed",
            "add it to allow in /srv/jobyard.toml",
        ),
        (":", "", "':' is not allowed", "jobctl catalog"),
    ],
)
def test_name_that_is_not_known_is_refused_with_the_nearest(
    ref: str, method: str | None, message: str, hint: str
) -> None:
    subject = catalog(
        "app:send",
        "app:Mail.send",
        "app:Mail.check",
        jobs={
            "Email": JobSettings(target="app:Mail", methods=("send", "check")),
            "Plain": JobSettings(target="app:send"),
        },
    )
    error = refusal(subject, ref, method)
    assert (error.message, error.hint) == (message, hint)


@pytest.mark.parametrize(
    ("ref", "method"),
    [("app:_send", None), ("app:Mail._send", None), ("app:Mail", "_send"), ("_send", None), ("app._send", None)],
)
def test_private_name_is_refused_with_the_reason(ref: str, method: str | None) -> None:
    error = refusal(catalog("app:send", "app:Mail.send", namespace=("app",)), ref, method)
    name = f"{ref}.{method}" if method else ref
    assert error.message == f"{name!r} is not allowed: names that begin with _ are not offered"
    assert error.hint == ("add it to allow in /srv/jobyard.toml, by its full name" if ":" in name else "jobctl catalog")


def test_private_name_that_is_allowed_by_its_full_name_is_one_like_others() -> None:
    subject = catalog("app:_send", allow=("app:_send",))
    assert subject.resolve("app:_send").entry.ref == "app:_send"
    subject = catalog(problems={"app:_sned": "app has no '_sned'"}, allow=("app:_sned",))
    assert refusal(subject, "app:_sned").message == "app:_sned is allowed, but app has no '_sned'"


def test_name_without_end_is_cut_in_the_refusal() -> None:
    error = refusal(catalog("app:f"), "x" * 1_000_000)
    assert len(error.message) < 300


def test_job_whose_module_is_broken_says_what_is_wrong_with_it() -> None:
    broken = "app failed to import: ValueError: no (/srv/app.py:3)"
    subject = catalog(
        "lib:ok",
        problems={"app:*": broken, "app:Odd.*": broken, "lib:gen": "it is a generator"},
        jobs={"Email": JobSettings(target="app:send")},
        namespace=("app",),
    )
    why = "its module failed to import: ValueError: no (/srv/app.py:3)"
    assert refusal(subject, "app:send").message == f"app:send is allowed, but {why}"
    assert refusal(subject, "send").message == f"app:send is allowed, but {why}"
    assert refusal(subject, "app.Odd", "run").message.startswith("app:Odd.run is allowed, but")
    assert refusal(subject, "Email").message == f"Email is app:send, but {why}"
    assert refusal(subject, "lib:gen").message == "lib:gen is allowed, but it is a generator"
    assert refusal(subject, "lib:gen").hint == "jobctl reload, once that is mended"
    assert subject.resolve("lib:ok").entry.ref == "lib:ok"


def test_pool_without_a_catalogue_says_why() -> None:
    subject = catalog(problems={"pool default": "/usr/bin/python has no jobyard"})
    assert (
        "app:f is allowed, but the catalogue of its pool is missing: /usr/bin/python"
        in refusal(subject, "app:f").message
    )


@given(st.text(max_size=30), st.none() | st.text(max_size=10))
def test_no_text_is_answered_with_another_error(ref: str, method: str | None) -> None:
    subject = catalog("app:f", "app:C.m", jobs={"A": JobSettings(target="app:C", methods=("m",))}, namespace=("app",))
    try:
        found = subject.resolve(ref, method).entry.ref
    except NotAllowed:
        found = "app:f"
    assert found in ("app:f", "app:C.m")


def test_entries_know_their_aliases_and_are_sorted() -> None:
    subject = catalog(
        "app:z", "app:C.m", jobs={"B": JobSettings(target="app:C", methods=("*",)), "A": JobSettings(target="app:C.m")}
    )
    assert [(item.ref, item.aliases) for item in subject.entries] == [("app:C.m", ["B", "A"]), ("app:z", [])]


# -- options -----------------------------------------------------------------------------------------------------------


def test_precedence_is_call_then_alias_then_task_then_queue_then_defaults() -> None:
    places = ["defaults", "queue", "task", "alias", "call"]
    for last in range(len(places)):
        given = {name: {"timeout": float(index + 1)} for index, name in enumerate(places[: last + 1])}
        subject = catalog(
            entry("app:f", options=given.get("task", {})),
            defaults=Settings(file=FILE).defaults | given["defaults"],
            queues={"default": QueueSettings(options=given.get("queue", {}))},
            jobs={"A": JobSettings(target="app:f", options=given.get("alias", {}))},
        )
        settled = subject.settle(subject.resolve("A"), given.get("call", {}))
        assert settled.policy.timeout_s == last + 1


def test_retry_is_put_together_key_by_key() -> None:
    subject = catalog(
        entry("app:f", options={"retry": {"max_attempts": 9, "backoff": 2.0}}),
        queues={"default": QueueSettings(options={"retry": {"delay": [1.0, 2.0], "on": ["ValueError"]}})},
        jobs={"A": JobSettings(target="app:f", options={"retry": {"max_attempts": 7}})},
    )
    resolved = subject.resolve("A")
    expected = RetryPolicy(max_attempts=7, delays_s=(1.0, 2.0), backoff=2.0, on=("ValueError",))
    assert subject.settle(resolved, {}).policy.retry == expected
    assert subject.settle(resolved, {"retries": 1}).policy.retry == dataclasses.replace(expected, max_attempts=2)
    assert subject.settle(resolved, {"retry": {"delay": 3.0}}).policy.retry.delays_s == (3.0,)


def test_none_of_a_nearer_place_takes_a_limit_away() -> None:
    subject = catalog("app:f", queues={"default": QueueSettings(options={"timeout": 5.0, "expires": 60.0})})
    resolved = subject.resolve("app:f")
    assert subject.settle(resolved, {}).expires_s == 60.0
    settled = subject.settle(resolved, {"timeout": None, "expires": None})
    assert (settled.policy.timeout_s, settled.expires_s) == (None, None)


def test_options_of_the_alias_follow_the_target_whatever_name_was_used() -> None:
    subject = catalog(
        "app:C.m",
        namespace=("app",),
        jobs={
            "First": JobSettings(target="app:C", methods=("m",), options={"priority": 5}),
            "Second": JobSettings(target="app:C.m", options={"priority": 7}),
        },
    )
    for ref, expected in (("First", 5), ("Second", 7), ("app:C.m", 5), ("C.m", 5)):
        assert subject.settle(subject.resolve(ref), {}).priority == expected


def test_queue_is_chosen_before_its_options_count() -> None:
    queues = {
        "default": QueueSettings(options={"priority": 1}),
        "mail": QueueSettings(options={"priority": 2, "grace": 3.0}),
    }
    subject = catalog(entry("app:f", options={"queue": "mail"}), queues=queues)
    settled = subject.settle(subject.resolve("app:f"), {})
    assert (settled.queue, settled.priority, settled.policy.grace_s) == ("mail", 2, 3.0)
    assert subject.settle(subject.resolve("app:f"), {"queue": "default"}).priority == 1


def test_unknown_queue_is_refused_with_the_nearest() -> None:
    subject = catalog("app:f", queues={"default": QueueSettings(), "mail": QueueSettings()})
    with pytest.raises(UnknownQueue, match="the config declares no queue 'mial'") as caught:
        subject.settle(subject.resolve("app:f"), {"queue": "mial"})
    assert caught.value.hint == "did you mean 'mail'?"


@pytest.mark.parametrize(
    ("place", "told"), [({"file": "/srv/app.py", "line": 12}, " (/srv/app.py:12)"), ({}, "")], ids=["known", "unknown"]
)
def test_unknown_queue_that_a_task_names_is_refused_with_the_place_of_the_task(
    place: dict[str, Any], told: str
) -> None:
    queues = {"default": QueueSettings(), "mail": QueueSettings()}
    subject = catalog(entry("app:f", options={"queue": "mial"}, **place), queues=queues)
    with pytest.raises(UnknownQueue) as caught:
        subject.settle(subject.resolve("app:f"), {})
    assert caught.value.message == f"the @task of app:f{told} names the queue 'mial', which the config does not declare"
    assert caught.value.hint == "did you mean 'mail'?"
    with pytest.raises(UnknownQueue, match=r"^the config declares no queue 'main'"):
        subject.settle(subject.resolve("app:f"), {"queue": "main"})


def test_equal_policies_are_one_object() -> None:
    subject = catalog("app:f", "app:g")
    one, other = (subject.settle(subject.resolve(ref), {"timeout": 5.0}).policy for ref in ("app:f", "app:g"))
    assert one is other
    assert one is not subject.settle(subject.resolve("app:f"), {"timeout": 6.0}).policy


def test_options_that_are_no_policy_do_not_disturb() -> None:
    subject = catalog("app:f")
    resolved = subject.resolve("app:f")
    assert subject.settle(resolved, {"delay": 5.0, "key": "x", "tags": {}}) == subject.settle(resolved, {})


def test_bad_options_of_a_task_are_a_problem_and_count_for_nothing() -> None:
    subject = catalog(entry("app:f", options={"timeout": "never ever"}), entry("app:g", options={"queue": "gone"}))
    assert {problem.what: problem.why for problem in subject.problems} == {
        "app:f": "its @task has options it cannot have: option timeout: 'never ever' is not a duration",
        "app:g": "its @task names the queue 'gone', which is not declared (known: default)",
    }
    assert subject.settle(subject.resolve("app:f"), {}).policy.timeout_s is None
    assert subject.settle(subject.resolve("app:g"), {"queue": "default"}).queue == "default"


# -- pools -------------------------------------------------------------------------------------------------------------


def two_pools(**sections: Any) -> Catalog:
    settings = Settings(
        file=FILE,
        allow=("app:*",),
        pools={"default": PoolSettings(), "slow": PoolSettings(allow=("slow:*",))},
        queues={"default": QueueSettings(), "big": QueueSettings(pool="slow")},
        **sections,
    )
    shared = [
        Built("default", [entry("app:f")], []),
        Built("slow", [entry("app:f", "slow"), entry("slow:g", "slow")], []),
    ]
    return Catalog(settings, shared)


def test_entry_is_the_one_of_the_pool_where_the_job_runs() -> None:
    assert two_pools().resolve("app:f").entry.pool == "default"
    subject = two_pools(jobs={"A": JobSettings(target="app:f", options={"queue": "big"})})
    assert subject.resolve("A").entry.pool == "slow"
    assert subject.settle(subject.resolve("A"), {}).queue == "big"


def test_queue_whose_pool_does_not_have_the_job_is_refused() -> None:
    subject = two_pools()
    assert subject.settle(subject.resolve("slow:g"), {"queue": "big"}).queue == "big"
    with pytest.raises(
        NotAllowed, match="slow:g cannot run in queue 'default': its pool 'default' does not have it"
    ) as caught:
        subject.settle(subject.resolve("slow:g"), {})
    assert caught.value.hint == "add it to allow in [pools.default], or choose a queue of pool 'slow'"
    assert isinstance(caught.value, JobyardError)
