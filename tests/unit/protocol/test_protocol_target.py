"""From a reference to a callable."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from jobyard.protocol.errors import NotAllowed, NotImportable
from jobyard.protocol.target import load

MODULE = """
from os.path import join
import functools
def own(): return "own"
def _private(): return "private"
class Tool:
    made = 0
    def __init__(self): type(self).made += 1
    def use(self): return f"used {self.made}"
    @staticmethod
    def static(): return "static"
    @classmethod
    def of_class(cls): return cls.__name__
class NeedsMore:
    def __init__(self, more): pass
    def use(self): pass
wrapped = functools.wraps(own)(lambda: own())
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "target_module.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "target_module", raising=False)


@pytest.mark.parametrize(
    ("name", "pattern", "result"),
    [
        ("own", "*", "own"),
        ("own", "own", "own"),
        ("wrapped", "*", "own"),
        ("Tool.use", "Tool.*", "used 1"),
        ("Tool.static", "Tool.*", "static"),
        ("Tool.of_class", "Tool.of_class", "Tool"),
        ("_private", "_private", "private"),
    ],
)
def test_what_is_allowed_is_found(name: str, pattern: str, result: str) -> None:
    assert load(f"target_module:{name}", ["other:*", f"target_module:{pattern}"])() == result


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("own", "other"), ("_private", "*"), ("Tool.use", "*"), ("join", "*"), ("Tool.__init__", "Tool.*")],
)
def test_what_is_not_allowed_is_refused_with_a_hint(name: str, pattern: str) -> None:
    with pytest.raises(NotAllowed) as caught:
        load(f"target_module:{name}", [f"target_module:{pattern}"])
    assert f'add "target_module:{name}" to allow' in caught.value.hint


def test_imported_name_may_be_allowed_by_name() -> None:
    assert load("target_module:join", ["target_module:*", "target_module:join"])("a", "b") == "a/b"


def test_refused_reference_is_not_imported() -> None:
    with pytest.raises(NotAllowed):
        load("target_module:own", ["another:*"])
    assert "target_module" not in sys.modules


@pytest.mark.parametrize("name", ["missing", "Tool.missing", "own.method"])
def test_what_is_not_there_is_named(name: str) -> None:
    with pytest.raises(NotImportable, match=name.rpartition(".")[2] if name != "own.method" else "not a class"):
        load(f"target_module:{name}", [f"target_module:{name}"])


def test_class_that_needs_arguments_fails_as_it_would_by_hand() -> None:
    with pytest.raises(TypeError, match="more"):
        load("target_module:NeedsMore.use", ["target_module:NeedsMore.*"])
