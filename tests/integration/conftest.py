from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from nobodys_pool import as_nobody
from yards import make_yard, yard

__all__ = ["as_nobody", "make_yard", "yard"]
