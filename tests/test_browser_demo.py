"""The demo in a real browser: from its first page to the heatmap, on both surfaces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

pytest.importorskip("flask_admin", minversion="2.1")

from demo_app import create_app

pytestmark = pytest.mark.browser


@pytest.fixture
def address(redis_url: str, live_server: Callable[[Flask], str]) -> str:
    # As `make demo` runs it: not as an app under test.
    return live_server(create_app({"BITMAPIST_REDIS_URL": redis_url}))


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """A page of the browser, open on the demo; nothing may go wrong on it."""
    problems: list[str] = []
    page = browser.new_page()

    def on_console(message: Any) -> None:
        if message.type in ("error", "warning"):
            problems.append(f"{message.type}: {message.text}")

    def on_request(request: Any) -> None:
        if not request.url.startswith((address, "data:", "blob:")):
            problems.append(f"foreign request: {request.url}")

    page.on("console", on_console)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", on_request)
    page.goto(address)
    yield page
    page.close()
    assert problems == []


def rows_of(page: Any) -> list[list[str]]:
    """Return the text of the cells of the heatmap, once it is there; no averages."""
    page.locator("table.bm-heat").wait_for()
    rows = page.locator("table.bm-heat tbody tr").all()
    return [row.locator("th, td").all_inner_texts() for row in rows[1:]]


@pytest.mark.parametrize("link", ["Cohort heatmap", "The same in the Admin"])
def test_the_first_page_leads_to_the_heatmap_of_real_purchases(
    page: Any, link: str
) -> None:
    page.get_by_role("link", name=link).click()
    rows = rows_of(page)
    assert len(rows) == 18
    assert all(cells[2].startswith("100.0%") for cells in rows)
    assert page.locator(".bm-heat [class*=heat-]").count() > 100
    assert page.locator(".bm-chart canvas").first.is_visible()


@pytest.mark.parametrize("surface", ["bitmapist/cohort", "admin/bitmapist/cohort/"])
def test_the_form_is_filled_in_and_answered(
    page: Any, address: str, surface: str
) -> None:
    page.goto(f"{address}/{surface}")
    page.get_by_label("Users who did").fill("purchase")
    page.get_by_label("and came back to do").fill("big")
    page.locator("select[name=time_group]").select_option("months")
    page.get_by_label("Cohorts").fill("6")
    page.get_by_label("Periods", exact=True).fill("4")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**primary_event=purchase**")
    assert [len(cells) for cells in rows_of(page)] == [6] * 6


def test_what_a_visitor_buys_is_counted_at_once(page: Any, address: str) -> None:
    page.get_by_role("link", name="Log in").first.click()
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Buy").first.click()
    assert (
        "Marked: purchase by customer 2358." in page.get_by_role("status").inner_text()
    )
    page.goto(f"{address}/bitmapist/events")
    row = page.get_by_role("row").filter(
        has=page.get_by_role("rowheader", name="purchase")
    )
    assert row.locator("td").first.inner_text() == "1"
