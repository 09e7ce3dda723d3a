"""The commands that run the demo and the tests, on a machine that has only Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="no make on PATH")


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # The command is no part of the run that it is called from.
    own = {key: value for key, value in os.environ.items() if "PYTEST" not in key}
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**own, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def setup_py(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    environment["PYTEST_XDIST_AUTO_NUM_WORKERS"] = "0"
    return run(sys.executable, "-W", "ignore", "setup.py", *arguments, **environment)


def test_setup_py_test_runs_the_suite() -> None:
    done = setup_py("test", PYTEST_ADDOPTS="-q tests/test_periods.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ passed", done.stdout, re.MULTILINE)


def test_setup_py_test_fails_where_the_suite_does() -> None:
    done = setup_py("test", PYTEST_ADDOPTS="-q tests/no_such_file.py")
    assert done.returncode != 0


@needs_make
@pytest.mark.parametrize(
    ("target", "command"), [("demo", "-m demo_app"), ("test", "-m pytest -n auto")]
)
def test_a_fresh_checkout_installs_what_it_needs_into_its_own_environment(
    tmp_path: Path, target: str, command: str
) -> None:
    planned = run("make", "--dry-run", f"VENV={tmp_path}/venv", target).stdout
    made = planned.index(f"-m venv {tmp_path}/venv")
    installed = planned.index("pip install")
    assert made < installed < planned.index(command)


@needs_make
def test_a_python_that_is_too_old_is_told_so(tmp_path: Path) -> None:
    old = tmp_path / "python2"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = run("make", f"VENV={tmp_path}/venv", f"PYTHON={old}", "demo")
    assert done.returncode != 0
    assert "Python 3.10 or newer is needed" in done.stderr
    assert not (tmp_path / "venv").exists()
