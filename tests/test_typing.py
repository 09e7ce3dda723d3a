"""The methods of the questions are typed: mypy tells wrong calls from right ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")

ROOT = Path(__file__).parents[1]


def test_right_calls_pass_and_each_wrong_one_is_told(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    calls = Path(__file__).with_name("typed_calls.py")
    # Without the comments there are as many errors as wrong calls.
    bare = tmp_path / "bare_calls.py"
    lines = calls.read_text("utf-8").splitlines()
    bare.write_text("\n".join(line.partition("  # type: ")[0] for line in lines))
    wrong = sum("  # type: ignore[" in line for line in lines)
    assert wrong >= 15

    # What is kept from run to run is pytest's: to read all libraries takes 15 seconds.
    kept = getattr(pytestconfig, "cache", None)
    cache = kept.mkdir("mypy") if kept else tmp_path
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", f"--cache-dir={cache}"),
            # Of the calls alone: the libraries below have not been typed for ever.
            *("--follow-imports=silent", str(calls), str(bare)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    *told, summary = done.stdout.splitlines()
    assert f"Found {wrong} errors in 1 file " in summary, done.stdout + done.stderr
    assert all("bare_calls.py:" in line for line in told), done.stdout
