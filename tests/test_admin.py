"""The tabs in Flask-Admin: many Admins, many places, their rules and their themes."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from flask_bitmapist import FlaskBitmapist, mark_event
from flask_bitmapist.query import Overview, utc_now

from .pages import PAGES

pytest.importorskip("flask_admin")

from flask_admin import Admin, AdminIndexView, BaseView, expose
from flask_admin.theme import Bootstrap4Theme

from flask_bitmapist.admin import CohortView, PageView, UsersView, add_views

ASKED = "?primary_event=came"


@pytest.fixture
def host(make_app: Callable[..., Flask]) -> Callable[..., Flask]:
    """Make an app with events that has Flask-Babel where Flask-Admin would want it."""

    def make(**settings: Any) -> Flask:
        app = make_app(**settings)
        _with_babel(app)
        with app.app_context():
            mark_event("came", 1)
        return app

    return make


def _with_babel(app: Flask) -> None:
    try:
        from flask_babel import Babel
    except ImportError:
        return
    Babel(app)


def test_one_line_adds_a_tab_for_every_page(host: Callable[..., Flask]) -> None:
    app = host()
    FlaskBitmapist(app, admin=Admin(app, name="Shop"))
    client = app.test_client()
    for page in PAGES:
        response = client.get(f"/admin/bitmapist/{page.name}/")
        assert response.status_code == 200, page.name
        assert "Shop" in response.text
        assert "Analytics" in response.text
        assert 'class="bm"' in response.text


def test_a_number_of_a_tab_leads_to_as_many_users_as_it_says(
    host: Callable[..., Flask],
) -> None:
    app = host()
    FlaskBitmapist(app, admin=Admin(app))
    with app.app_context():
        for user in (1, 2, 3):
            mark_event("came", user, now=utc_now() - timedelta(days=1))
    client = app.test_client()
    html = client.get("/admin/bitmapist/lifecycle/?event=came&time_group=days").text
    cells = re.findall(r'<td[^>]*>\s*<a href="([^"]+)"[^>]*>(\d+)<', html)
    stages = {href.rpartition("stage=")[2] for href, _ in cells}
    assert stages == {"new", "returning", "dormant", "active"}
    for href, shown in cells:
        users = client.get(href.replace("&amp;", "&") + "&format=json").get_json()
        assert users["total"] == int(shown), href


def test_the_tab_shows_what_the_standalone_page_shows(
    host: Callable[..., Flask],
) -> None:
    app = host()
    FlaskBitmapist(app, admin=Admin(app))
    client = app.test_client()

    def table(url: str) -> list[str]:
        html = client.get(url + ASKED).text
        inner = html[html.index("<tbody") : html.index("</tfoot>")]
        return re.sub(r"<[^>]+>", " ", inner).split()

    assert table("/admin/bitmapist/cohort/") == table("/bitmapist/cohort")
    json = client.get("/admin/bitmapist/cohort/" + ASKED + "&format=json").get_json()
    assert json == client.get(
        "/bitmapist/cohort" + ASKED + "&format=json"
    ).get_json() | {"as_of": json["as_of"]}


def test_where_the_tab_of_users_was_leads_to_that_of_people(
    host: Callable[..., Flask],
) -> None:
    app = host()
    FlaskBitmapist(app, admin=Admin(app))
    client = app.test_client()
    moved = client.get("/admin/bitmapist/users/?user_id=1&as_of=2026-03-04")
    assert moved.status_code == 301
    assert moved.headers["Location"] == (
        "/admin/bitmapist/people/?user=1&as_of=2026-03-04"
    )
    assert "Activity of user 1" in client.get(moved.headers["Location"]).text
    bare = client.get("/admin/bitmapist/users/").headers["Location"]
    assert bare == "/admin/bitmapist/people/"


def test_whoever_may_not_see_the_tab_is_not_led_to_it(
    host: Callable[..., Flask],
) -> None:
    class Closed(UsersView):
        def is_accessible(self) -> bool:
            return False

    app = host()
    Admin(app).add_view(Closed())
    assert app.test_client().get("/admin/bitmapist/users/").status_code == 403


def test_tabs_link_to_each_other_and_not_to_the_standalone_pages(
    host: Callable[..., Flask],
) -> None:
    app = host()
    FlaskBitmapist(app, admin=Admin(app))
    client = app.test_client()
    for page in PAGES:
        html = client.get(f"/admin/bitmapist/{page.name}/").text
        assert 'href="/bitmapist/' not in html
    assert "/admin/bitmapist/trends/" in client.get("/admin/bitmapist/index/").text


def test_the_tabs_work_without_the_standalone_pages(host: Callable[..., Flask]) -> None:
    app = host(BITMAPIST_DISABLE_BLUEPRINT=True)
    FlaskBitmapist(app, admin=Admin(app))
    client = app.test_client()
    html = client.get("/admin/bitmapist/cohort/" + ASKED).text
    assets = re.findall(r'(?:src|href)="([^"]*bitmapist-static[^"]+)"', html)
    assert len(assets) >= 3
    for url in assets:
        with client.get(url) as response:
            assert response.status_code == 200


def test_a_view_can_be_added_by_hand_under_its_own_names(
    host: Callable[..., Flask],
) -> None:
    app = host()
    admin = Admin(app)
    admin.add_view(
        CohortView(
            name="Retention",
            category="Reports",
            endpoint="who_returns",
            url="returning",
            menu_icon_type="fa",
            menu_icon_value="fa-heart",
        )
    )
    html = app.test_client().get("/admin/returning/" + ASKED).text
    assert "Retention" in html
    assert "Reports" in html
    assert "fa-heart" in html
    assert "/admin/returning/?" in html


def test_a_view_can_be_subclassed_and_closed(host: Callable[..., Flask]) -> None:
    class Closed(CohortView):
        def is_accessible(self) -> bool:
            return False

        def inaccessible_callback(self, name: str, **kwargs: Any) -> Any:
            return "not for you", 401

    app = host()
    admin = Admin(app)
    admin.add_view(Closed())
    admin.add_view(UsersView())
    client = app.test_client()
    response = client.get("/admin/bitmapist/cohort/" + ASKED)
    assert (response.status_code, response.text) == (401, "not for you")
    assert client.post("/admin/bitmapist/cohort/", json={}).status_code == 401
    assert 'href="/admin/bitmapist/cohort/"' not in client.get("/admin/").text


def test_a_menu_asks_redis_nothing(
    host: Callable[..., Flask], make_app: Callable[..., Flask], redis_process: Any
) -> None:
    app = host()
    app = Flask("down")
    app.config.update(
        BITMAPIST_REDIS_URL=redis_process.url,
        BITMAPIST_ACCESS="public",
        SECRET_KEY="x",
    )
    admin = Admin(app)
    if "flask_babel" in __import__("sys").modules:
        from flask_babel import Babel

        Babel(app)
    FlaskBitmapist(app, admin=admin)
    redis_process.kill()
    client = app.test_client()
    assert client.get("/admin/").status_code == 200
    page = client.get("/admin/bitmapist/cohort/" + ASKED)
    assert page.status_code == 503
    assert "Redis does not answer" in page.text


def test_several_admins_live_in_one_app(host: Callable[..., Flask]) -> None:
    app = host()
    first = Admin(app, name="First")
    second = Admin(
        app,
        name="Second",
        url="/second",
        endpoint="second",
        index_view=AdminIndexView(url="/second", endpoint="second"),
    )
    extension = FlaskBitmapist(app, admin=first)
    extension.init_app(app, admin=second)
    extension.init_app(app, admin=second)  # a second time changes nothing
    client = app.test_client()
    assert "First" in client.get("/admin/bitmapist/cohort/").text
    html = client.get("/second/bitmapist/cohort/" + ASKED).text
    assert "Second" in html
    assert "/admin/bitmapist" not in html


def test_an_admin_may_be_initialised_later(host: Callable[..., Flask]) -> None:
    admin = Admin(name="Later")
    add_views(admin)
    app = host()
    admin.init_app(app)
    assert app.test_client().get("/admin/bitmapist/cohort/" + ASKED).status_code == 200


@pytest.mark.parametrize("first", ["admin", "extension"])
def test_one_admin_serves_all_apps_of_a_factory(first: str, redis_url: str) -> None:
    admin, extension = Admin(name="Shared"), FlaskBitmapist()

    def create_app() -> Flask:
        app = Flask("made")
        app.config.update(BITMAPIST_REDIS_URL=redis_url, BITMAPIST_ACCESS="public")
        _with_babel(app)
        if first == "admin":
            admin.init_app(app)
        extension.init_app(app, admin=admin)
        if first == "extension":
            admin.init_app(app)
        return app

    apps = [create_app() for _ in range(3)]

    for app in apps:
        for page in PAGES:
            html = app.test_client().get(f"/admin/bitmapist/{page.name}/").text
            assert html.count(f'href="/admin/bitmapist/{page.name}/"') == 1, page.name


@pytest.mark.parametrize("first", ["admin", "extension"])
def test_an_admin_given_before_there_is_an_app_gets_the_tabs(
    first: str,
) -> None:
    admin, app = Admin(name="Early"), Flask("late")
    app.config.update(BITMAPIST_REDIS_URL="memory://", BITMAPIST_ACCESS="public")
    _with_babel(app)
    extension = FlaskBitmapist(admin=admin)
    if first == "admin":
        admin.init_app(app)
        extension.init_app(app)
    else:
        extension.init_app(app)
        admin.init_app(app)

    assert "Early" in app.test_client().get("/admin/bitmapist/events/").text


def test_tabs_that_were_added_by_hand_are_not_added_again(
    host: Callable[..., Flask],
) -> None:
    app, admin = host(), Admin(name="Shop")
    add_views(admin, category="Numbers")
    FlaskBitmapist(app, admin=admin)
    admin.init_app(app)

    html = app.test_client().get("/admin/bitmapist/events/").text
    assert "Numbers" in html
    assert "Analytics" not in html


def test_the_tabs_work_below_a_path_and_at_another_url(
    host: Callable[..., Flask],
) -> None:
    app = host()
    admin = Admin(app, url="/control", index_view=AdminIndexView(url="/control"))
    FlaskBitmapist(app, admin=admin)
    client = Client(DispatcherMiddleware(Flask("root"), {"/shop": app}))
    page = client.get("/shop/control/bitmapist/cohort/" + ASKED)
    assert page.status_code == 200
    links = set(re.findall(r'(?:href|src|action)="(/[^"]+)"', page.text))
    assert len(links) > 8
    # The brand's link is Flask-Admin's own, and knows nothing of the path.
    for link in links - {"/control"}:
        assert link.startswith("/shop/")
        with client.get(link.replace("&amp;", "&")) as response:
            assert response.status_code == 200, link


@pytest.mark.parametrize("where", ["admin.example.org", "*"])
def test_the_tabs_work_with_host_matching(redis_url: str, where: str) -> None:
    app = Flask("hosts", host_matching=True, static_host="static.example.org")
    app.config.update(
        BITMAPIST_REDIS_URL=redis_url,
        BITMAPIST_DISABLE_BLUEPRINT=True,
        SECRET_KEY="x",
        BITMAPIST_ACCESS="public",
    )
    try:
        from flask_babel import Babel
    except ImportError:
        pass
    else:
        Babel(app)
    admin = Admin(app, host=where)
    FlaskBitmapist(app, admin=admin)
    with app.app_context():
        mark_event("came", 1)
    client = app.test_client()
    base = "http://admin.example.org"
    page = client.get("/admin/bitmapist/cohort/" + ASKED, base_url=base)
    assert page.status_code == 200
    ours = re.findall(r'(?:href|src|action)="([^"]*bitmapist[^"]*)"', page.text)
    assert len(ours) > 10
    for link in ours:
        path = link.replace("&amp;", "&").removeprefix(base)
        with client.get(path, base_url=base) as response:
            assert response.status_code == 200, link


def test_the_nonce_of_the_admin_is_on_every_tag(host: Callable[..., Flask]) -> None:
    app = host()
    FlaskBitmapist(app, admin=Admin(app, csp_nonce_generator=lambda: "n0nce"))
    html = app.test_client().get("/admin/bitmapist/cohort/" + ASKED).text
    tags = re.findall(r'<script[^>]*>|<link[^>]*rel="stylesheet"[^>]*>', html)
    assert len(tags) > 8
    assert all('nonce="n0nce"' in tag for tag in tags)
    body = html[html.index('<div class="bm"') :]
    assert " style=" not in body


@pytest.mark.parametrize(
    ("swatch", "scheme"),
    [("default", "light"), ("flatly", "light"), ("darkly", "dark"), ("cyborg", "dark")],
)
def test_colours_go_with_the_swatch(
    host: Callable[..., Flask], swatch: str, scheme: str
) -> None:
    app = host()
    FlaskBitmapist(app, admin=Admin(app, theme=Bootstrap4Theme(swatch=swatch)))
    html = app.test_client().get("/admin/bitmapist/cohort/" + ASKED).text
    assert f'data-bm-scheme="{scheme}"' in html


def test_an_error_in_a_view_is_not_hidden(host: Callable[..., Flask]) -> None:
    class Broken(PageView):
        question = Overview

        @expose("/")
        def index(self) -> str:
            raise TypeError("the real one")

    app = host()
    Admin(app).add_view(Broken())
    with pytest.raises(TypeError, match="the real one"):
        app.test_client().get("/admin/bitmapist/index/")


def test_the_views_of_the_host_stay_as_they_are(host: Callable[..., Flask]) -> None:
    class Own(BaseView):
        @expose("/")
        def index(self) -> str:
            return str(self.render("admin/index.html"))

    app = host()
    admin = Admin(app)
    admin.add_view(Own(name="Own", endpoint="own"))
    FlaskBitmapist(app, admin=admin)
    html = app.test_client().get("/admin/own/").text
    assert "bitmapist.css" not in html
    assert "bitmapist_cohort" not in html


def test_ids_link_to_the_users_of_the_admin(host: Callable[..., Flask]) -> None:
    class People(BaseView):
        @expose("/")
        def index(self) -> str:
            return ""

        @expose("/edit/")
        def edit_view(self) -> str:
            return "a user"

    app = host(BITMAPIST_ADMIN_USER_VIEW="people")
    admin = Admin(app)
    admin.add_view(People(endpoint="people"))
    FlaskBitmapist(app, admin=admin)
    client = app.test_client()
    html = client.get("/admin/bitmapist/people/?user=1").text
    assert 'href="/admin/people/edit/?id=1"' in html
    assert "/people/edit/" not in client.get("/bitmapist/people?user=1").text


def test_posting_gives_the_fragment_in_the_admin_too(
    host: Callable[..., Flask],
) -> None:
    app = host()
    FlaskBitmapist(app, admin=Admin(app))
    body = {"primary_event": "came", "secondary_event": "came"}
    response = app.test_client().post("/admin/bitmapist/cohort/", json=body)
    assert response.status_code == 200
    assert "<html" not in response.text
    assert "/admin/bitmapist/cohort/?" in response.text
