"""What goes in comes out: arguments, results, references."""

from __future__ import annotations

from pathlib import Path

import pytest
from conformance_jobs import VALUES
from yard import MakeYard, Yard


def test_result_comes_back(yard: Yard) -> None:
    attempt = yard.run("add", 2, 3)
    assert attempt.value == 5
    assert attempt.exit is not None and attempt.exit.exit_code == 0
    assert attempt.exit.signal is None and attempt.exit.killed is None and attempt.exit.survivors == 0


def test_arguments_and_results_keep_their_types(yard: Yard) -> None:
    args, kwargs = yard.run("same", *VALUES, named=VALUES).value
    assert args == VALUES and kwargs == {"named": VALUES}
    assert [type(one) for one in args] == [type(one) for one in VALUES]


def test_large_arguments_and_results_go_through(yard: Yard) -> None:
    assert yard.run("size_of", b"a" * 900_000).value == 900_000
    assert yard.run("large", 900_000).value == b"x" * 900_000


@pytest.mark.parametrize("size", [65_400, 65_536, 66_000])
def test_results_around_the_size_of_a_packet_go_through(yard: Yard, size: int) -> None:
    assert len(yard.run("large", size).value) == size


def test_class_is_made_without_arguments(yard: Yard) -> None:
    assert yard.run("Greeter.greet", "Ada").value == "hello Ada"


def test_async_function_runs(yard: Yard) -> None:
    assert yard.run("async_add", 1, right=2).value == 3


def test_many_jobs_at_once_get_their_own_results(yard: Yard) -> None:
    count = 40 if yard.kind == "zygote" else 4
    yard.executor.prepare(count)
    yard.wait(lambda: len(yard.ready) == count, "all children")
    attempts = [yard.begin("add", number, 1000) for number in range(count)]
    for number, attempt in enumerate(attempts):
        assert yard.finish(attempt).value == number + 1000
    assert len({attempt.child.pid for attempt in attempts}) == count


@pytest.mark.parametrize("kind", ["zygote"], indirect=True)
def test_more_children_than_the_queues_hold_are_made(yard: Yard) -> None:
    yard.executor.prepare(300)
    yard.wait(lambda: len(yard.ready) == 300, "300 children")
    assert yard.failed == []


@pytest.mark.parametrize(
    ("function", "error", "part"),
    [
        ("not_serializable", "NotSerializable", "result['inner'][0] is an object, which cannot be sent"),
        ("generator", "NotSerializable", "result is a generator, which cannot be sent"),
        ("surrogate", "NotSerializable", "result cannot be sent: the character "),
    ],
)
def test_result_that_cannot_be_packed_is_final_and_the_error_is_about_the_result(
    yard: Yard, function: str, error: str, part: str
) -> None:
    end = yard.run(function).end
    assert end is not None and end.kind == "final" and end.error is not None
    assert end.error.type.endswith(error) and end.error.message.startswith(part)
    assert end.error.traceback == f"{end.error.type}: {end.error.message}\n", "no line of it is the job's"


def test_result_over_the_limit_is_final(yard: Yard) -> None:
    end = yard.run("large", 2_000_000).end
    assert end is not None and end.kind == "final" and end.error is not None
    assert end.error.type.endswith("TooLarge")
    assert "2,000,005 bytes" in end.error.message and "1,048,576" in end.error.message and "Path" in end.error.message


@pytest.mark.parametrize(
    ("ref", "part"),
    [
        ("conformance_jobs:Path", "not defined there"),
        ("conformance_jobs:_private", "not in the allow list"),
        ("conformance_jobs:Greeter._hidden", "not in the allow list"),
        ("os:system", "not in the allow list"),
    ],
)
def test_what_the_allow_list_does_not_cover_is_refused_by_the_child(yard: Yard, ref: str, part: str) -> None:
    end = yard.run(ref).end
    assert end is not None and end.kind == "final" and end.error is not None
    assert end.error.type.endswith("NotAllowed") and part in end.error.message


def test_imported_name_that_is_allowed_by_name_runs(yard: Yard) -> None:
    end = yard.run("OrderedDict").end
    assert end is not None and end.kind == "final" and end.error is not None
    assert end.error.type.endswith("NotSerializable"), "it ran, and only its result cannot be sent"


@pytest.mark.parametrize(
    ("ref", "error"),
    [
        ("conformance_jobs:missing", "NotImportable"),
        ("conformance_jobs:constant", "NotAllowed"),
        ("conformance_jobs:Greeter.missing", "NotImportable"),
        ("conformance_jobs:Greeter.not_callable", "NotImportable"),
    ],
)
def test_what_is_not_there_or_not_callable_is_an_error(yard: Yard, ref: str, error: str) -> None:
    end = yard.run(ref).end
    assert end is not None and end.error is not None and end.error.type.endswith(error)


def test_module_that_fails_to_import_is_an_error_of_the_job(make_yard: MakeYard, tmp_path: Path) -> None:
    (tmp_path / "broken_module.py").write_text("import does_not_exist_anywhere\n")
    (tmp_path / "bad_syntax.py").write_text("def x(:\n")
    yard = make_yard(path=[str(tmp_path)], allow=["broken_module:*", "bad_syntax:*", "absent:*"], preload=[])
    for ref, error, part in [
        ("broken_module:x", "ModuleNotFoundError", "does_not_exist_anywhere"),
        ("bad_syntax:x", "SyntaxError", "bad_syntax.py"),
        ("absent:x", "ModuleNotFoundError", "absent"),
    ]:
        end = yard.run(ref).end
        assert end is not None and end.kind == "error" and end.error is not None
        assert end.error.type == error and part in end.error.traceback
