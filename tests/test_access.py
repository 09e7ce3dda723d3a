"""Nobody sees the pages but whom the app lets in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
from flask import Blueprint, Flask, abort, redirect
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from flask_bitmapist import ConfigError, FlaskBitmapist

from .pages import PAGES

LAPTOP = {
    "SERVER_SOFTWARE": "Werkzeug/3.1.3",
    "werkzeug.socket": object(),
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REMOTE_ADDR": "127.0.0.1",
    "HTTP_HOST": "127.0.0.1:5000",
}
"""What Flask's development server hands over for a browser on the same machine."""


@pytest.fixture
def make_deployed(redis_url: str) -> Callable[..., Flask]:
    """Make apps that are not under test, as far as they know."""

    def make(**settings: Any) -> Flask:
        app = Flask("deployed")
        app.config.update({"BITMAPIST_REDIS_URL": redis_url, **settings})
        FlaskBitmapist(app)
        return app

    return make


def get(app: Flask, path: str = "/bitmapist/", **environ: Any) -> TestResponse:
    merged = {**LAPTOP, **environ}
    kept = {name: value for name, value in merged.items() if value is not None}
    return app.test_client().get(path, environ_overrides=kept)


def package_rules(app: Flask) -> Iterator[Rule]:
    """Every route that the package has added to an app, but for its assets."""
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        module = getattr(getattr(view, "func", view), "__module__", "")
        ours = module.startswith("flask_bitmapist") or "bitmapist" in rule.endpoint
        if ours and not rule.endpoint.endswith("static"):
            yield rule


def requests_of(app: Flask) -> Iterator[tuple[str, str]]:
    """Every method and URL, in each form in which an answer is given."""
    for rule in package_rules(app):
        # OPTIONS, which Flask answers itself, tells of methods and nothing else.
        for method in sorted((rule.methods or set()) - {"OPTIONS"}):
            for form in ("", "?format=json", "?format=csv", "?json=y"):
                yield method, rule.rule + form


def test_every_route_of_the_package_is_closed_to_those_without_access(
    make_deployed: Callable[..., Flask],
) -> None:
    app = make_deployed(BITMAPIST_ACCESS=lambda: False, SECRET_KEY="for the tests")
    FlaskBitmapist(app, admin=make_admin(app))
    asked = list(requests_of(app))
    paths = {path for _, path in asked}
    for page in PAGES:
        assert {f"/bitmapist{page.path}", f"/admin/bitmapist/{page.name}/"} <= paths
    client = app.test_client()
    for method, path in asked:
        answer = client.open(path, method=method)
        assert answer.status_code == 403, (method, path)
        assert "event" not in answer.text, (method, path)


def test_every_standalone_route_is_closed_in_a_deployment_by_default(
    make_deployed: Callable[..., Flask],
) -> None:
    app = make_deployed()
    asked = list(requests_of(app))
    assert len(asked) >= 4 * len(PAGES)
    for method, path in asked:
        assert app.test_client().open(path, method=method).status_code == 403


def test_every_route_opens_where_access_is_public(
    make_deployed: Callable[..., Flask],
) -> None:
    app = make_deployed(BITMAPIST_ACCESS="public")
    for method, path in requests_of(app):
        if "/delete" in path or "/forget" in path:  # for an explicit rule only
            continue
        # What is asked may be incomplete, or stand elsewhere, but it is not forbidden.
        answer = app.test_client().open(path, method=method)
        assert answer.status_code in (200, 301, 400)


def test_standalone_options_are_closed_too(make_deployed: Callable[..., Flask]) -> None:
    assert make_deployed().test_client().options("/bitmapist/").status_code == 403


def test_the_pages_are_there_for_a_developer_on_the_same_machine(
    make_deployed: Callable[..., Flask],
) -> None:
    assert get(make_deployed()).status_code == 200


@pytest.mark.parametrize(
    "environ",
    [
        {"HTTP_HOST": "localhost:5000"},
        {"HTTP_HOST": "LocalHost"},
        {"HTTP_HOST": "shop.localhost:8080"},
        {"HTTP_HOST": "[::1]:5000", "REMOTE_ADDR": "::1"},
        {"REMOTE_ADDR": "::ffff:127.0.0.1"},
        {"HTTP_HOST": "127.1.2.3"},
    ],
    ids=str,
)
def test_other_names_of_the_same_machine_serve_as_well(
    make_deployed: Callable[..., Flask], environ: dict[str, str]
) -> None:
    assert get(make_deployed(), **environ).status_code == 200


@pytest.mark.parametrize(
    "environ",
    [
        {"SERVER_SOFTWARE": "gunicorn/23.0.0", "werkzeug.socket": None},
        {"SERVER_SOFTWARE": "gunicorn/23.0.0"},
        {"SERVER_SOFTWARE": "waitress", "werkzeug.socket": None},
        {"SERVER_SOFTWARE": None, "werkzeug.socket": None},
        {"werkzeug.socket": None},
        {"REMOTE_ADDR": "192.168.1.7"},
        {"REMOTE_ADDR": "<local>"},
        {"REMOTE_ADDR": ""},
        {"HTTP_HOST": "shop.example"},
        {"HTTP_HOST": "localhost.shop.example"},
        {"HTTP_HOST": "127.0.0.1.shop.example"},
        {"HTTP_HOST": "0.0.0.0:5000"},
        {"HTTP_HOST": ""},
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_X_FORWARDED_PROTO": "https"},
        {"HTTP_FORWARDED": "for=127.0.0.1"},
        {"HTTP_X_REAL_IP": "127.0.0.1"},
        {"HTTP_VIA": "1.1 proxy"},
        {"HTTP_CF_CONNECTING_IP": "127.0.0.1"},
        {"SERVER_PROTOCOL": "HTTP/1.0"},
    ],
    ids=str,
)
def test_nobody_else_passes_for_a_developer(
    make_deployed: Callable[..., Flask], environ: dict[str, str | None]
) -> None:
    assert get(make_deployed(), **environ).status_code == 403


def test_headers_cannot_claim_to_be_the_development_server(
    make_deployed: Callable[..., Flask],
) -> None:
    claims = {"Server-Software": "Werkzeug/3.1.3", "werkzeug.socket": "yes"}
    client = make_deployed().test_client()
    assert client.get("/bitmapist/", headers=claims).status_code == 403


def test_a_real_development_server_shows_the_pages_to_this_machine(
    make_deployed: Callable[..., Flask], live_server: Callable[[Flask], str]
) -> None:
    import urllib.request

    address = live_server(make_deployed())
    with urllib.request.urlopen(f"{address}/bitmapist/") as answer:
        assert answer.status == 200


def test_a_production_server_on_this_machine_does_not(
    make_deployed: Callable[..., Flask],
) -> None:
    import threading
    import urllib.error
    import urllib.request
    from wsgiref.simple_server import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    with make_server("127.0.0.1", 0, make_deployed(), handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(urllib.error.HTTPError) as refusal:
                urllib.request.urlopen(
                    f"http://127.0.0.1:{server.server_port}/bitmapist/"
                )
        finally:
            server.shutdown()
            thread.join()
    with refusal.value as answer:
        assert answer.status == 403


def test_the_refusal_says_in_two_lines_of_code_how_to_open_the_pages(
    make_deployed: Callable[..., Flask],
) -> None:
    answer = make_deployed().test_client().get("/bitmapist/")
    assert "on localhost in development" in answer.text
    code = answer.text.partition("<code>")[2].partition("</code>")[0]
    assert code.splitlines() == [
        "from flask_login import current_user",
        "bitmapist.access("
        "lambda: current_user.is_authenticated and current_user.is_admin)",
    ]
    assert "/bitmapist/cohort" not in answer.text


def test_the_two_lines_work(make_deployed: Callable[..., Flask]) -> None:
    flask_login = pytest.importorskip("flask_login")
    from .inside import OPENED_BY

    app = Flask("with-login")
    app.config.update(SECRET_KEY="for the tests", BITMAPIST_REDIS_URL="memory://")
    bitmapist = FlaskBitmapist(app)
    manager = flask_login.LoginManager(app)

    class User(flask_login.UserMixin):
        def __init__(self, name: str) -> None:
            self.id = name
            self.is_admin = name == "ada"

    manager.user_loader(User)
    exec(OPENED_BY, {"bitmapist": bitmapist})

    @app.get("/login/<name>")
    def login(name: str) -> str:
        flask_login.login_user(User(name))
        return ""

    client = app.test_client()
    assert client.get("/bitmapist/").status_code == 403
    client.get("/login/grace")
    assert client.get("/bitmapist/").status_code == 403
    client.get("/login/ada")
    assert client.get("/bitmapist/").status_code == 200


def test_the_refusal_of_an_own_rule_gives_nothing_away(
    make_deployed: Callable[..., Flask],
) -> None:
    answer = get(make_deployed(BITMAPIST_ACCESS=lambda: False))
    assert answer.status_code == 403
    assert "You do not have access to this page." in answer.text
    assert "<code>" not in answer.text


def test_programs_are_refused_in_json(make_deployed: Callable[..., Flask]) -> None:
    client = make_deployed().test_client()
    answer = client.get("/bitmapist/cohort?format=json")
    assert answer.status_code == 403
    assert "on localhost in development" in answer.json["errors"]["form"][0]


@pytest.mark.parametrize("name", ["count", "has", "users", "openapi.json"])
def test_what_answers_programs_alone_refuses_in_json(
    make_deployed: Callable[..., Flask], name: str
) -> None:
    answer = make_deployed().test_client().get(f"/bitmapist/{name}?event=came&user=1")
    assert answer.status_code == 403
    assert "on localhost in development" in answer.json["errors"]["form"][0]


def test_the_refusal_can_load_its_stylesheet(
    make_deployed: Callable[..., Flask],
) -> None:
    client = make_deployed().test_client()
    with client.get("/bitmapist/static/bitmapist.css") as answer:
        assert answer.status_code == 200


@pytest.mark.parametrize("how", ["setting", "attribute", "environment"])
def test_testing_opens_nothing(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    app, _ = admin_app(TESTING=True)
    if how == "attribute":
        app.testing = True
    if how == "environment":
        monkeypatch.setenv("FLASK_TESTING", "true")
        app.config.from_prefixed_env()
    assert app.testing
    for method, path in requests_of(app):
        assert app.test_client().open(path, method=method).status_code == 403, path


def test_a_decorated_rule_comes_before_the_setting(redis_url: str) -> None:
    app = Flask("decorated")
    app.config["BITMAPIST_REDIS_URL"] = redis_url
    app.config["BITMAPIST_ACCESS"] = "public"
    bitmapist = FlaskBitmapist(app)
    assert app.test_client().get("/bitmapist/").status_code == 200

    @bitmapist.access
    def nobody() -> bool:
        return False

    assert nobody() is False
    assert app.test_client().get("/bitmapist/").status_code == 403


def test_a_rule_registered_before_the_app_is_there_holds_for_it(redis_url: str) -> None:
    bitmapist = FlaskBitmapist()
    bitmapist.access(lambda: False)
    app = Flask("factory")
    app.config.update(BITMAPIST_REDIS_URL=redis_url, BITMAPIST_ACCESS="public")
    bitmapist.init_app(app)
    assert app.test_client().get("/bitmapist/").status_code == 403


def test_a_rule_may_send_to_a_login(make_deployed: Callable[..., Flask]) -> None:
    app = make_deployed(BITMAPIST_ACCESS=lambda: redirect("/login"))
    answer = get(app)
    assert (answer.status_code, answer.location) == (302, "/login")


def test_a_rule_may_be_async(make_deployed: Callable[..., Flask]) -> None:
    pytest.importorskip("asgiref")

    async def everybody() -> bool:
        return True

    assert get(make_deployed(BITMAPIST_ACCESS=everybody)).status_code == 200


@pytest.mark.parametrize("verdict", [1, "yes", [True], (True, 200)], ids=repr)
def test_nothing_but_true_lets_anybody_in_and_the_log_says_so(
    make_deployed: Callable[..., Flask],
    caplog: pytest.LogCaptureFixture,
    verdict: object,
) -> None:
    assert get(make_deployed(BITMAPIST_ACCESS=lambda: verdict)).status_code == 403
    assert type(verdict).__name__ in caplog.text


def test_a_rule_that_returns_nothing_lets_nobody_in(
    make_deployed: Callable[..., Flask],
) -> None:
    assert get(make_deployed(BITMAPIST_ACCESS=lambda: None)).status_code == 403


def test_a_rule_that_fails_shows_nothing(make_deployed: Callable[..., Flask]) -> None:
    answer = get(make_deployed(BITMAPIST_ACCESS=lambda: 1 / 0))
    assert answer.status_code == 500
    assert "ZeroDivisionError" not in answer.text
    assert "Overview" not in answer.text


@pytest.mark.parametrize("wrong", ["everybody", "", None, True])
def test_a_wrong_setting_is_refused_at_start(
    make_deployed: Callable[..., Flask], wrong: object
) -> None:
    with pytest.raises(ConfigError, match="BITMAPIST_ACCESS"):
        make_deployed(BITMAPIST_ACCESS=wrong)


def test_what_cannot_be_called_is_no_rule() -> None:
    with pytest.raises(TypeError, match="takes a callable, not True"):
        FlaskBitmapist().access(True)  # type: ignore[type-var]


def test_the_rule_does_not_touch_other_pages_of_the_app(
    make_deployed: Callable[..., Flask],
) -> None:
    app = make_deployed(BITMAPIST_ACCESS=lambda: False)
    blueprint = Blueprint("bitmapist_shop", "shop")
    blueprint.add_url_rule("/shop", view_func=lambda: "open", endpoint="shop")
    app.register_blueprint(blueprint)
    assert get(app, "/shop").text == "open"


# Within Flask-Admin the views' own rules rule.


def make_admin(app: Flask, **options: Any) -> Any:
    flask_admin = pytest.importorskip("flask_admin")
    if find_spec("flask_babel"):  # Flask-Admin wants it initialised where it is there
        import_module("flask_babel").Babel(app)
    return flask_admin.Admin(app, **options)


def admin_app(index_view: Any = None, **settings: Any) -> tuple[Flask, FlaskBitmapist]:
    pytest.importorskip("fakeredis")
    app = Flask("with-admin")
    app.config.update(
        {"BITMAPIST_REDIS_URL": "memory://", "SECRET_KEY": "for the tests", **settings}
    )
    bitmapist = FlaskBitmapist(app)
    bitmapist.init_app(app, admin=make_admin(app, index_view=index_view))
    return app, bitmapist


TAB = "/admin/bitmapist/cohort/"


def login_inside(self: Any) -> Any:
    return redirect("/login")


def make_index(**members: Any) -> Any:
    """An index view whose class has the given members."""
    flask_admin = pytest.importorskip("flask_admin")
    exposed = {
        name: flask_admin.expose("/")(member) if name == "index" else member
        for name, member in members.items()
    }
    return type("OwnIndex", (flask_admin.AdminIndexView,), exposed)()


SERVERS = {
    "no server": {"SERVER_SOFTWARE": None, "werkzeug.socket": None},
    "gunicorn": {"SERVER_SOFTWARE": "gunicorn/23.0.0", "werkzeug.socket": None},
    "waitress": {"SERVER_SOFTWARE": "waitress", "werkzeug.socket": None},
    "foreign host": {"HTTP_HOST": "shop.example"},
    "proxy": {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
}


@pytest.mark.parametrize("environ", SERVERS.values(), ids=SERVERS)
@pytest.mark.parametrize(
    "members", [{}, {"index": login_inside}], ids=["open", "login inside"]
)
def test_tabs_of_an_admin_that_restricts_nothing_are_closed_like_the_pages(
    members: dict[str, Any], environ: dict[str, Any]
) -> None:
    app, _ = admin_app(make_index(**members))
    asked = [path for method, path in requests_of(app) if method == "GET"]
    assert f"{TAB}?format=csv" in asked
    for path in asked:
        assert get(app, path, **environ).status_code == 403, path


@pytest.mark.parametrize("environ", [{}, {"HTTP_HOST": "localhost:5000"}], ids=str)
def test_a_developer_sees_them_on_the_same_machine(environ: dict[str, Any]) -> None:
    app, _ = admin_app()
    assert get(app, TAB, **environ).status_code == 200


def test_what_is_refused_for_want_of_a_rule_says_how_to_open_it() -> None:
    app, _ = admin_app()
    answer = app.test_client().get(TAB)
    assert answer.status_code == 403
    assert "bitmapist.access(" in answer.text
    assert TAB not in answer.text
    told = app.test_client().get(f"{TAB}?format=json")
    assert (told.status_code, set(told.json)) == (403, {"errors"})


@pytest.mark.parametrize(("word", "status"), [("local", 403), ("public", 200)])
def test_the_words_of_the_setting_are_for_both_surfaces(word: str, status: int) -> None:
    app, _ = admin_app(BITMAPIST_ACCESS=word)
    for path in (TAB, "/bitmapist/cohort"):
        assert app.test_client().get(path).status_code == status


def test_a_closed_index_view_closes_tabs_whatever_the_word() -> None:
    index = make_index(is_accessible=lambda self: False)
    app, _ = admin_app(index, BITMAPIST_ACCESS="public")
    assert app.test_client().get(TAB).status_code == 403
    assert app.test_client().get("/bitmapist/cohort").status_code == 200


def test_tabs_without_the_extension_are_closed() -> None:
    pytest.importorskip("flask_admin")
    from flask_bitmapist.admin import add_views

    app = Flask("without")
    app.config["SECRET_KEY"] = "for the tests"
    add_views(make_admin(app))
    client = app.test_client()
    assert "Cohort" not in client.get("/admin/").text
    assert client.get(TAB).status_code == 403


def test_tabs_follow_the_rule_of_the_admins_index_view() -> None:
    flask_admin = pytest.importorskip("flask_admin")

    class StaffOnly(flask_admin.AdminIndexView):  # type: ignore[misc,name-defined]
        def is_accessible(self) -> bool:
            return False

        def inaccessible_callback(self, name: str, **kwargs: Any) -> Any:
            return redirect("/login")

    app, _ = admin_app(StaffOnly())
    answer = app.test_client().get(TAB)
    assert (answer.status_code, answer.location) == (302, "/login")


def test_tabs_follow_the_apps_own_rule() -> None:
    app, bitmapist = admin_app()
    bitmapist.access(lambda: False)
    assert app.test_client().get(TAB).status_code == 403
    assert "Retention" not in app.test_client().get("/admin/").text


def test_tabs_send_on_whomever_the_apps_own_rule_sends_on() -> None:
    app, bitmapist = admin_app()
    bitmapist.access(lambda: redirect("/login"))
    answer = app.test_client().get(TAB)
    assert (answer.status_code, answer.location) == (302, "/login")


def test_a_view_with_a_rule_of_its_own_is_not_ruled_by_another() -> None:
    pytest.importorskip("flask_admin")
    from flask_bitmapist.admin import CohortView

    class ForAll(CohortView):
        def is_accessible(self) -> bool:
            return True

    app = Flask("own-rule")
    app.config.update(BITMAPIST_REDIS_URL="memory://", BITMAPIST_ACCESS=lambda: False)
    FlaskBitmapist(app)
    make_admin(app).add_view(ForAll())
    assert app.test_client().get(TAB).status_code == 200


def restriction(app: Flask, view: Any) -> bool:
    with app.app_context():
        return bool(view.is_restricted)


def test_a_view_knows_whether_anything_restricts_it() -> None:
    flask_admin = pytest.importorskip("flask_admin")
    from flask_bitmapist.admin import CohortView, TrendsView

    class StaffOnly(flask_admin.AdminIndexView):  # type: ignore[misc,name-defined]
        def is_accessible(self) -> bool:
            return False

    class Own(CohortView):
        def is_accessible(self) -> bool:
            return True

    app, bitmapist = admin_app()
    admin = app.extensions["admin"][0]
    own, plain = Own(endpoint="own", url="own"), TrendsView(endpoint="t", url="t")
    admin.add_view(own)
    admin.add_view(plain)
    assert restriction(app, own)
    assert not restriction(app, plain)
    bitmapist.access(lambda: True)
    assert restriction(app, plain)

    guarded, _ = admin_app(StaffOnly())
    view = TrendsView(endpoint="t", url="t")
    guarded.extensions["admin"][0].add_view(view)
    assert restriction(guarded, view)


def test_the_setting_in_the_environment_opens_both_surfaces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLASK_BITMAPIST_ACCESS", "public")
    app = Flask("environment")
    app.config.from_prefixed_env()
    app.config.update(BITMAPIST_REDIS_URL="memory://", SECRET_KEY="for the tests")
    FlaskBitmapist(app, admin=make_admin(app))
    for path in (TAB, "/bitmapist/cohort"):
        assert app.test_client().get(path).status_code == 200


@pytest.mark.parametrize("path", [TAB, "/bitmapist/cohort"])
@pytest.mark.parametrize(
    ("rule", "status"),
    [
        (lambda: True, 200),
        (lambda: False, 403),
        (lambda: None, 403),
        (lambda: 1, 403),
        (lambda: "yes", 403),
        (lambda: redirect("/login"), 302),
        (lambda: abort(418), 418),
        (lambda: 1 / 0, 500),
    ],
    ids=["True", "False", "None", "1", "yes", "redirect", "abort", "error"],
)
def test_a_rule_means_the_same_on_both_surfaces(
    rule: Callable[[], Any], status: int, path: str
) -> None:
    app, _ = admin_app(BITMAPIST_ACCESS=rule)
    for form in ("", "?format=json", "?format=csv"):
        assert app.test_client().get(path + form).status_code == (
            status if status != 200 or not form else 400
        )


@pytest.mark.parametrize("word", ["local", "public"])
def test_nothing_is_deleted_on_a_tab_that_only_a_word_opens(word: str) -> None:
    app, _ = admin_app(BITMAPIST_ACCESS=word, BITMAPIST_ALLOW_DELETE=True)
    url = "/admin/bitmapist/events/delete?event=a"
    for method in ("GET", "POST"):
        with app.test_client() as client:
            answer = client.open(url, method=method, environ_overrides=LAPTOP)
        assert answer.status_code == 403
    closed = make_index(is_accessible=lambda self: True)
    app, _ = admin_app(closed, BITMAPIST_ALLOW_DELETE=True)
    assert app.test_client().get(url).status_code == 200
