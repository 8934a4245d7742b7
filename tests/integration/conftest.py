from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from yards import make_yard, yard

__all__ = ["make_yard", "yard"]
