from __future__ import annotations

from nobodys_pool import as_nobody
from yards import make_yard, yard

__all__ = ["as_nobody", "make_yard", "yard"]
