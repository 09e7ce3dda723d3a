"""The documentation names everything there is, its tables add up, its examples run."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import pkgutil
import re
from dataclasses import fields
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import redis
from flask import Flask

import flask_bitmapist
from flask_bitmapist import FlaskBitmapist, mark_event
from flask_bitmapist.questions import Answer
from scripts import reference

from .inside import PREFIX, Settings

# Some examples are of what is optional.
flask_admin = pytest.importorskip("flask_admin")
flask_login = pytest.importorskip("flask_login")
flask_sqlalchemy = pytest.importorskip("flask_sqlalchemy")
pytest.importorskip("fakeredis")

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(
    path
    for path in DOCS.glob("**/*.*")
    if path.suffix in (".md", ".rst") and "_build" not in path.parts
)


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", flask_bitmapist.__all__)
def test_every_public_name_is_in_the_reference(name: str) -> None:
    assert re.search(rf"\b{name}\b", text_of("reference/python.rst"))


def test_every_setting_is_in_the_reference_with_its_default_and_meaning() -> None:
    text = text_of("reference/settings.md")
    for each in fields(Settings):
        name = PREFIX + each.name.upper()
        assert f"| `{name}` | `{each.default!r}` | {each.metadata['help']} |" in text
    assert text == reference.settings()  # make reference


def test_every_command_is_in_the_reference() -> None:
    # sphinx-click lists what the group knows, apart from what is hidden.
    directive = text_of("reference/cli.md")
    module, _, name = re.findall(r"\{click\} ([\w.]+)(:)(\w+)", directive)[0]
    group = getattr(importlib.import_module(module), name)
    assert ":nested: full" in directive
    assert len(group.commands) >= 14
    for command in group.commands.values():
        assert not command.hidden
        assert command.help
        options = [each for each in command.params if hasattr(each, "is_flag")]
        for option in options:
            assert option.help, (command.name, option.name)


def test_the_reference_of_the_questions_is_as_they_are_declared() -> None:
    assert text_of("reference/questions.md") == reference.questions()  # make reference


def test_what_is_public_is_called_as_it_was() -> None:
    told = (DOCS.parent / "tests" / "public.txt").read_text(encoding="utf-8")
    assert told.count("\n") > 50
    assert told == reference.public()  # make reference, and tell it in the changelog


def test_the_reference_of_expressions_is_as_they_are_read_and_answered() -> None:
    assert (
        text_of("reference/expressions.md") == reference.expressions()
    )  # make reference


def test_every_page_is_in_the_table_of_contents() -> None:
    index = text_of("index.md")
    for page in PAGES:
        name = page.relative_to(DOCS).with_suffix("").as_posix()
        if name not in ("index", "README") and not name.startswith("_build/"):
            assert re.search(rf"^{re.escape(name)}$", index, re.MULTILINE), name


def test_every_page_for_reading_is_in_the_list_of_the_repository() -> None:
    listed = text_of("README.md")
    pages = [path for path in PAGES if path.suffix == ".md"]
    assert len(pages) > 20
    for page in pages:
        name = page.relative_to(DOCS).as_posix()
        if not name.startswith(("index", "README", "reference/cli", "_build/")):
            assert f"({name})" in listed, name


# -- the table of what events take in Redis

UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}


def shown(size: float) -> str:
    for unit, factor in UNITS.items():
        if size < 1000 * factor or unit == "GB":
            return (
                f"{size / factor:.0f} {unit}"
                if unit == "B"
                else (f"{size / factor:.1f} {unit}")
            )
    raise AssertionError


def bitmaps_in_a_year() -> int:
    days = [date(2026, 1, 1) + timedelta(days=each) for each in range(365)]
    weeks = {day.isocalendar()[:2] for day in days}
    months = {day.month for day in days}
    return len(days) + len(weeks) + len(months)


def table_rows() -> list[tuple[str, str]]:
    """The rows of the two tables that begin with a number of users."""
    rows = re.findall(r"^\| ([\d,]+) \| (.*) \|$", text_of("explanation/cost.md"), re.M)
    assert len(rows) == 5 + 4
    return rows


def test_the_table_of_memory_follows_from_its_formula() -> None:
    rows = table_rows()[:5]
    year = bitmaps_in_a_year()
    assert year == 430
    for users, cells in rows:
        one = int(users.replace(",", "")) / 8 + 100
        hours = year + 365 * 24
        wanted = [one, 3 * one, year * one, 20 * year * one, 20 * hours * one]
        assert cells.split(" | ") == list(map(shown, wanted))


def test_a_bitmap_takes_as_much_of_redis_as_the_table_says(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    allocator = client.info("memory")["mem_allocator"]
    if not allocator.startswith("jemalloc"):
        pytest.skip(f"The table is of jemalloc, this is {allocator}")
    for users, cells in table_rows()[5:8]:
        count = int(users.replace(",", ""))
        formula, loaded, grown = (int(x.replace(",", "")) for x in cells.split(" | "))
        assert formula == count / 8 + 100
        client.set("loaded", bytes(count // 8))
        pipeline = client.pipeline(transaction=False)
        for user_id in range(count):
            pipeline.setbit("grown", user_id, 1)
        pipeline.execute()
        # Versions differ in what a key takes beside its bitmap.
        assert client.memory_usage("loaded") == pytest.approx(loaded, rel=0.25)
        assert client.memory_usage("grown") == pytest.approx(grown, rel=0.25)
        client.delete("loaded", "grown")


# -- the examples in docstrings and in the reference


def modules() -> list[str]:
    found = pkgutil.walk_packages(flask_bitmapist.__path__, "flask_bitmapist.")
    return [each.name for each in found]


@pytest.fixture
def names() -> dict[str, Any]:
    """What examples take for granted."""
    app = Flask("examples")
    app.config.update(
        SECRET_KEY="for the tests",
        SQLALCHEMY_DATABASE_URI="sqlite://",
        BITMAPIST_REDIS_URL="memory://",
    )
    if importlib.util.find_spec("flask_babel"):
        importlib.import_module("flask_babel").Babel(app)
    flask_login.LoginManager(app).user_loader(lambda user_id: None)
    bitmapist = FlaskBitmapist(app)
    with app.app_context():
        for user in (1, 2):
            mark_event("song:played", user)
    orm = importlib.import_module("sqlalchemy.orm")
    return {
        "Flask": Flask,
        "FlaskBitmapist": FlaskBitmapist,
        "WeekdaysAnswer": Answer,
        "Mapped": orm.Mapped,
        "admin": flask_admin.Admin(app),
        "app": app,
        "bitmapist": bitmapist,
        "current_user": flask_login.current_user,
        "date": date,
        "db": flask_sqlalchemy.SQLAlchemy(app),
        "mapped_column": orm.mapped_column,
    }


def examples(module: ModuleType) -> list[doctest.DocTest]:
    found = doctest.DocTestFinder().find(module, module.__name__)
    return [each for each in found if each.examples]


@pytest.mark.parametrize("name", modules())
def test_the_examples_of_a_module_run(name: str, names: dict[str, Any]) -> None:
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )
    told: list[str] = []
    for example in examples(module):
        example.globs = {**vars(module), **names, "__name__": "examples"}
        # Nobody could find what annotations that are texts mean here.
        example.globs.pop("annotations", None)
        with names["app"].app_context():
            runner.run(example, out=told.append)
    assert not told, "".join(told)


def test_the_examples_of_the_reference_run(names: dict[str, Any]) -> None:
    text = text_of("reference/python.rst")
    page = doctest.DocTestParser().get_doctest(text, names, "python.rst", None, 0)
    assert page.examples
    told: list[str] = []
    with names["app"].app_context():
        doctest.DocTestRunner().run(page, out=told.append)
    assert not told, "".join(told)


def test_there_are_examples() -> None:
    found = [
        each for name in modules() for each in examples(importlib.import_module(name))
    ]
    assert len(found) >= 12
