"""Where each key stands in a TOML text, which tomli does not tell.

Owns the positions only. It is given text that tomli has accepted, so it tells tables, keys and values apart but judges
nothing; on any other text its answer is meaningless.
"""

from __future__ import annotations

import re

KeyPath = tuple[str | int, ...]
Position = tuple[int, int]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LITERAL = re.compile(r"[^,\]}#\n]+")
_STRINGS = (
    re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}', re.DOTALL),
    re.compile(r"'''(?:[^']|'(?!''))*'{3,5}"),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|x([0-9A-Fa-f]{2})|(.))")
_ESCAPED = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}


def locate(text: str) -> dict[KeyPath, Position]:
    """Line and column, both from 1, at which each key path first appears.

    Items of arrays have paths that end in their index; so do the tables of an array of tables.
    """
    return _Scanner(text.replace("\r\n", "\n")).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[KeyPath, int] = {}
        self.array_lengths: dict[KeyPath, int] = {}

    def scan(self) -> dict[KeyPath, Position]:
        table: KeyPath = ()
        self.skip_blank()
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)
            self.skip_blank()
        return self.positions()

    def positions(self) -> dict[KeyPath, Position]:
        starts = [0, *(match.end() for match in re.finditer("\n", self.text))]
        placed: dict[KeyPath, Position] = {}
        line = 0
        for path, at in sorted(self.found.items(), key=lambda item: item[1]):
            while line + 1 < len(starts) and starts[line + 1] <= at:
                line += 1
            placed[path] = (line + 1, at - starts[line] + 1)
        return placed

    def skip_blank(self) -> None:
        match = _BLANK.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def note(self, path: KeyPath, at: int) -> None:
        self.found.setdefault(path, at)

    def header(self) -> KeyPath:
        """``[a.b]`` or ``[[a.b]]``; the path that the pairs below it go into."""
        is_array = self.text.startswith("[[", self.at)
        self.at += 2 if is_array else 1
        path = self.key((), through_arrays=True)
        if is_array:
            index = self.array_lengths.get(path, 0)
            self.array_lengths[path] = index + 1
            path = (*path, index)
            self.note(path, self.at)
        self.skip_blank()
        self.at += 2 if is_array else 1
        return path

    def pair(self, table: KeyPath) -> None:
        path = self.key(table, through_arrays=False)
        self.skip_blank()
        self.at += 1  # the equals sign
        self.skip_blank()
        self.value(path)

    def key(self, table: KeyPath, *, through_arrays: bool) -> KeyPath:
        """A key, dotted or not; each part is noted. In a header, ``a.b`` below ``[[a]]`` is in a's last table."""
        path = table
        while True:
            self.skip_blank()
            start = self.at
            if through_arrays and path in self.array_lengths:
                path = (*path, self.array_lengths[path] - 1)
            path = (*path, self.key_part())
            self.note(path, start)
            self.skip_blank()
            if not self.text.startswith(".", self.at):
                return path
            self.at += 1

    def key_part(self) -> str:
        start = self.at
        if self.text[start : start + 1] in ('"', "'"):
            self.string()
            quoted = self.text[start + 1 : self.at - 1]
            return quoted if self.text[start] == "'" else _ESCAPE.sub(_unescape, quoted)
        match = _BARE.match(self.text, start)
        self.at = match.end() if match else start + 1
        return self.text[start : self.at]

    def value(self, path: KeyPath) -> None:
        first = self.text[self.at : self.at + 1]
        if first == "[":
            self.array(path)
        elif first == "{":
            self.inline_table(path)
        elif first in ('"', "'"):
            self.string()
        else:
            match = _LITERAL.match(self.text, self.at)
            self.at = match.end() if match else self.at + 1

    def string(self) -> None:
        for pattern in _STRINGS:
            match = pattern.match(self.text, self.at)
            if match:
                self.at = match.end()
                return
        self.at += 1

    def array(self, path: KeyPath) -> None:
        self.at += 1
        index = 0
        self.skip_blank()
        while self.at < len(self.text) and self.text[self.at] != "]":
            self.note((*path, index), self.at)
            self.value((*path, index))
            index += 1
            self.skip_comma()
        self.at += 1

    def inline_table(self, path: KeyPath) -> None:
        self.at += 1
        self.skip_blank()
        while self.at < len(self.text) and self.text[self.at] != "}":
            self.pair(path)
            self.skip_comma()
        self.at += 1

    def skip_comma(self) -> None:
        self.skip_blank()
        if self.text.startswith(",", self.at):
            self.at += 1
            self.skip_blank()


def _unescape(match: re.Match[str]) -> str:
    number = match[1] or match[2] or match[3]
    return chr(int(number, 16)) if number else _ESCAPED.get(match[4], match[4])
