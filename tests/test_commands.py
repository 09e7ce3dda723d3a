"""The commands that run the demo and the tests, on a machine that has only Python."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMED = set(
    re.findall(r"(?:`|\$ )make ([\w-]+)", (ROOT / "CONTRIBUTING.md").read_text())
)

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
    # Where something is missing it makes an environment, which takes minutes.
    pytest.importorskip("flask_admin")
    environment["PYTEST_XDIST_AUTO_NUM_WORKERS"] = "0"
    return run(sys.executable, "-W", "ignore", "setup.py", *arguments, **environment)


def test_setup_py_test_runs_the_suite() -> None:
    done = setup_py("test", PYTEST_ADDOPTS="-q tests/test_texts.py")
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
    assert "Python 3.11 or newer is needed" in done.stderr
    assert not (tmp_path / "venv").exists()


@needs_make
@pytest.mark.parametrize("target", sorted(NAMED))
def test_a_command_that_contributors_are_told_of_is_there(target: str) -> None:
    done = run("make", "--dry-run", target)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("lines", "branches", "enough"),
    [(95, 90, True), (94, 100, False), (100, 89, False)],
)
def test_lines_and_branches_are_each_covered_well_enough(
    tmp_path: Path, lines: int, branches: int, enough: bool
) -> None:
    summary = {
        **{"covered_lines": lines, "num_statements": 100},
        **{"covered_branches": branches, "num_branches": 100},
    }
    report = tmp_path / "coverage.json"
    report.write_text(
        json.dumps({"totals": summary, "files": {"weak.py": {"summary": summary}}})
    )
    done = run(sys.executable, "scripts/check_coverage.py", str(report))
    assert (done.returncode == 0) is enough
    assert f"{lines:.1f} % of lines, {branches:.1f} % of branches" in done.stdout
    assert ("weak.py" in done.stdout) is not enough
