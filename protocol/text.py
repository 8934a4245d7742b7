"""Values from a job, a config or a user, made safe to be shown: on a terminal, in a log, as JSON.

Owns which characters are hostile and which numbers JSON has no word for. Where lines end and what is cut is the
caller's business.
"""

from __future__ import annotations

import math
import re

# C0 and C1 controls, DEL, spaces and hyphens of no width, line and paragraph separators, direction controls, invisible
# tags, lone surrogates. The zero-width joiners stay: without them some languages, and emoji, cannot be written.
HOSTILE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)
_INT_BITS_MAX = 10_000  # Python refuses to write much longer ones in decimal
_SHOWN_CHARS_MAX = 200
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def clean(text: str, keep: str = "") -> str:
    """``text`` with every character that could move a cursor, change a direction or forge a line made visible.

    Args:
        text: anything.
        keep: control characters to leave alone: "\\n\\t" for text of many lines.
    """
    return HOSTILE.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def shown(value: object) -> str:
    """A caller's value as a message names it: cut to a readable length, whatever its own ``repr`` does."""
    try:
        text = repr(value)
    except Exception:  # it is theirs, and no reason not to say what is wrong with it
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _SHOWN_CHARS_MAX else text[: _SHOWN_CHARS_MAX - 3] + "..."


def _escape(char: str) -> str:
    code = ord(char)
    if char in _NAMED:
        return _NAMED[char]
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def json_number(value: float) -> float | str:
    """The number, or text for one that cannot be written as a number of JSON."""
    if isinstance(value, int):
        return value if value.bit_length() <= _INT_BITS_MAX else hex(value)
    return value if math.isfinite(value) else str(value)
