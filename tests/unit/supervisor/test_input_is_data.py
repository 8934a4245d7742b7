"""What comes from outside selects from tables; it is never looked up as an attribute, imported, or evaluated."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import jobyard
import msgpack
import pytest
from jobyard.protocol import messages
from jobyard.protocol.errors import JobyardError
from jobyard.supervisor.desk import Desk

ROOT = Path(__file__).parents[3]
LOOK_UPS = frozenset({"getattr", "setattr", "delattr", "import_module"})
FORBIDDEN = frozenset({"eval", "exec", "__import__", "pickle", "marshal", "shelve", "dill", "cloudpickle"})
# Where a name that is not written in the code is looked up, and whose name that is.
WHOSE = {
    "supervisor/core/records.py": "fields that a record declares",
    "supervisor/executors/zygote/boot.py": "preload, of the config",
    "supervisor/executors/zygote/child.py": "child_setup, of the config",
    "supervisor/executors/zygote/joblog.py": "attributes that Python asks a module loader for",
    "supervisor/office.py": "names of paths in a tuple beside it",
    "supervisor/signals.py": "names of signals in a tuple beside it",
    "protocol/codec.py": "types in the table beside it",
    "protocol/describe.py": "what the config allows, in the process that builds the catalogue",
    "protocol/job.py": "fields that a dataclass declares",
    "protocol/plain.py": "fields that a dataclass declares",
    "protocol/schema.py": "fields that a dataclass declares",
    "protocol/target.py": "the function of a job, in its own process, after the allow list was asked",
    "conf/build.py": "sections of the settings",
    "conf/show.py": "sections and fields of the settings",
}


def sources() -> Iterator[tuple[str, ast.Module]]:
    for layer in ("supervisor", "protocol", "conf"):
        for path in sorted((ROOT / layer).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def looks_up(call: ast.Call) -> bool:
    """Whether it looks for a name that only the running program knows."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    where = 0 if name == "import_module" else 1
    return name in LOOK_UPS and not isinstance(call.args[where], ast.Constant)


def test_names_are_looked_up_where_it_is_known_whose_they_are() -> None:
    found = {
        name for name, tree in sources() for node in ast.walk(tree) if isinstance(node, ast.Call) and looks_up(node)
    }
    assert found == WHOSE.keys()


def test_nothing_is_evaluated_unpickled_or_given_to_a_shell() -> None:
    for name, tree in sources():
        for node in ast.walk(tree):
            match node:
                case ast.Import(names=aliases):
                    words = {alias.name.partition(".")[0] for alias in aliases}
                case ast.ImportFrom(module=str(module)):
                    words = {module.partition(".")[0]}
                case ast.Call(func=ast.Name(id=word)):
                    words = {word}
                case ast.Call(keywords=keywords) if any(one.arg == "shell" for one in keywords):
                    words = {"shell"}
                case ast.Attribute(value=ast.Name(id="os"), attr=("system" | "popen") as word):
                    words = {word}
                case _:
                    continue
            assert not words & (FORBIDDEN | {"shell", "system", "popen"}), f"{name}:{node.lineno}: {words}"


@pytest.mark.parametrize(
    "verb",
    sorted({*dir(messages), *dir(Desk), *dir(jobyard), "", "Submit", "submit\0", " submit", "SUBMIT", "submit.x", "0"}
           - {request.VERB for request in messages.Request.__args__})[::7],
)  # fmt: skip
def test_verb_that_is_not_in_the_table_is_refused(verb: str) -> None:
    request = {"v": messages.PROTOCOL_VERSION, "id": "1", "verb": verb, "body": {}}
    with pytest.raises(JobyardError, match=r"verb|name"):
        messages.unpack_request(msgpack.packb(request))
