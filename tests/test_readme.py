"""The README and the documentation say what is so: every block of code in them runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from flask import Flask

from .inside import PREFIX, Settings

# The pages show what all of the extras are for.
pytest.importorskip("fakeredis")
pytest.importorskip("flask_admin")

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
SAMPLE = ROOT / "flask_bitmapist" / "data" / "cdnow_sample.csv.gz"
BLOCK = re.compile(r"^```(\w+)?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")

# Text that is no code: configuration of other programs, output, data.
TEXT = {"text", "ini", "json", "csv", "nginx", "html", "jinja", "toml", "yaml", "diff"}


def blocks(page: Path, language: str) -> list[str]:
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [code for name, code in found if name == language]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_is_of_a_kind_that_is_tested(page: Path) -> None:
    kinds = {name for name, _ in BLOCK.findall(page.read_text(encoding="utf-8"))}
    assert kinds <= {"python", "console"} | TEXT


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_python_of_a_page_runs_from_top_to_bottom(
    page: Path, redis_url: str, tmp_path: Path
) -> None:
    code = "\n\n".join(blocks(page, "python"))
    if not code:
        return
    script = tmp_path / "page.py"
    script.write_text(code, encoding="utf-8")
    done = run([sys.executable, str(script)], redis_url, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_works(
    page: Path, redis_url: str, tmp_path: Path
) -> None:
    for name in ("demo_app", "flask_bitmapist"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / SAMPLE.name).symlink_to(SAMPLE)
    makes_its_own = "a file `app.py`" in page.read_text(encoding="utf-8")
    app = blocks(page if makes_its_own else ROOT / "README.md", "python")[0]
    (tmp_path / "app.py").write_text(app, encoding="utf-8")
    for block in blocks(page, "console"):
        assert block.startswith("$ ")
        for command in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, told = command.partition("\n")
            output = check_command(shlex.split(line), redis_url, tmp_path)
            check_output(told.splitlines(), output.splitlines())


def check_output(told: list[str], output: list[str]) -> None:
    """Check that lines come one after the other; ``...`` is for any there may be."""
    if not told:
        return
    output = [line.rstrip() for line in output]
    at, elided = 0, False
    for line in told:
        if line == "...":
            elided = True
            continue
        at = output.index(line, at) if elided else at
        assert output[at : at + 1] == [line]
        at, elided = at + 1, False


def check_command(words: list[str], redis_url: str, folder: Path) -> str:
    """Run a command and return what a terminal shows of it.

    Those that install or serve are checked without doing it.
    """
    if words[0] == "export":
        name = words[1].partition("=")[0].removeprefix("FLASK_" + PREFIX)
        assert name.lower() in {each.name for each in fields(Settings)}
    elif words[0] == "make":
        done = subprocess.run(
            ["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    elif words[:2] == ["pip", "install"]:
        check_extras(words[2])
    else:
        assert words[0] in ("flask", "python"), words
        known = {"flask": [sys.executable, "-m", "flask"], "python": [sys.executable]}
        done = run([*known[words[0]], *words[1:]], redis_url, folder)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout + done.stderr  # where the remarks are
    return ""


def check_extras(requirement: str) -> None:
    extras = re.findall(r"[\w-]+", requirement.partition("[")[2])
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    assert requirement.startswith("flask-bitmapist")
    for extra in extras:
        assert f'"{extra}": ' in setup


def run(
    command: list[str], redis_url: str, folder: Path
) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "FLASK_BITMAPIST_REDIS_URL": redis_url,
        "BITMAPIST_REDIS_URL": redis_url,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
    }
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_setting_is_in_the_table_with_its_default_and_meaning() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for each in fields(Settings):
        name = PREFIX + each.name.upper()
        row = f"| `{name}` | `{each.default!r}` | {each.metadata['help']} |"
        assert row in readme, row


def test_every_page_that_is_named_is_there(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"`(/bitmapist/\w*)`", readme)
    code = blocks(ROOT / "README.md", "python")[0]
    namespace: dict[str, object] = {"__name__": "quickstart"}
    exec(compile(code, "README.md", "exec"), namespace)
    app = namespace["app"]
    assert isinstance(app, Flask)
    exec("bitmapist.access(lambda: True)", namespace)
    client = app.test_client()
    assert len(set(named)) == 8
    for path in named:
        assert client.get(path).status_code == 200, path
    assert client.get("/").text == "Hello, user 1."
    assert "index:visited" in client.get("/bitmapist/").text
