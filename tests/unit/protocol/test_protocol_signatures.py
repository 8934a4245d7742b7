"""Arguments against signatures: Python itself is the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobyard.conf.catalog import Catalog
from jobyard.protocol import options, schema
from jobyard.protocol.describe import describe_parameters
from jobyard.protocol.errors import BadArguments
from jobyard.protocol.messages import CatalogEntry

TOO_MANY = "takes from 1 to 2 positional arguments but 3 were given"


def entry_of(function: Callable[..., Any]) -> CatalogEntry:
    described = {"ref": "app:build", "pool": "default", "parameters": describe_parameters(function, bound=False)}
    return schema.from_wire(CatalogEntry, described)


def build(month: str, day: int = 1, *, fmt: str, draft: bool = False) -> None: ...


def only(path: str, /) -> None: ...


def nothing() -> None: ...


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "message"),
    [
        (build, 0, [], "build() missing 2 required arguments: 'month' and 'fmt'"),
        (build, 1, [], "build() missing 1 required argument: 'fmt'"),
        (build, 3, ["fmt"], f"build() {TOO_MANY}"),
        (build, 1, ["fmt", "month"], "build() got multiple values for argument 'month'"),
        (build, 1, ["fmtt", "fmt"], "build() got an unexpected keyword argument 'fmtt'"),
        (build, 3, ["fmt", "x"], f"build() {TOO_MANY}; got an unexpected keyword argument 'x'"),
        (only, 0, ["path"], "build() got an unexpected keyword argument 'path'; missing 1 required argument: 'path'"),
        (only, 2, [], "build() takes 1 positional argument but 2 were given"),
        (nothing, 1, [], "build() takes 0 positional arguments but 1 was given"),
    ],
)
def test_all_that_does_not_fit_is_named(function: Any, args: int, kwargs: list[str], message: str) -> None:
    with pytest.raises(BadArguments) as caught:
        Catalog.check_arguments(entry_of(function), args, kwargs)
    assert caught.value.message == message


def test_mistyped_argument_gets_the_nearest_name() -> None:
    with pytest.raises(BadArguments) as caught:
        Catalog.check_arguments(entry_of(build), 1, ["fmt", "drafft"])
    assert caught.value.hint == "did you mean 'draft'?"


def test_argument_like_none_may_be_newer_than_the_catalogue() -> None:
    with pytest.raises(BadArguments) as caught:
        Catalog.check_arguments(entry_of(build), 1, ["fmt", "loud"])
    assert caught.value.hint == "jobctl catalog, or jobctl reload if the function has changed"


def test_option_given_as_an_argument_is_told_where_options_go() -> None:
    with pytest.raises(BadArguments) as caught:
        Catalog.check_arguments(entry_of(build), 1, ["fmt", "timeout"])
    assert caught.value.hint.startswith("give timeout as an option of the job, as client.options(timeout=...)")


names = st.sampled_from("abcdef")


@st.composite
def functions(draw: st.DrawFn) -> Callable[..., Any]:
    """Any mix of parameters."""
    free = list(draw(st.permutations("abcdef")))
    positional, either, named = (draw(st.integers(0, 2)) for _ in range(3))
    optional_from = draw(st.integers(0, positional + either))
    words = [free.pop() + ("=0" if index >= optional_from else "") for index in range(positional + either)]
    if positional:
        words.insert(positional, "/")
    if draw(st.booleans()):
        words.append("*args")
    elif named:
        words.append("*")
    words += [free.pop() + draw(st.sampled_from(["", "=0"])) for _ in range(named)]
    if draw(st.booleans()):
        words.append("**kwargs")
    made: Callable[..., Any] = eval(f"lambda {', '.join(words)}: None")
    return made


@given(functions(), st.integers(0, 6), st.sets(names, max_size=4))
def test_what_python_accepts_is_accepted_and_no_more(function: Callable[..., Any], args: int, kwargs: set[str]) -> None:
    entry = entry_of(function)
    try:
        function(*range(args), **dict.fromkeys(kwargs))
    except TypeError:
        with pytest.raises(BadArguments):
            Catalog.check_arguments(entry, args, sorted(kwargs))
    else:
        Catalog.check_arguments(entry, args, sorted(kwargs))


def test_no_name_like_a_very_long_word_is_looked_for() -> None:
    """It would take seconds for one of megabytes, in which nobody else is served."""
    longest = "x" * options.WORD_CHARS_MAX
    assert options.nearest(longest, [longest + "y"]) == longest + "y"
    assert options.nearest(longest + "x", [longest + "y"]) is None
