"""Which names are hidden: patterns, positions, aliases, and the quick look that spares most payloads the long one."""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobyard.conf import show
from jobyard.conf.loader import Loaded
from jobyard.conf.redaction import Patterns, Redaction
from jobyard.conf.settings import SHIPPED_REDACT, JobSettings, Settings
from jobyard.protocol.codec import pack_arguments, unpack_arguments
from jobyard.protocol.messages import CatalogEntry, Parameter

LONG = "x" * 1_000_000
SHIPPED = Patterns(SHIPPED_REDACT)
SEND = [Parameter("to", "either", True), Parameter("pin", "either", True), Parameter("codes", "args", False)]


@pytest.mark.parametrize(
    "name",
    [
        "password", "PASSWORD", "db_password", "passwordHash", "passwd", "secret", "client-secret", "token",
        "accessToken", "X-Auth-Token", "api_key", "apiKey", "API-Key", "x.api.key", "private_key", "privateKeyPem",
        "Authorization", "aws_credentials", "aws_secret_access_key", "Set-Cookie", "pass phrase",
    ],
)  # fmt: skip
def test_names_of_secrets_are_hidden_as_shipped(name: str) -> None:
    assert SHIPPED.match(name)


@given(st.text("ab", max_size=8), st.text("ab*", max_size=5))
def test_star_stands_for_anything(name: str, pattern: str) -> None:
    assert Patterns([pattern]).match(name) == fnmatch.fnmatchcase(name, pattern)


def test_long_name_that_almost_matches_a_pattern_with_many_stars_is_soon_told() -> None:
    assert not Patterns(["*a*b*a*b*c"]).match("ab" * 250_000)  # a regular expression would need years


def test_long_names_are_looked_at_and_not_kept() -> None:
    """Clients choose them: four thousand of a megabyte each would be kept for ever."""
    patterns, name = Patterns(["*token"]), f"{LONG}token"
    held = sys.getrefcount(name)
    assert patterns.match(name) and not patterns.match(LONG)
    assert sys.getrefcount(name) == held
    kept = "a-token-" * 3 + "token"
    held = sys.getrefcount(kept)
    assert patterns.match(kept) and sys.getrefcount(kept) > held


@pytest.mark.parametrize(
    "name", ["max_tokens", "tokenizer", "key", "keyboard", "user", "pass", "author", "compass", "", "*", "path"]
)
def test_other_names_are_not(name: str) -> None:
    assert not SHIPPED.match(name)


def test_pattern_without_a_star_is_that_name_exactly() -> None:
    patterns = Patterns(["pin", "c*d"])
    assert [name for name in ("pin", "PIN", "p-i-n", "pins", "cd", "Cold", "code") if patterns.match(name)] == [
        "pin", "PIN", "p-i-n", "cd", "Cold",
    ]  # fmt: skip


def test_no_patterns_hide_nothing() -> None:
    assert not Patterns([]).match("")
    assert not Patterns([]).may_be_in(b"password")


@given(st.text(max_size=12), st.sampled_from(["pass", "TOKEN", "api-key", "ключ", "Straße", "x"]), st.text(max_size=12))
def test_quick_look_never_misses_a_name_that_matches(before: str, word: str, after: str) -> None:
    patterns = Patterns(["*pass*", "*token", "api_key*", "*ключ*", "*straße", "x"])
    name = (before + word + after).encode("utf-8", "replace").decode()
    if patterns.match(name):
        assert patterns.may_be_in(pack_arguments(({name: 1},), {}))


def shown(payload: bytes, redact: tuple[str, ...] = (), jobs: dict[str, JobSettings] | None = None) -> Any:
    settings = Settings(file=Path("/x"), redact=redact, jobs=jobs or {})
    found = Redaction(settings).shown(CatalogEntry("app:send", "default", SEND), payload)
    return None if found is None else unpack_arguments(found)


def test_position_is_hidden_by_the_name_of_its_parameter() -> None:
    assert shown(pack_arguments(("a@x", 1234), {}), ("pin",)) == (["a@x", "***"], {})


def test_all_of_a_rest_is_hidden_by_its_name() -> None:
    payload = pack_arguments(("a@x", 1234, "c1", "c2"), {})
    assert shown(payload, ("codes",)) == (["a@x", 1234, "***", "***"], {})
    assert shown(pack_arguments(("a@x", 1234), {}), ("codes",)) is None


def test_redaction_holds_for_the_target_whichever_name_was_submitted() -> None:
    jobs = {
        "Mail": JobSettings(target="app:send", redact=("pin",)),
        "Again": JobSettings(target="app:send", redact=("to",)),
        "Other": JobSettings(target="app:other", redact=("more",)),
    }
    payload = pack_arguments((), {"to": "a", "pin": 1234, "more": "m", "token": "t"})
    assert shown(payload, ("token",), jobs) == ([], {"to": "***", "pin": "***", "more": "m", "token": "***"})


def test_default_of_a_hidden_parameter_is_not_in_the_catalogue() -> None:
    parameters = [
        Parameter("to", "either", False, default="'ann'"),
        Parameter("token", "either", False, default="'hunter2'"),
        Parameter("secret", "named", False, default="None"),
    ]
    entry = CatalogEntry("app:f", "default", parameters)
    shown = Redaction(Settings(file=Path("/x"))).described(entry)
    assert [one.default for one in shown.parameters] == ["'ann'", "***", "None"]


def test_argument_that_holds_no_hidden_name_is_not_looked_into() -> None:
    assert shown(b"not a payload", ("secret",)) is None


def test_variable_with_the_name_of_a_secret_is_shown_without_its_value(read: Callable[..., Loaded]) -> None:
    loaded = read('[pools.default.env]\nDB_PASSWORD = "hunter22"\nDB_HOST = "db"\n')
    shown = show.values(loaded.settings)
    assert (shown["pools.default.env.DB_PASSWORD"], shown["pools.default.env.DB_HOST"]) == ("***", "db")
    assert loaded.settings.pools["default"].env["DB_PASSWORD"] == "hunter22"


def test_patterns_of_the_file_take_the_place_of_those_shipped(read: Callable[..., Loaded]) -> None:
    assert read('redact = ["pin", "*Code*"]').settings.redact == ("pin", "*Code*")
    assert read("redact = []").settings.redact == ()


@pytest.mark.parametrize("value", ['"token"', "[1]", '[""]', '["*"]', '["a\\nb"]'])
def test_pattern_that_is_no_name_is_refused(problems: Callable[..., list[str]], value: str) -> None:
    (problem,) = problems(f'allow = ["app:*"]\nredact = {value}')
    assert "redact" in problem
