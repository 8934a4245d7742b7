"""Names of a supervisor that name none: they are refused, before anybody is asked."""

from __future__ import annotations

import os

import pytest
from jobyard.client.address import find_target
from jobyard.protocol.errors import BadArguments

ODD = os.fsdecode(b"\xff")


def test_a_socket_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(BadArguments, match="is not the path of a socket"):
        find_target(f"/p/{ODD}", None, {})
