"""Groups of users compared in a real browser, by mouse and by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from flask import Flask

from flask_bitmapist import FlaskBitmapist, mark_event, mark_unique

pytest.importorskip("playwright.sync_api")
pytest.importorskip("flask_admin")
pytest.importorskip("flask_babel")

from flask_admin import Admin
from flask_babel import Babel

from .pages import url_of
from .servers import RedisProcess, served

pytestmark = pytest.mark.browser

PREMIUM = {3, 6, 9}
STAFF = {12}
OFTEN = {1, 2, 3}
PAID = {2, 6}
USERS = set(range(1, 13))
ASKED = {
    "cohort": "?primary_event=came&time_group=days&num_rows=3&num_cols=3",
    "trends": "?events=came&num_periods=2",
    "funnel": "?steps=came&steps=paid&num_periods=3&window=1",
}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Everybody came yesterday and the day before; some often; some have paid."""
    with RedisProcess() as server:
        app = Flask("tracked")
        app.config.update(
            BITMAPIST_REDIS_URL=server.url,
            BITMAPIST_ACCESS="public",
            SECRET_KEY="for the tests",
        )
        Babel(app)  # Flask-Admin wants it where it is installed
        FlaskBitmapist(app, admin=Admin(app, name="Shop"))
        now = datetime.now(tz=timezone.utc)
        with app.app_context():
            for user in USERS:
                for back in range(1, 8 if user in OFTEN else 3):
                    mark_event("came", user, now=now - timedelta(days=back))
            for user in PAID:
                mark_event("paid", user, now=now - timedelta(days=1))
            for flag, users in {"premium": PREMIUM, "staff": STAFF}.items():
                for user in users:
                    mark_unique(flag, user)
        with served(app) as address:
            yield address


PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


@pytest.fixture(params=["mouse", "keyboard"])
def way(request: pytest.FixtureRequest) -> str:
    """How somebody works: with a mouse or a finger on a phone, or with keys."""
    return str(request.param)


@pytest.fixture(params=["standalone", "admin"])
def surface(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def page(browser: Any, way: str) -> Iterator[Any]:
    size = PHONE if way == "mouse" else DESK
    context = browser.new_context(viewport=size)
    problems: list[str] = []
    opened = context.new_page()
    opened.on("pageerror", lambda error: problems.append(str(error)))
    yield opened
    wide = opened.evaluate("document.documentElement.scrollWidth")
    context.close()
    assert problems == []
    assert wide <= size["width"]


class Person:
    """Somebody who uses a page with a mouse, or without."""

    def __init__(self, page: Any, way: str) -> None:
        self.page = page
        self.way = way

    def press(self, found: Any) -> None:
        if self.way == "mouse":
            found.click()
        else:
            found.focus()
            self.page.keyboard.press("Enter")

    def follow(self, found: Any) -> None:
        with self.page.expect_navigation():
            self.press(found)

    def compare(
        self, *groups: str, without: str = "", earlier: str = "", show: bool = True
    ) -> None:
        self.press(self.page.locator("details.bm-users > summary"))
        for number, group in enumerate(groups):
            if number:
                self.press(self.page.get_by_role("button", name="Add a group"))
            self.type(f"[name='segments-{number}'], [name='segments']", group)
        if without:
            self.type("[name='exclude']", without)
        if earlier:
            self.type("[name='compare']", earlier)
        if self.way == "mouse":
            self.follow(self.page.locator(".bm-users-fields button.btn-primary"))
        else:
            with self.page.expect_navigation():
                self.page.keyboard.press("Enter")

    def type(self, field: str, text: str) -> None:
        found = self.page.locator(field).last
        self.press(found) if self.way == "mouse" else found.focus()
        self.page.keyboard.type(text)
        self.page.keyboard.press("Escape")  # the browser's own suggestions

    def line(self) -> str:
        text = self.page.locator("details.bm-users > summary").inner_text()
        return " ".join(text.split())

    def users_behind(self, found: Any) -> set[int]:
        self.follow(found)
        rows = self.page.locator("tbody th[scope=row]").all_inner_texts()
        self.page.go_back()
        return set(map(int, rows))


def test_two_groups_are_compared_in_retention(
    page: Any, address: str, surface: str, way: str
) -> None:
    page.goto(address + url_of("cohort", surface) + ASKED["cohort"])
    person = Person(page, way)
    assert person.line() == "Users: Everyone · + Compare"
    person.compare("flag(premium)", "everyone else")
    assert person.line().startswith("Users: flag(premium) vs. everyone else ·")
    assert page.locator(".bm-heat").count() == 2
    for number, users in enumerate((PREMIUM, USERS - PREMIUM)):
        sizes = page.locator(".bm-heat").nth(number).locator("tbody .bm-size a")
        assert person.users_behind(sizes.first) == users
    assert page.locator("#bm-compared-1").get_by_text("Difference").is_visible()


def test_some_are_left_out(page: Any, address: str, surface: str, way: str) -> None:
    page.goto(address + url_of("trends", surface) + ASKED["trends"])
    person = Person(page, way)
    person.compare(without="flag(staff)")
    assert "without flag(staff)" in person.line()
    assert "without flag(staff)" in page.title()
    assert person.users_behind(page.locator("#bm-trend tbody a").last) == USERS - STAFF


@pytest.mark.parametrize(
    ("group", "users"),
    [
        ("came in at least 3 of last 28 days", OFTEN),
        ("came ever and paid never", USERS - PAID),
    ],
)
def test_a_group_is_told_by_when_something_was_done(
    page: Any, address: str, surface: str, way: str, group: str, users: set[int]
) -> None:
    page.goto(address + url_of("trends", surface) + ASKED["trends"])
    person = Person(page, way)
    person.compare(group)
    assert person.users_behind(page.locator("#bm-trend tbody a").last) == users


def test_a_group_that_does_not_say_when_is_told_beside_its_field(
    page: Any, address: str, surface: str, way: str
) -> None:
    page.goto(address + url_of("trends", surface) + ASKED["trends"])
    Person(page, way).compare("came")
    told = page.locator(".bm-users .bm-error")
    assert told.is_visible()
    assert "came ever" in told.inner_text()
    assert page.locator("[name='segments']").first.input_value() == "came"


def test_days_are_compared_with_those_before(
    page: Any, address: str, surface: str, way: str
) -> None:
    page.goto(address + url_of("trends", surface) + ASKED["trends"])
    person = Person(page, way)
    person.compare(earlier="previous")
    assert "compared with" in person.line()
    page.locator("canvas").first.wait_for()
    before = page.locator("#bm-compared-1 tbody tr").last.locator("td a").last
    assert person.users_behind(before) == OFTEN


def test_a_funnel_has_two_bars_for_each_step(
    page: Any, address: str, surface: str, way: str
) -> None:
    page.goto(address + url_of("funnel", surface) + ASKED["funnel"])
    person = Person(page, way)
    person.compare("flag(premium)", "everyone else")
    page.locator("#bm-compared-1").wait_for()
    drawn = page.evaluate(
        "Chart.getChart(document.querySelector('canvas')).data.datasets.length"
    )
    assert drawn == 2
    paid = page.locator("#bm-compared-2 tbody tr").last.locator("td a")
    assert person.users_behind(paid.first) == PREMIUM & PAID
    assert person.users_behind(paid.last) == PAID - PREMIUM
