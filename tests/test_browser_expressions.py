"""Fields of expressions in a real browser, by mouse and by keyboard."""

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

USERS = set(range(1, 26))
OFTEN = {1, 2, 3}
ORDERED = {2, 6}
PREMIUM = {3, 6, 9}
HOSTILE = '<img src=x onerror="window.hit=1">'
TREND = "?events=came&num_periods=2"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Everybody came in the last days, some more often; some have ordered."""
    with RedisProcess() as server:
        app = Flask("tracked")
        app.config.update(
            BITMAPIST_REDIS_URL=server.url,
            BITMAPIST_ACCESS="public",
            BITMAPIST_EVERYONE="came ever",
            SECRET_KEY="for the tests",
        )
        Babel(app)  # Flask-Admin wants it where it is installed
        extension = FlaskBitmapist()
        extension.define("regulars", "came in at least 3 of last 28 days")
        extension.init_app(app, admin=Admin(app, name="Shop"))
        now = datetime.now(tz=timezone.utc)
        with app.app_context():
            for user in USERS:
                for back in range(1, 8 if user in OFTEN else 3):
                    mark_event("came", user, now=now - timedelta(days=back))
            for user in ORDERED:
                mark_event("Order Completed", user, now=now - timedelta(days=1))
            mark_event(HOSTILE, 1, now=now - timedelta(days=1))
            for user in PREMIUM:
                mark_unique("premium", user)
        with served(app) as address:
            yield address


class Field:
    """A field of expressions, and somebody who writes in it."""

    def __init__(self, page: Any, way: str, name: str) -> None:
        self.page = page
        self.way = way
        self.input = page.locator(f"[name='{name}'], [name='{name}-0']").first
        around = page.locator(".bm-expression").filter(has=self.input)
        # Those for an earlier text cannot be chosen.
        self.options = around.locator("ul:not([aria-busy])").get_by_role("option")
        self.told = around.get_by_role("status")
        self.marks = around.locator("mark")

    def write(self, text: str) -> None:
        """Write at the caret."""
        if not self.input.evaluate("field => field === document.activeElement"):
            self.input.click() if self.way == "mouse" else self.input.focus()
        self.page.keyboard.type(text)

    def choose(self, text: str) -> None:
        """Choose what is offered, once it is."""
        option = self.options.filter(has_text=text).first
        option.wait_for()
        if self.way == "mouse":
            option.click()
            return
        while option.get_attribute("aria-selected") != "true":
            self.page.keyboard.press("ArrowDown")
        assert self.input.get_attribute("aria-activedescendant") == (
            option.get_attribute("id")
        )
        self.page.keyboard.press("Enter")

    def says(self, text: str) -> None:
        """Wait until the field says so."""
        self.told.filter(has_text=text).wait_for()


def groups(page: Any, way: str) -> Field:
    """Open the line of users and return its first field."""
    line = page.locator("details.bm-users > summary")
    if way == "mouse":
        line.click()
    else:
        line.focus()
        page.keyboard.press("Enter")
    return Field(page, way, "segments")


def test_a_group_is_put_together_of_what_is_offered(
    page: Any, address: str, surface: str, way: str
) -> None:
    page.goto(address + url_of("trends", surface) + TREND)
    field = groups(page, way)
    field.write("ord")
    field.choose("Order Completed")
    field.choose("in last 28 days")
    field.says(f"{len(ORDERED)} users, 8.0% of everyone")
    field.write(" o")
    field.choose("or")
    field.write("prem")
    field.choose("flag(premium)")
    text = '"Order Completed" in last 28 days or flag(premium)'
    assert field.input.input_value() == text
    field.says(f"{len(ORDERED | PREMIUM)} users, 16.0% of everyone")
    assert field.input.get_attribute("aria-expanded") == "false"
    with page.expect_navigation():
        page.keyboard.press("Enter")
    line = page.locator("details.bm-users > summary").inner_text()
    assert f"Users: {text}" in " ".join(line.split())
    last = page.locator("#bm-trend tbody tr").nth(1).locator("td").first
    assert last.inner_text() == str(len(ORDERED | PREMIUM))


def test_what_is_not_known_is_underlined_until_it_is_put_right(
    page: Any, address: str, surface: str, way: str
) -> None:
    page.goto(address + url_of("cohort", surface))
    field = Field(page, way, "primary_event")
    field.write("came and flag(premum) and xyz")
    page.keyboard.press("Escape")
    field.says("Unknown flag 'premum'. Did you mean 'premium'?")
    field.says("Unknown event 'xyz'.")
    assert field.marks.all_inner_texts() == ["flag(premum)", "xyz"]
    assert field.input.get_attribute("aria-invalid") == "true"
    told = field.told.get_attribute("id")
    assert told in (field.input.get_attribute("aria-describedby") or "").split()
    # The marks lie where the words are.
    over, under = field.marks.first.bounding_box(), field.input.bounding_box()
    assert under["x"] < over["x"] < under["x"] + under["width"]
    assert under["y"] <= over["y"] < under["y"] + under["height"]
    field.input.fill("came and flag(premium)")
    field.says("This week: ")
    assert field.marks.count() == 0
    assert field.input.get_attribute("aria-invalid") is None


@pytest.mark.parametrize("way", ["keyboard"])
def test_a_field_is_a_combobox_that_keys_and_screen_readers_know(
    page: Any, address: str, surface: str, way: str
) -> None:
    page.goto(address + url_of("lifecycle", surface))
    box = page.get_by_role("combobox", name="Users who did")
    assert box.get_attribute("aria-autocomplete") == "list"
    assert box.get_attribute("aria-expanded") == "false"
    box.focus()
    page.keyboard.press("ArrowDown")
    listed = page.get_by_role("listbox", name="Suggestions")
    listed.wait_for()
    assert box.get_attribute("aria-controls") == listed.get_attribute("id")
    assert box.get_attribute("aria-expanded") == "true"
    options = listed.get_by_role("option")
    for key, at in (("", 0), ("ArrowDown", 1), ("ArrowUp", 0), ("ArrowUp", -1)):
        if key:
            page.keyboard.press(key)
        chosen = options.nth(at % options.count()) if at >= 0 else None
        active = box.get_attribute("aria-activedescendant")
        assert active == (chosen and chosen.get_attribute("id"))
    page.keyboard.press("Escape")
    listed.wait_for(state="hidden")
    assert box.get_attribute("aria-expanded") == "false"
    assert box.evaluate("field => field === document.activeElement")
    page.keyboard.press("ArrowDown")
    listed.wait_for()
    page.keyboard.press("Tab")
    listed.wait_for(state="hidden")
    assert box.input_value() == ""


def test_a_name_that_is_code_is_shown_and_written_as_a_name(
    page: Any, address: str, surface: str, way: str
) -> None:
    page.goto(address + url_of("lifecycle", surface))
    field = Field(page, way, "event")
    field.write("img")
    field.choose(HOSTILE)
    assert HOSTILE in field.input.input_value().replace('\\"', '"')
    field.says("This")
    field.input.fill(f"{HOSTILE} ever")
    page.keyboard.press("Escape")
    page.locator(".bm-expression .bm-error").first.wait_for()
    assert page.locator(".bm-expression img").count() == 0


def test_a_group_is_chosen_from_the_list_with_its_size(
    page: Any, address: str, surface: str, way: str
) -> None:
    page.goto(address + url_of("trends", surface) + TREND)
    groups(page, way)
    row = page.locator(".bm-users tr").filter(has_text="regulars")
    assert row.locator(".bm-number").inner_text() == str(len(OFTEN))
    with page.expect_navigation():
        if way == "mouse":
            row.get_by_role("link").click()
        else:
            row.get_by_role("link").focus()
            page.keyboard.press("Enter")
    line = page.locator("details.bm-users > summary").inner_text()
    assert " ".join(line.split()).startswith("Users: everyone vs. regulars ·")
    # Opened again, each group's field says how many it has.
    groups(page, way)
    second = page.locator(".bm-users .bm-expression").nth(1)
    told = second.get_by_role("status").filter(has_text="3 users, 12.0% of everyone")
    told.wait_for()


@pytest.mark.parametrize("way", ["keyboard"])
def test_a_field_that_is_added_offers_as_the_others_do(
    page: Any, address: str, surface: str, way: str
) -> None:
    page.goto(address + url_of("funnel", surface))
    page.get_by_role("button", name="Add").first.focus()
    page.keyboard.press("Enter")
    added = page.locator("[data-bm-conditions=steps] [data-bm-condition]").last
    page.keyboard.type("ord")
    added.get_by_role("option").first.wait_for()
    assert added.get_by_role("combobox").get_attribute("aria-expanded") == "true"


def test_without_scripts_it_is_a_field_of_text(
    browser: Any, address: str, surface: str
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address + url_of("lifecycle", surface))
    field = page.locator("[name=event]")
    assert field.get_attribute("role") is None
    assert field.get_attribute("list") == "bm-events"
    field.fill("came")
    with page.expect_navigation():
        field.press("Enter")
    assert page.locator("#bm-heading").is_visible()
    context.close()
