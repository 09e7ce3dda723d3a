"""Packages that only some tests need."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest


def need(package: str) -> None:
    """Skip a test without a package; fail where all of them should be installed."""
    if find_spec(package) is None:
        missing = f"{package} is not installed: pip install -e '.[hosts]'"
        if os.environ.get("BITMAPIST_REQUIRE_HOSTS") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
