"""The README and the documentation say what is so: every block of code in them runs."""

from __future__ import annotations

import os
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import pytest
from flask import Flask

from .cdnow import marks
from .inside import PREFIX, Settings
from .needs import need

# The pages show what all of the extras are for.
pytest.importorskip("fakeredis")
pytest.importorskip("flask_admin")

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
FIVE_MINUTES = ROOT / "docs" / "five-minutes.md"
PAGES = [
    README,
    *sorted(
        page for page in (ROOT / "docs").glob("**/*.md") if "_build" not in page.parts
    ),
]
SAMPLE = ROOT / "flask_bitmapist" / "data" / "cdnow_sample.csv.gz"
BLOCK = re.compile(r"^```(\w+)?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")
IMPORTED = re.compile(r"^(?:from|import) (\w+)", re.MULTILINE)
PRINTED = re.compile(r"print\(.*\)  # (.+)$", re.MULTILINE)

# What apps run beside; pages about it are skipped where it is missing.
HOSTS = {"celery", "flask_security"}

# Text that is no code: configuration of other programs, output, data.
TEXT = {"text", "ini", "json", "csv", "nginx", "html", "jinja", "toml", "yaml", "diff"}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).with_suffix("").as_posix()


every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def blocks(page: Path, language: str) -> list[str]:
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [code for name, code in found if name == language]


@every_page
def test_every_block_is_of_a_kind_that_is_tested(page: Path) -> None:
    kinds = {name for name, _ in BLOCK.findall(page.read_text(encoding="utf-8"))}
    assert kinds <= {"python", "console"} | TEXT


@every_page
def test_the_python_of_a_page_runs_and_prints_what_it_says(
    page: Path, redis_url: str, tmp_path: Path
) -> None:
    code = blocks(page, "python")
    for package in set(IMPORTED.findall("\n".join(code))) & HOSTS:
        need(package)
    # The README shows ways to go on from its first block; a page is one story.
    first, rest = code[:1], code[1:]
    ways = [[*first, each] for each in rest] if page == README else [code]
    for way in filter(None, ways):
        script = "\n\n".join(way)
        (tmp_path / "page.py").write_text(script, encoding="utf-8")
        done = run([sys.executable, "page.py"], redis_url, tmp_path)
        assert done.returncode == 0, done.stderr
        if told := PRINTED.findall(script):
            assert done.stdout.splitlines() == told


@every_page
def test_every_command_of_a_page_works(
    page: Path, redis_url: str, tmp_path: Path
) -> None:
    if page.stem == "redis-py":
        return  # scripts/check_resolvers.py runs it, with the tools that it is about
    prepare(page, tmp_path)
    for block in blocks(page, "console"):
        assert block.startswith("$ ")
        one_line_each = block.replace("\\\n", "")
        for command in re.split(r"^\$ ", one_line_each, flags=re.MULTILINE)[1:]:
            line, _, told = command.partition("\n")
            output = check_command(shlex.split(line), redis_url, tmp_path)
            check_output(told.splitlines(), output.splitlines())


def test_the_five_minutes_end_at_a_heatmap_of_the_apps_own_orders(
    redis_url: str, tmp_path: Path
) -> None:
    test_every_command_of_a_page_works(FIVE_MINUTES, redis_url, tmp_path)
    text = FIVE_MINUTES.read_text(encoding="utf-8")
    links = re.findall(r"^  (/bitmapist/\S+)$", text, re.M)
    average = re.findall(r"^On average, (\S+) came back in month 1", text, re.M)
    assert len(links) == len(average) == 1
    look = (
        "from app import app, bitmapist\n"
        "bitmapist.access(lambda: True)\n"
        f"print(app.test_client().get({links[0]!r}).text)\n"
    )
    page = run([sys.executable, "-c", look], redis_url, tmp_path)
    assert f"On average, {average[0]} came back in month 1" in page.stdout


def prepare(page: Path, folder: Path) -> None:
    """Put what a page takes for granted into a folder: an app, its database, a file."""
    (folder / "flask_bitmapist").symlink_to(ROOT / "flask_bitmapist")
    (folder / SAMPLE.name).symlink_to(SAMPLE)
    text = page.read_text(encoding="utf-8")
    makes_its_own = "`app.py`" in text
    app = blocks(page if makes_its_own else README, "python")[0]
    (folder / "app.py").write_text(app, encoding="utf-8")
    if "shop.db" in text:
        fill_shop(folder / "shop.db")
        (folder / "instance").mkdir()
        (folder / "instance" / "shop.db").symlink_to(folder / "shop.db")


def fill_shop(file: Path) -> None:
    """Make the database of a shop that has been selling for a year and a half.

    Its orders are real ones, moved by 28 years, after which weekdays are the same.
    """
    orders = [
        (each.user, each.at.replace(year=each.at.year + 28).isoformat(" "))
        for each in marks()
        if each.event == "purchase"
    ]
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(
            "CREATE TABLE orders"
            " (id INTEGER PRIMARY KEY, customer_id INTEGER, placed_at DATETIME)"
        )
        database.executemany(
            "INSERT INTO orders (customer_id, placed_at) VALUES (?, ?)", orders
        )


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
    elif words[:2] == ["flask", "run"]:
        pass
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
        "FLASK_SECRET_KEY": "for the tests",
        "BITMAPIST_REDIS_URL": redis_url,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
    }
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True
    )


@every_page
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_extra_that_is_named_is_one() -> None:
    page = (ROOT / "docs" / "reference" / "extras.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert len(named) >= 10
    for extra in named:
        check_extras(f"flask-bitmapist[{extra}]")


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").split()) <= 700


def test_every_page_that_is_named_is_there() -> None:
    reference = (ROOT / "docs" / "reference" / "pages.md").read_text(encoding="utf-8")
    named = re.findall(r"`(/bitmapist/\w*)`", reference)
    namespace: dict[str, object] = {"__name__": "quickstart"}
    exec(compile(blocks(README, "python")[0], "README.md", "exec"), namespace)
    app = namespace["app"]
    assert isinstance(app, Flask)
    exec("bitmapist.access(lambda: True)", namespace)
    client = app.test_client()
    assert len(set(named)) == 8
    for path in named:
        assert client.get(path).status_code == 200, path
    assert client.get("/play/1").text == "Playing."
    assert "song:played" in client.get("/bitmapist/").text
