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
BOUGHT = {1: {1, 2, 3}, 2: {2, 4}, 5: {5, 6}, 7: {7}}
"""Who bought how many weeks ago."""
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
            wednesday = now - timedelta(days=now.weekday() - 2)
            for weeks, users in BOUGHT.items():
                for user in users:
                    mark_event("bought", user, now=wednesday - timedelta(weeks=weeks))
            for flag, users in {"premium": PREMIUM, "staff": STAFF}.items():
                for user in users:
                    mark_unique(flag, user)
        with served(app) as address:
            yield address


class Person:
    """Somebody who uses a page with a mouse, or without."""

    def __init__(self, page: Any, way: str) -> None:
        self.page = page
        self.way = way

    def press(self, found: Any) -> None:
        if self.way == "mouse":
            found.click()
        else:
            self.reach(found)
            self.page.keyboard.press("Enter")

    def reach(self, found: Any) -> None:
        """Go to something with the Tab key alone."""
        for _ in range(200):
            if found.evaluate("each => each === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        pytest.fail(f"the Tab key never leads to {found}")

    def follow(self, found: Any) -> None:
        with self.page.expect_navigation(wait_until="domcontentloaded"):
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
            with self.page.expect_navigation(wait_until="domcontentloaded"):
                self.page.keyboard.press("Enter")

    def type(self, field: str, text: str) -> None:
        found = self.page.locator(field).last
        self.press(found) if self.way == "mouse" else self.reach(found)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.type(text)
        self.page.keyboard.press("Escape")  # the browser's own suggestions

    def choose(self, field: str, text: str) -> None:
        found = self.page.locator(field)
        if self.way == "mouse":
            found.select_option(label=text)
        else:
            self.reach(found)
            self.page.keyboard.type(text)

    def show(self) -> None:
        self.follow(self.page.get_by_role("button", name="Show", exact=True))

    def line(self) -> str:
        text = self.page.locator("details.bm-users > summary").inner_text()
        return " ".join(text.split())

    def users_behind(self, found: Any) -> set[int]:
        if self.way == "keyboard":
            found.focus()  # it is one of many links: Tab alone would take long
        self.follow(found)
        rows = self.page.locator("tbody th[scope=row]").all_inner_texts()
        self.page.go_back(wait_until="domcontentloaded")
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
        heat = page.locator(".bm-heat").nth(number)
        row = heat.locator("tbody tr", has=page.locator(".bm-size a")).first
        assert person.users_behind(row.locator(".bm-size a")) == users
        assert person.users_behind(row.locator("td a").last) == users
    assert page.locator("#bm-compared-1").get_by_text("Difference").is_visible()


@pytest.mark.parametrize(
    ("name", "number"),
    [("trends", "#bm-trend tbody tr:last-child a"), ("cohort", ".bm-heat .bm-size a")],
)
def test_some_are_left_out(
    page: Any, address: str, surface: str, way: str, name: str, number: str
) -> None:
    page.goto(address + url_of(name, surface) + ASKED[name])
    person = Person(page, way)
    person.compare(without="flag(staff)")
    assert "without flag(staff)" in person.line()
    assert "without flag(staff)" in page.title()
    assert person.users_behind(page.locator(number).first) == USERS - STAFF


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


def test_growth_is_told_by_week_and_by_the_last_28_days_against_those_before(
    page: Any, address: str, surface: str, way: str
) -> None:
    page.goto(address + url_of("trends", surface))
    person = Person(page, way)
    person.type("[name='events-0'], [name='events']", "bought")
    person.press(page.get_by_role("button", name="Add another"))
    person.type("[name='events-1']", "bought in last 28 days")
    person.choose("[name='time_group']", "week")
    person.type("[name='num_periods']", "4")
    person.show()
    person.compare(earlier="previous")
    assert "compared with" in person.line()
    # The week at the top is not over.
    for number, (now, before, change) in enumerate(
        [
            (BOUGHT[1], BOUGHT[5], "+50.0%"),
            (BOUGHT[1] | BOUGHT[2], BOUGHT[5] | BOUGHT[7], "+33.3%"),
        ],
        start=1,
    ):
        week = page.locator(f"#bm-compared-{number} tbody tr").nth(1)
        assert week.locator("td").last.inner_text() == change
        counts = week.locator("td a")
        assert person.users_behind(counts.first) == now
        assert person.users_behind(counts.last) == before


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
