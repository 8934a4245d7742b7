from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from shops import make_shop
from yards import make_yard

__all__ = ["make_shop", "make_yard"]
