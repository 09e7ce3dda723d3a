"""Packages that only some tests need."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest


def need(package: str) -> None:
    """Skip a test without a package; fail where all of them should be installed."""
    if not _is_installed(package):
        missing = f"{package} is not installed: pip install --group hosts"
        if os.environ.get("BITMAPIST_REQUIRE_HOSTS") == "1":
            pytest.fail(missing)
        pytest.skip(missing)


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of what the package would be in
        return False
