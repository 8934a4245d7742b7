"""The rules of the house that a program can check: layers, sizes, purity, and what does not belong in the text."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import jobyard
import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "api": "jobyard",
    "client": "jobyard.client",
    "conf": "jobyard.conf",
    "protocol": "jobyard.protocol",
    "supervisor": "jobyard.supervisor",
}
FILE_LINES_MAX, FUNCTION_LINES_MAX = 500, 70

# Who may import whom: the longest prefix that fits decides.
LAYERS: dict[str, tuple[str, ...]] = {
    "jobyard.protocol": ("jobyard.protocol",),
    "jobyard.conf": ("jobyard.conf", "jobyard.protocol"),
    "jobyard.client": ("jobyard.client", "jobyard.conf", "jobyard.protocol", "jobyard"),
    "jobyard.supervisor.core": ("jobyard.supervisor.core", "jobyard.protocol"),
    "jobyard.supervisor.journal": (
        "jobyard.supervisor.journal",
        "jobyard.supervisor.core.records",
        "jobyard.protocol",
        "jobyard.conf",
    ),
    "jobyard.supervisor.executors": (
        "jobyard.supervisor.executors",
        "jobyard.supervisor.core",
        "jobyard.supervisor.clock",
        "jobyard.protocol",
    ),
    "jobyard.supervisor": ("jobyard.supervisor", "jobyard.conf", "jobyard.protocol", "jobyard"),
}
IMPURE = {
    "time",
    "datetime",
    "random",
    "uuid",
    "os",
    "io",
    "socket",
    "threading",
    "asyncio",
    "logging",
    "zmq",
    "pathlib",
    "secrets",
}


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def module_of(path: Path) -> str:
    folder, *rest = path.relative_to(ROOT).with_suffix("").parts
    return ".".join([PACKAGES[folder], *[part for part in rest if part != "__init__"]])


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Absolute names of what a file imports, those for type checking alone left out."""
    module = module_of(path).split(".")
    package = module if path.name == "__init__.py" else module[:-1]
    tree = ast.parse(path.read_text())
    typing_only = {id(node) for guard in ast.walk(tree) if _is_typing_guard(guard) for node in ast.walk(guard)}
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *(node.module or "").split(".")]).rstrip(".")
            if node.module is None:
                yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, origin


def _is_typing_guard(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _within(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or (prefix != "jobyard" and name.startswith(prefix + ".")) for prefix in prefixes)


@pytest.mark.parametrize("path", sources("client", "conf", "protocol", "supervisor"), ids=str)
def test_layers_hold(path: Path) -> None:
    module = module_of(path)
    layer = max((name for name in LAYERS if _within(module, (name,))), key=len)
    for line, name in imports(path):
        if name.startswith("jobyard"):
            allowed = _within(name, LAYERS[layer]) or re.fullmatch(r"jobyard\.__version__", name)
            assert allowed, f"{path}:{line}: {module} may not import {name}"


@pytest.mark.parametrize("path", sources("supervisor/core"), ids=str)
def test_core_is_pure(path: Path) -> None:
    for line, name in imports(path):
        assert name.split(".")[0] not in IMPURE, f"{path}:{line}: the core imports {name}"


@pytest.mark.parametrize("path", sources("client", "conf", "protocol", "supervisor", "api"), ids=str)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= FILE_LINES_MAX, f"{path} is too long: is there a second subject inside?"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= FUNCTION_LINES_MAX, f"{path}:{node.lineno}: {node.name} has {length} lines"


@pytest.mark.parametrize("path", sources("client", "conf", "protocol", "supervisor"), ids=str)
def test_every_module_says_what_it_owns(path: Path) -> None:
    text = path.read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text)), f"{path} has no docstring"


@pytest.mark.parametrize("path", sources("tests/unit", "tests/sim"), ids=str)
def test_no_unit_test_sleeps(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("sleep"):
            raise AssertionError(f"{path}:{node.lineno} sleeps")


def test_no_two_modules_of_the_tests_have_one_name() -> None:
    """pytest puts the directories of all tests that were selected on one path."""
    names = Counter(path.name for path in sources("tests") if path.name != "conftest.py")
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("path", sources("tests"), ids=str)
def test_nothing_is_imported_from_a_conftest(path: Path) -> None:
    """For every directory has its own, and the name means the first of them."""
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.ImportFrom) or node.module != "conftest", f"{path}:{node.lineno}"


def test_job_modules_do_not_pull_in_zeromq() -> None:
    import subprocess
    import sys

    code = "import sys; from jobyard import current_job; sys.exit(bool({'zmq', 'asyncio'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_version_is_the_packages() -> None:
    assert f'version = "{jobyard.__version__}"' in (ROOT / "pyproject.toml").read_text()


def test_public_names_all_load() -> None:
    for name in jobyard.__all__:
        assert getattr(jobyard, name).__name__ == name
