"""Random values and how they are written in TOML, for tests of what reads it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st


def written(value: Any) -> str:
    """A value as inline TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(key)} = {written(below)}" for key, below in value.items()) + "}"
    if isinstance(value, list):
        return "[ " + " , ".join(written(item) for item in value) + " ]"
    if isinstance(value, str):
        return '"' + "".join(_char(char) for char in value) + '"'
    return "true" if value is True else "false" if value is False else repr(value)


def _char(char: str) -> str:
    return f"\\u{ord(char):04x}" if char in '\\"\x7f' or ord(char) < 32 else char


texts = st.text(st.characters(codec="utf-8", max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.integers(-5, 5) | st.booleans() | st.floats(-9, 9).map(lambda number: round(number, 2)) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)
