from __future__ import annotations

import re

import pytest
from jobyard.client.cli import parsing, verbs
from jobyard.client.cli.exits import UsageError


@pytest.mark.parametrize(
    "argv, name, rest",
    [
        ([], None, []),
        (["list"], "list", []),
        (["--config", "list", "show", "42"], "show", ["--config", "list", "42"]),
        (["--config=x", "show"], "show", ["--config=x"]),
        (["--json", "status"], "status", ["--json"]),
        (["submit", "list", "-o", "id"], "submit", ["list", "-o", "id"]),
        (["config", "show", "--origin"], "config show", ["--origin"]),
        (["--config", "f", "config", "--json", "check", "g"], "config check", ["--config", "f", "--json", "g"]),
        (["--", "list"], None, ["--", "list"]),
        (["config", "--help"], None, ["--help"]),
    ],
)
def test_the_verb_is_the_first_word_that_is_no_option_and_no_value_of_one(
    argv: list[str], name: str | None, rest: list[str]
) -> None:
    assert parsing.split_verb(argv) == (name, rest)


@pytest.mark.parametrize(
    "argv, message, hint",
    [
        (["sumbit"], "there is no verb 'sumbit'", "jobctl submit"),
        (["zzzz"], "there is no verb 'zzzz'", "jobctl --help"),
        (
            ["config"],
            "'config' alone does nothing",
            "jobctl config check or jobctl config show or jobctl config schema",
        ),
        (["config", "chekc"], "there is no verb 'config chekc'", "jobctl config check"),
    ],
)
def test_an_unknown_verb_is_answered_with_the_nearest_one(argv: list[str], message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parsing.split_verb(argv)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_a_mistyped_option_is_answered_with_the_nearest_one() -> None:
    parser = _parser("submit")
    with pytest.raises(UsageError) as caught:
        parsing.parse(parser, ["jobs:hello", "--priorty", "high"])
    assert caught.value.message == "there is no option --priorty"
    assert caught.value.hint == "jobctl submit ... --priority"


def test_options_are_not_abbreviated() -> None:
    with pytest.raises(UsageError):
        parsing.parse(_parser("submit"), ["jobs:hello", "--prio", "high"])


def test_options_and_arguments_of_a_job_mix_in_any_order() -> None:
    args = parsing.parse(_parser("submit"), ["jobs:add", "1", "--priority", "high", "2", "-3"])
    assert args.words == ["jobs:add", "1", "2", "-3"]
    assert args.priority == "high"


def test_words_after_a_double_dash_are_arguments_of_the_job() -> None:
    args = parsing.parse(_parser("submit"), ["jobs:add", "--key", "k", "--", "--queue", "--"])
    assert args.words == ["jobs:add", "--queue", "--"]
    assert (args.key, args.queue) == ("k", None)


def test_a_double_dash_is_accepted_before_ids() -> None:
    assert parsing.parse(_parser("show"), ["--", "42"]).ids == ["42"]


def test_every_verb_has_a_module_with_help_that_shows_an_example() -> None:
    for name in verbs.VERBS:
        text = _parser(name).format_help()
        assert verbs.VERBS[name].summary in text
        assert "examples:\n" in text, name
        assert f"usage: jobctl {name}" in text
        assert "``" not in text, f"{name}: a terminal shows marks of a documentation as they are"


@pytest.mark.parametrize("name", ["show", "wait", "cancel"])
def test_a_verb_that_takes_ids_or_filters_says_so(name: str) -> None:
    text = _parser(name).format_help()
    assert text.startswith(f"usage: jobctl {name} [options] ID ...\n       jobctl {name} [options] FILTER ...\n")
    assert "filters, instead of ids:\n  Jobs that fit all of them.\n\n  --state STATE" in text
    assert re.search(rf"examples:\n(  .*\n)*  jobctl {name} --(state|queue) \w+", text), "an example with a filter"


def test_filters_are_no_alternative_where_no_ids_are_taken() -> None:
    assert "instead of ids" not in _parser("list").format_help()


def test_the_overview_names_every_verb() -> None:
    overview = verbs.overview()
    for name, verb in verbs.VERBS.items():
        assert f"  {name} " in overview
        assert verb.summary in overview


@pytest.mark.parametrize("word", ["", "novalue", "=x"])
def test_a_tag_without_a_value_is_refused_with_its_text(word: str) -> None:
    with pytest.raises(UsageError, match="--tag"):
        parsing.key_values([word], "--tag")


def test_a_time_without_a_zone_is_local_time() -> None:
    assert parsing.wall_time("2026-10-01T12:00", "--at") == parsing.wall_time("2026-10-01T14:00+02:00", "--at")


@pytest.mark.parametrize("text", ["", "tomorrow", "12:00", "2026-13-01", "0001-01-01T00:00", "1969-12-31T00:00"])
def test_what_is_no_point_in_time_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parsing.wall_time(text, "--at")
    assert caught.value.message == f"--at {text!r} is not a point in time"


def _parser(name: str) -> parsing.Parser:
    return parsing.load(name)[1]
