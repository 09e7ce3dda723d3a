"""The methods of the questions are typed: mypy tells wrong calls from right ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")

ROOT = Path(__file__).parents[1]


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        # Of the calls alone: the libraries below have not been typed for ever.
        [
            *(sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"),
            *arguments,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_right_calls_pass_and_each_wrong_one_is_told(tmp_path: Path) -> None:
    cache = f"--cache-dir={tmp_path}"
    calls = Path(__file__).with_name("typed_calls.py")
    done = check(cache, str(calls))
    assert done.returncode == 0, done.stdout + done.stderr

    # Without the comments there are as many errors as wrong calls.
    bare = tmp_path / "bare_calls.py"
    lines = calls.read_text("utf-8").splitlines()
    bare.write_text("\n".join(line.partition("  # type: ")[0] for line in lines))
    wrong = sum("  # type: ignore[" in line for line in lines)
    assert wrong >= 15
    done = check(cache, str(bare))
    assert f"Found {wrong} errors in 1 file" in done.stdout, done.stdout
