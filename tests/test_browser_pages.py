"""The pages in a real browser, on both surfaces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask

from flask_bitmapist import FlaskBitmapist, mark_event

pytest.importorskip("playwright.sync_api")
pytest.importorskip("flask_admin")

from flask_admin import Admin
from flask_admin.theme import Bootstrap4Theme

from .pages import PAGES
from .servers import RedisProcess, served

pytestmark = pytest.mark.browser

AXE = Path(__file__).parent / "assets" / "axe-core-4.14.1" / "axe.min.js"
SURFACES = ["standalone", "admin"]
QUESTIONS = {
    "index": "",
    "cohort": "?primary_event=came&time_group=days&num_rows=8&num_cols=8",
    "trends": "?events-0=came&events-1=paid",
    "lifecycle": "?event=came&time_group=days&num_periods=8",
    "funnel": "?steps-0=came&steps-1=paid",
    "stickiness": "?event=came",
    "people": "?user=1",
    "events": "",
}


def filled(app: Flask, swatch: str = "default", **options: Any) -> Flask:
    """Add an Admin and a week of events to *app*."""
    try:
        from flask_babel import Babel
    except ImportError:
        pass
    else:
        Babel(app)
    theme = Bootstrap4Theme(swatch=swatch)
    FlaskBitmapist(app, admin=Admin(app, name="Shop", theme=theme, **options))
    now = datetime.now(tz=timezone.utc)
    with app.app_context():
        for back in range(7):
            for user in range(1, 40, back + 1):
                mark_event("came", user, now=now - timedelta(days=back))
                if user % 3 == 0:
                    mark_event("paid", user, now=now - timedelta(days=back))
    return app


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where an app is served that tests only look at."""
    with RedisProcess() as server:
        app = Flask("tracked")
        app.config.update(
            BITMAPIST_REDIS_URL=server.url,
            BITMAPIST_ACCESS="public",
            SECRET_KEY="for the tests",
        )
        FlaskBitmapist(app)
        with served(filled(app)) as address:
            yield address


class Watched:
    """A page of the browser, and what went wrong on it."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.address = address
        self.problems: list[str] = []
        self.page = self.tab()

    def tab(self) -> Any:
        page = self.context.new_page()
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", self._on_request)
        return page

    def _on_console(self, message: Any) -> None:
        # Flask-Admin's pages have no icon, and the browser asks for one.
        if message.type in ("error", "warning") and "favicon" not in str(
            message.location
        ):
            self.problems.append(message.text)

    def _on_request(self, request: Any) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.problems.append(f"foreign request: {request.url}")

    def open(self, surface: str, name: str, question: str | None = None) -> Any:
        query = QUESTIONS[name] if question is None else question
        place = "" if name == "index" else name
        path = f"/bitmapist/{place}" if surface == "standalone" else ""
        self.page.goto(self.address + (path or f"/admin/bitmapist/{name}/") + query)
        return self.page

    def open_all(self, surface: str, names: Iterable[str]) -> None:
        """Open pages side by side, and wait until they ask for nothing more."""
        opened = []
        for name in names:
            self.page = self.tab()
            opened.append(self.open(surface, name))
        for page in opened:
            page.wait_for_load_state("networkidle")


@pytest.fixture
def watch(browser: Any, address: str) -> Iterator[Callable[..., Watched]]:
    opened: list[Watched] = []

    def start(at: str = address, **options: Any) -> Watched:
        opened.append(Watched(browser, at, **options))
        return opened[-1]

    yield start
    for each in opened:
        each.context.close()
        assert each.problems == []


def follow(link: Any) -> None:
    """Click a link or a button and wait until the page behind it is there."""
    with link.page.expect_navigation():
        link.click()


@pytest.mark.parametrize("surface", SURFACES)
def test_from_the_form_to_the_heatmap_to_the_users(
    watch: Callable[..., Watched], surface: str
) -> None:
    page = watch().open(surface, "cohort", "")
    page.get_by_label("Users who did").fill("came")
    page.get_by_label("and came back to do").fill("paid")
    page.locator("select[name=time_group]").select_option("days")
    page.get_by_label("Cohorts").fill("5")
    follow(page.get_by_role("button", name="Show", exact=True))
    assert page.locator("table.bm-heat tbody tr").count() == 6  # and the averages
    cell = page.locator("table.bm-heat tbody tr").nth(2).locator("td a").nth(1)
    shown = cell.get_attribute("title").split(" of ")[0]
    follow(cell)
    assert page.locator("h2").first.inner_text().split()[0] == shown
    first = page.locator("tbody th a").first
    user = first.inner_text()
    follow(first)
    heading = page.locator("h2").first.inner_text()
    assert heading.startswith(f"Activity of user {user} in ")


@pytest.mark.parametrize("surface", SURFACES)
def test_conditions_come_and_go_without_losing_what_was_typed(
    watch: Callable[..., Watched], surface: str
) -> None:
    page = watch().open(surface, "cohort", "")
    page.get_by_label("Users who did").fill("came")
    page.get_by_label("and came back to do").fill("came")
    for name in ("paid", "came"):
        page.get_by_role("button", name="Add a condition").click()
        page.get_by_label("Condition", exact=True).last.fill(name)
    page.get_by_role("button", name="Remove this condition").first.click()
    assert page.get_by_label("Condition", exact=True).count() == 1
    follow(page.get_by_role("button", name="Show", exact=True))
    assert "additional_events-0-name=came" in page.url
    assert "additional_events-1" not in page.url
    assert page.get_by_label("Users who did").input_value() == "came"
    page.go_back()
    page.wait_for_load_state()


def test_conditions_come_and_go_without_scripts(watch: Callable[..., Watched]) -> None:
    page = watch(java_script_enabled=False).open("standalone", "cohort", "")
    page.get_by_label("Users who did").fill("came")
    follow(page.get_by_role("button", name="Add a condition"))
    assert page.get_by_label("Users who did").input_value() == "came"
    page.get_by_label("Condition", exact=True).fill("paid")
    follow(page.get_by_role("button", name="Add a condition"))
    assert page.get_by_label("Condition", exact=True).count() == 2
    assert page.get_by_label("Condition", exact=True).first.input_value() == "paid"
    follow(page.get_by_role("button", name="Remove this condition").last)
    page.get_by_label("and came back to do").fill("came")
    follow(page.get_by_role("button", name="Show", exact=True))
    assert page.locator("table.bm-heat").count() == 1


def test_steps_are_added_to_a_funnel(watch: Callable[..., Watched]) -> None:
    page = watch().open("standalone", "funnel", "")
    steps = page.get_by_label("Step", exact=True)
    assert steps.count() == 2
    page.get_by_role("button", name="Add another").click()
    for place, name in enumerate(("came", "paid", "came")):
        steps.nth(place).fill(name)
    follow(page.get_by_role("button", name="Show", exact=True))
    assert page.locator("#bm-funnel tbody tr").count() == 3
    page.get_by_role("button", name="Remove this entry").first.click()
    assert page.get_by_role("button", name="Remove this entry").count() == 0


def test_percent_and_users_are_one_click_apart(watch: Callable[..., Watched]) -> None:
    page = watch().open("standalone", "cohort")
    assert "%" in page.locator("table.bm-heat td a").nth(1).inner_text()
    follow(page.get_by_role("link", name="Users", exact=True).last)
    assert "%" not in page.locator("table.bm-heat td a").nth(1).inner_text()
    follow(page.get_by_role("link", name="Percent"))
    assert "%" in page.locator("table.bm-heat td a").nth(1).inner_text()


def test_a_preset_keeps_the_events(watch: Callable[..., Watched]) -> None:
    page = watch().open("standalone", "cohort")
    follow(page.get_by_role("button", name="12 weeks"))
    assert "time_group=weeks" in page.url
    assert "primary_event=came" in page.url
    assert page.locator("table.bm-heat").count() == 1


@pytest.mark.parametrize("surface", SURFACES)
def test_the_cohort_works_by_keyboard_alone(
    watch: Callable[..., Watched], surface: str
) -> None:
    page = watch().open(surface, "cohort", "")
    page.get_by_label("Users who did").focus()
    page.keyboard.type("came")
    page.keyboard.press("Tab")
    page.keyboard.type("came")
    page.keyboard.press("Enter")
    page.wait_for_url("**primary_event=came**")
    # Enter in a field shows the answer: it does not press the buttons before it.
    assert "add=" not in page.url
    assert page.get_by_label("Condition", exact=True).count() == 0
    box = page.locator(".bm-scroll").first
    box.focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('table.bm-heat') !== null")
    page.keyboard.press("Enter")
    page.wait_for_url("**period=**")


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("way", ["mouse", "keyboard"])
def test_a_person_is_erased_once_their_id_is_typed(
    watch: Callable[..., Watched],
    make_app: Callable[..., Flask],
    live_server: Callable[[Flask], str],
    surface: str,
    way: str,
) -> None:
    def press(control: Any) -> None:
        control.focus()
        with control.page.expect_navigation():
            control.page.keyboard.press("Enter")

    go = follow if way == "mouse" else press
    app = filled(make_app(BITMAPIST_ACCESS=lambda: True, BITMAPIST_ALLOW_DELETE=True))
    watched = watch(live_server(app))
    page = watched.open(surface, "people", "?user=7")
    go(page.get_by_role("link", name="Erase this person"))
    assert page.locator("h2").first.inner_text() == "Erase user “7”?"
    typed = page.get_by_label("Type the user ID to confirm")
    typed.click() if way == "mouse" else typed.focus()
    page.keyboard.type("8")
    go(page.get_by_role("button", name="Erase permanently"))
    assert page.get_by_role("alert").inner_text().startswith("User IDs do not match")
    # A browser reports the status of the page that says so.
    assert [each for each in watched.problems if "400" not in each] == []
    watched.problems.clear()
    page.get_by_label("Type the user ID to confirm").fill("7")
    if way == "mouse":
        follow(page.get_by_role("button", name="Erase permanently"))
    else:
        press(page.get_by_label("Type the user ID to confirm"))
    assert "The person is erased." in page.get_by_role("status").inner_text()
    assert FlaskBitmapist(app).person(7)["events"] == {}
    assert FlaskBitmapist(app).person(8)["events"]
    go(page.get_by_role("link", name="Back to people"))
    assert page.get_by_label("User ID").is_visible()


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_that_erase_a_person_fit_and_can_be_read(
    watch: Callable[..., Watched],
    make_app: Callable[..., Flask],
    live_server: Callable[[Flask], str],
    surface: str,
    scheme: str,
) -> None:
    def check(shown: Any) -> None:
        judge(page, surface, page.url, ["color-contrast"])
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            box = shown.bounding_box()
            assert 0 <= box["x"] <= box["x"] + box["width"] <= width

    app = filled(make_app(BITMAPIST_ACCESS=lambda: True, BITMAPIST_ALLOW_DELETE=True))
    watched = watch(live_server(app), color_scheme=scheme, bypass_csp=True)
    page = watched.open(surface, "people", "?user=7")
    link = page.get_by_role("link", name="Erase this person")
    check(link)
    follow(link)
    button = page.get_by_role("button", name="Erase permanently")
    check(button)
    page.get_by_label("Type the user ID to confirm").fill("7")
    follow(button)
    check(page.locator("dd code"))


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(
    watch: Callable[..., Watched], surface: str, scheme: str
) -> None:
    watched = watch(color_scheme=scheme, bypass_csp=True)
    # A dark page is the same but for its colours.
    only = ["color-contrast", "link-in-text-block"] if scheme == "dark" else []
    for name in QUESTIONS:
        judge(watched.open(surface, name), surface, name, only)


def judge(page: Any, surface: str, name: str, only: Sequence[str]) -> None:
    page.add_script_tag(path=AXE)
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if only:
        options["runOnly"] = only
    found = page.evaluate(
        "([root, options]) => axe.run(root, options)",
        # In Flask-Admin its own frame around the page is not ours to judge.
        ["html" if surface == "standalone" else ".bm", options],
    )
    assert found["passes"], "nothing was looked at"
    serious = [
        (name, each["id"], [node["html"][:200] for node in each["nodes"][:3]])
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]
    assert serious == []


@pytest.mark.parametrize("swatch", ["darkly", "cyborg"])
def test_dark_swatches_can_be_read(
    watch: Callable[..., Watched],
    make_app: Callable[..., Flask],
    live_server: Callable[[Flask], str],
    swatch: str,
) -> None:
    at = live_server(filled(make_app(), swatch))
    watched = watch(at, bypass_csp=True)
    page = watched.open("admin", "cohort")
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run('.bm', {runOnly: ['color-contrast']})")
    assert [
        (node["html"][:200], node["any"][0]["message"])
        for each in found["violations"]
        for node in each["nodes"]
    ] == []
    # These swatches bring a font from elsewhere: Flask-Admin's files, not ours.
    watched.problems = [
        each
        for each in watched.problems
        if "fonts.googleapis" not in each and "Failed to load resource" not in each
    ]


def test_dark_mode_turns_page_and_heatmap_dark(watch: Callable[..., Watched]) -> None:
    def brightness(scheme: str) -> list[int]:
        page = watch(color_scheme=scheme).open("standalone", "cohort")
        red = "e => +getComputedStyle(e).backgroundColor.match(/[0-9]+/)[0]"
        return [
            page.locator(place).first.evaluate(red)
            for place in ("body", ".bm-form", ".bm-swatches .heat-0")
        ]

    assert all(each > 200 for each in brightness("light"))
    assert all(each < 60 for each in brightness("dark"))


@pytest.mark.parametrize("surface", SURFACES)
def test_a_phone_scrolls_tables_and_not_the_page(
    watch: Callable[..., Watched], surface: str
) -> None:
    watched = watch(viewport={"width": 390, "height": 800})
    for name in QUESTIONS:
        page = watched.open(surface, name)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name


def test_on_a_phone_periods_and_their_users_stay_beside_the_heatmap(
    watch: Callable[..., Watched],
) -> None:
    page = watch(viewport={"width": 390, "height": 800}).open("standalone", "cohort")
    page.locator(".bm-scroll").first.evaluate("e => { e.scrollLeft = 300; }")
    for row in page.locator("table.bm-heat tr").all():
        place = row.locator("> :first-child").bounding_box()
        users = row.locator("> .bm-size").bounding_box()
        assert place["x"] >= 0
        assert users["x"] == pytest.approx(place["x"] + place["width"], abs=1)
    shown = page.locator("table.bm-heat tbody .bm-size").last.bounding_box()
    assert shown["x"] + shown["width"] < 390 / 2


def test_a_hundred_columns_scroll_inside_their_box(
    watch: Callable[..., Watched],
) -> None:
    question = "?primary_event=came&time_group=days&num_rows=100&num_cols=100"
    page = watch().open("standalone", "cohort", question)
    box = page.locator(".bm-scroll")
    assert box.evaluate("e => e.scrollWidth > e.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    corner = page.locator("table.bm-heat .bm-corner")
    before = corner.bounding_box()
    box.evaluate("e => { e.scrollLeft = 2000; e.scrollTop = 900; }")
    after = corner.bounding_box()
    assert (before["x"], before["y"]) == (after["x"], after["y"])
    label = page.locator("table.bm-heat tbody th").last
    assert label.bounding_box()["x"] == pytest.approx(before["x"], abs=1)


@pytest.mark.parametrize("surface", SURFACES)
def test_charts_have_the_numbers_of_their_tables(
    watch: Callable[..., Watched], surface: str
) -> None:
    watched = watch()
    for name in ("cohort", "trends", "lifecycle", "stickiness"):
        compare(watched.open(surface, name))


def compare(page: Any) -> None:
    page.wait_for_function(
        "() => document.querySelector('[data-bm-chart]:not([hidden])')"
    )
    drawn = page.evaluate(
        """() => {
          const box = document.querySelector('[data-bm-chart]');
          const chart = Chart.getChart(box.querySelector('canvas'));
          return {
            sums: chart.data.datasets.map(
              (d) => d.data.reduce((sum, value) => sum + Math.abs(value || 0), 0)),
            table: box.dataset.bmTable, kind: box.dataset.bmChart,
          };
        }"""
    )
    if drawn["kind"] == "curve":
        # Without the first column, which is 100% where coming back is the same event.
        cells = page.locator(".bm-average [data-v]:not(.heat-whole)").all()
        columns = [sum(float(cell.get_attribute("data-v")) for cell in cells)]
    else:
        table = page.locator(f"#{drawn['table']}")
        heads = table.locator("thead th")
        places = [
            place
            for place in range(heads.count())
            if heads.nth(place).get_attribute("data-series") is not None
        ]
        columns = [
            sum(
                float(cell.get_attribute("data-v") or 0)
                for cell in table.locator(f"tbody tr > :nth-child({place + 1})").all()
            )
            for place in places
        ]
    assert drawn["sums"] == pytest.approx(columns)


@pytest.mark.parametrize("surface", SURFACES)
def test_pages_work_under_a_strict_policy(
    watch: Callable[..., Watched],
    make_app: Callable[..., Flask],
    live_server: Callable[[Flask], str],
    surface: str,
) -> None:
    app = filled(
        make_app(BITMAPIST_CSP_NONCE=lambda: "n0nce"),
        csp_nonce_generator=lambda: "n0nce",
    )

    @app.after_request
    def strict(response: Any) -> Any:
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; script-src 'nonce-n0nce'; style-src 'nonce-n0nce'; "
            "img-src 'self'; font-src 'self'; connect-src 'self'; form-action 'self'; "
            "base-uri 'none'"
        )
        return response

    watched = watch(live_server(app))
    watched.open_all(surface, [page.name for page in PAGES])
    assert watched.page.locator(".bm").count() == 1


def test_the_link_can_be_copied(watch: Callable[..., Watched]) -> None:
    watched = watch(permissions=["clipboard-read", "clipboard-write"])
    page = watched.open("standalone", "cohort")
    page.get_by_role("button", name="Copy link").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == page.url


def test_a_question_under_way_says_so(watch: Callable[..., Watched]) -> None:
    page = watch().open("standalone", "cohort")
    # The answer never comes.
    page.evaluate("document.addEventListener('submit', e => e.preventDefault())")
    page.get_by_role("button", name="Show", exact=True).click()
    assert page.get_by_role("button", name="Working…").is_visible()
    assert page.locator("form.bm-form").get_attribute("aria-busy") == "true"
    # Somebody who comes back to the page finds it ready.
    page.evaluate("dispatchEvent(new Event('pageshow'))")
    assert page.get_by_role("button", name="Show", exact=True).is_visible()
    assert page.locator("form.bm-form").get_attribute("aria-busy") is None


def test_the_printed_heatmap_is_whole(watch: Callable[..., Watched]) -> None:
    page = watch().open("standalone", "cohort")
    page.emulate_media(media="print")
    assert not page.locator("form.bm-form").is_visible()
    assert page.locator(".bm-scroll").evaluate(
        "e => e.scrollHeight <= e.clientHeight + 1"
    )
    cell = page.locator("table.bm-heat [class*=heat-]").first
    assert cell.evaluate("e => getComputedStyle(e).printColorAdjust") == "exact"


def test_every_address_is_the_apps_own(
    watch: Callable[..., Watched], address: str
) -> None:
    asked: set[str] = set()
    watched = watch()
    watched.context.on(
        "request", lambda request: asked.add(urlsplit(request.url).netloc)
    )
    watched.open_all("standalone", QUESTIONS)
    assert asked == {urlsplit(address).netloc}
