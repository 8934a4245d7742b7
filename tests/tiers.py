"""How much of a test of the reliability plan is run: per change (P), every night (N), before a release (R).

Owns the one place where a tier is read from the environment, and the file of figures from which the table in
docs/reliability.md is made.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any, TypeVar

T = TypeVar("T")
TIER = os.environ.get("JOBYARD_TIER", "P")
if TIER not in ("P", "N", "R"):
    raise SystemExit(f"JOBYARD_TIER is {TIER!r}; it may be P, N or R")


def size(p: T, n: T, r: T) -> T:
    """The count, or the cases, for this run's tier."""
    return {"P": p, "N": n, "R": r}[TIER]


def report(row: str, what: str, **figures: Any) -> None:
    """Add a line to the table of figures, if somebody wants it.

    Args:
        row: of the plan, such as ``"T1"``.
        what: a few words that say what was done.
        figures: counts, by name.
    """
    path = os.environ.get("JOBYARD_REPORT")
    if not path:
        return
    line = json.dumps({"row": row, "tier": TIER, "what": what, "at": round(time.time()), **figures})
    with open(path, "a", encoding="utf-8") as file:
        file.write(line + "\n")
