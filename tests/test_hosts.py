"""Every page of both surfaces works in other people's apps, beside their extensions."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import jinja2
import pytest
import redis
from flask import Blueprint, Flask, Response, render_template_string
from flask.json.provider import DefaultJSONProvider, JSONProvider
from flask.templating import Environment
from flask.testing import FlaskClient
from jinja2.sandbox import SandboxedEnvironment
from werkzeug.middleware.profiler import ProfilerMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_bitmapist import FlaskBitmapist, mark_event

from .needs import need
from .pages import ASKED, COHORT, PAGES, url_of

# Extensions import it where it is installed, and it warns whoever does.
pytestmark = pytest.mark.filterwarnings(r"ignore:\s*Eventlet is deprecated")

ROOT = Path(__file__).parent.parent
SURFACES = ("standalone", "admin")


def load(module: str, name: str) -> Any:
    """Import what a test is about where that is installed."""
    need(module.partition(".")[0])
    return getattr(importlib.import_module(module), name)


class Host:
    """Somebody's app, with an extension and settings of its own.

    Args:
        add: Adds what the app has beside ours, and returns the app that is served if
            that is another object.
        make: Makes the app.
        after: Whether the extension comes after ours.
        **settings: More settings of the app.
    """

    def __init__(
        self,
        add: Callable[[Flask], Any] = lambda app: None,
        *,
        make: Callable[[], Flask] = lambda: Flask("host"),
        after: bool = False,
        **settings: Any,
    ) -> None:
        self._add = add
        self._make = make
        self._after = after
        self._settings = settings

    def app(self, redis_url: str) -> Flask:
        """Return the app, with pages and tabs."""
        app = self._make()
        app.config.update(
            TESTING=True,
            SECRET_KEY="for the tests",
            BITMAPIST_REDIS_URL=redis_url,
            BITMAPIST_ACCESS=lambda: True,
            BITMAPIST_ALLOW_DELETE=True,
            **self._settings,
        )
        if not self._after:
            self._add(app)
        load("flask_babel", "Babel")(app)
        FlaskBitmapist(app, admin=load("flask_admin", "Admin")(app))
        if self._after:
            self._add(app)

        @app.get("/token")
        def token() -> Response:
            given = "{% if csrf_token is defined %}{{ csrf_token() }}{% endif %}"
            return Response(render_template_string(given), mimetype="text/plain")

        return app


def extension(module: str, name: str, *arguments: Any, **options: Any) -> Any:
    """Return what adds an extension that is made with the app."""
    return lambda app: load(module, name)(app, *arguments, **options)


# --- Extensions


def limit(app: Flask) -> None:
    by_address = load("flask_limiter.util", "get_remote_address")
    load("flask_limiter", "Limiter")(
        by_address, app=app, default_limits=["1000/hour"], storage_uri="memory://"
    )


def protect_and_limit(app: Flask) -> None:
    load("flask_wtf", "CSRFProtect")(app)
    limit(app)


def show_debugging(app: Flask) -> None:
    app.debug = True
    load("flask_debugtoolbar", "DebugToolbarExtension")(app)


def keep_sessions(app: Flask) -> None:
    app.config["SESSION_REDIS"] = redis.Redis.from_url(
        app.config["BITMAPIST_REDIS_URL"]
    )
    load("flask_session", "Session")(app)


def secure(app: Flask) -> None:
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    db = load("flask_sqlalchemy", "SQLAlchemy")(app)
    need("flask_security")
    models = importlib.import_module("flask_security.models.fsqla_v3")
    models.FsModels.set_db_info(db)

    class Role(db.Model, models.FsRoleMixin):  # type: ignore[name-defined,misc]
        pass

    class User(db.Model, models.FsUserMixin):  # type: ignore[name-defined,misc]
        pass

    users = load("flask_security", "SQLAlchemyUserDatastore")(db, User, Role)
    load("flask_security", "Security")(app, users)
    with app.app_context():
        db.create_all()


def cache_pages(app: Flask) -> None:
    load("flask_caching", "Cache")(app)


def count_requests(app: Flask) -> None:
    registry = load("prometheus_client", "CollectorRegistry")()
    load("prometheus_flask_exporter", "PrometheusMetrics")(app, registry=registry)


def ask_for_passwords(app: Flask) -> None:
    """Let in whoever sends the password with each request, as its test client does."""
    auth = load("flask_httpauth", "HTTPBasicAuth")()
    auth.verify_password(lambda name, password: name if password == "right" else None)
    app.config["BITMAPIST_ACCESS"] = auth.login_required(lambda: True)

    class Signed(FlaskClient):
        def open(self, *arguments: Any, **options: Any) -> Any:
            options.setdefault("auth", ("ada", "right"))
            return super().open(*arguments, **options)

    app.test_client_class = Signed


def limit_addresses(app: Flask) -> None:
    allowed = load("flask_allowed_hosts", "AllowedHosts")(app, ["127.0.0.1"])
    app.config["BITMAPIST_ACCESS"] = allowed.limit()(lambda: True)


def watch_with_scout(app: Flask) -> None:
    load("scout_apm.flask", "ScoutApm")(app)


def watch_with_sentry(app: Flask) -> None:
    init = load("sentry_sdk", "init")
    integration = load("sentry_sdk.integrations.flask", "FlaskIntegration")
    init(integrations=[integration()], traces_sample_rate=1.0)


def trace(app: Flask) -> None:
    need("opentelemetry.instrumentation")  # others have the API alone
    load("opentelemetry.instrumentation.flask", "FlaskInstrumentor")().instrument_app(
        app
    )


def watch_with_newrelic(app: Flask) -> None:
    app.wsgi_app = load("newrelic.agent", "WSGIApplicationWrapper")(app.wsgi_app)  # type: ignore[method-assign]


def trace_with_datadog(app: Flask) -> None:
    app.wsgi_app = load("ddtrace.contrib.wsgi", "DDWSGIMiddleware")(app.wsgi_app)  # type: ignore[method-assign]


def add_smorest(app: Flask) -> None:
    app.config.update(API_TITLE="Host", API_VERSION="1", OPENAPI_VERSION="3.0.3")
    load("flask_smorest", "Api")(app)


EXTENSIONS = {
    "CSRFProtect": Host(extension("flask_wtf", "CSRFProtect")),
    "CSRFProtect, after": Host(extension("flask_wtf", "CSRFProtect"), after=True),
    "Limiter": Host(limit),
    "Limiter, after": Host(limit, after=True),
    "CSRFProtect and Limiter": Host(protect_and_limit),
    "DebugToolbar": Host(show_debugging, DEBUG_TB_PROFILER_ENABLED=True),
    "DebugToolbar, after": Host(show_debugging, after=True),
    "SeaSurf": Host(extension("flask_seasurf", "SeaSurf"), CSRF_DISABLE=False),
    "SeaSurf, after": Host(
        extension("flask_seasurf", "SeaSurf"), after=True, CSRF_DISABLE=False
    ),
    "Talisman": Host(
        extension(
            "flask_talisman",
            "Talisman",
            content_security_policy={"default-src": "'self'"},
            content_security_policy_nonce_in=["script-src", "style-src"],
        ),
        PREFERRED_URL_SCHEME="https",
    ),
    "Caching": Host(cache_pages, CACHE_TYPE="SimpleCache"),
    "Compress": Host(extension("flask_compress", "Compress")),
    "Principal": Host(extension("flask_principal", "Principal")),
    "Session": Host(keep_sessions, SESSION_TYPE="redis"),
    "CORS": Host(extension("flask_cors", "CORS")),
    "Security-Too": Host(secure, SECURITY_PASSWORD_SALT="1"),
    "HTTPAuth": Host(ask_for_passwords),
    "allowed-hosts": Host(limit_addresses),
    "JWT-Extended": Host(extension("flask_jwt_extended", "JWTManager")),
    "Paranoid": Host(extension("flask_paranoid", "Paranoid")),
    "SSLify": Host(extension("flask_sslify", "SSLify"), PREFERRED_URL_SCHEME="https"),
    "Minify": Host(extension("flask_minify", "Minify")),
    "Moment": Host(extension("flask_moment", "Moment")),
    "Bootstrap-Flask": Host(extension("flask_bootstrap", "Bootstrap5")),
    "htmx": Host(extension("flask_htmx", "HTMX")),
    "Assets": Host(extension("flask_assets", "Environment")),
    "SocketIO": Host(extension("flask_socketio", "SocketIO")),
    "APIFlask": Host(make=lambda: load("apiflask", "APIFlask")("host")),
    "smorest": Host(add_smorest),
    "RESTful": Host(extension("flask_restful", "Api")),
    "RESTX": Host(extension("flask_restx", "Api", doc="/api/")),
    "openapi3": Host(make=lambda: load("flask_openapi3", "OpenAPI")("host")),
    "prometheus": Host(count_requests),
    "Sentry": Host(watch_with_sentry),
    "OpenTelemetry": Host(trace),
    "Elastic APM": Host(
        extension("elasticapm.contrib.flask", "ElasticAPM"),
        ELASTIC_APM={"DISABLE_SEND": True, "SERVICE_NAME": "host"},
    ),
    "New Relic": Host(watch_with_newrelic),
    "Datadog": Host(trace_with_datadog),
    "Scout": Host(watch_with_scout, SCOUT_MONITOR=True, SCOUT_CORE_AGENT_LAUNCH=False),
}


# --- Apps that are set up otherwise


def wrap(middleware: Callable[..., Any], **options: Any) -> Callable[[Flask], None]:
    def add(app: Flask) -> None:
        app.wsgi_app = middleware(app.wsgi_app, **options)  # type: ignore[method-assign]

    return add


def catch_all(app: Flask) -> None:
    app.add_url_rule("/<path:path>", "any", lambda path: f"any {path}")


def be_strict_about_slashes(app: Flask) -> None:
    app.url_map.strict_slashes = app.url_map.merge_slashes = False


def escape_nothing() -> Flask:
    class Unescaped(Flask):
        def select_jinja_autoescape(self, filename: str) -> bool:
            return False

    return Unescaped("host")


def read_in_a_sandbox() -> Flask:
    class Sandbox(Environment, SandboxedEnvironment):
        pass

    class Sandboxed(Flask):
        jinja_environment = Sandbox

    return Sandboxed("host")


def write_otherwise(app: Flask) -> None:
    app.jinja_env.filters.update(list=list, join=lambda all_of, by="": by.join(all_of))
    app.jinja_env.finalize = lambda value: "" if value is None else value


class Wrapped(DefaultJSONProvider):
    """Puts what a view gives into an envelope."""

    def response(self, *arguments: Any, **values: Any) -> Response:
        answer: Response = super().response(data=arguments or values)
        return answer


class Fast(JSONProvider):
    """Writes what orjson writes, and no more types than it knows."""

    def dumps(self, obj: Any, **options: Any) -> str:
        text: str = load("orjson", "dumps")(obj).decode()
        return text

    def loads(self, s: str | bytes, **options: Any) -> Any:
        return load("orjson", "loads")(s)


def write_json_with(provider: type[JSONProvider]) -> Callable[[], Flask]:
    class Other(Flask):
        json_provider_class = provider

    def make() -> Flask:
        if provider is Fast:
            need("orjson")
        return Other("host")

    return make


def flask_with(**options: Any) -> Callable[[], Flask]:
    """Return what makes an app whose Jinja environment has *options*."""

    class Other(Flask):
        jinja_options = options

    return lambda: Other("host")


APPS = {
    "static files at the root": Host(make=lambda: Flask("host", static_url_path="")),
    "static files below ours": Host(
        make=lambda: Flask("host", static_url_path="/bitmapist")
    ),
    "ProxyFix": Host(wrap(ProxyFix, x_prefix=1)),
    "a profiler": Host(wrap(ProfilerMiddleware, stream=None)),
    "APPLICATION_ROOT": Host(APPLICATION_ROOT="/below"),
    "a route that takes all": Host(catch_all),
    "slashes that do not count": Host(be_strict_about_slashes),
    "StrictUndefined": Host(make=flask_with(undefined=jinja2.StrictUndefined)),
    "trimmed blocks": Host(make=flask_with(trim_blocks=True, lstrip_blocks=True)),
    "line statements": Host(
        make=flask_with(line_statement_prefix="%", line_comment_prefix="##")
    ),
    "no autoescaping": Host(make=escape_nothing),
    "a sandbox": Host(make=read_in_a_sandbox),
    "filters of the same names": Host(write_otherwise),
    "Jinja's i18n": Host(make=flask_with(extensions=["jinja2.ext.i18n"])),
    "orjson": Host(make=write_json_with(Fast)),
    "JSON in an envelope": Host(make=write_json_with(Wrapped)),
    "Arabic": Host(BABEL_DEFAULT_LOCALE="ar_EG"),
    "Chinese": Host(BABEL_DEFAULT_LOCALE="zh_Hant_TW"),
    "texts of its own": Host(BABEL_DEFAULT_LOCALE="de", BABEL_DOMAIN="shop"),
    "TRUSTED_HOSTS": Host(TRUSTED_HOSTS=["localhost"]),
    "subdomains": Host(
        make=lambda: Flask("host", subdomain_matching=True), SERVER_NAME="localhost"
    ),
}


# --- What is tried


def inputs(page: str) -> dict[str, str]:
    """Return the hidden fields of a page."""
    found = {}
    for tag in re.findall(r'<input[^>]*type="hidden"[^>]*>', page):
        name, value = (re.search(f' {key}="([^"]*)"', tag) for key in ("name", "value"))
        if name and value:
            found[unescape(name[1])] = unescape(value[1])
    return found


def check_pages(client: FlaskClient, surface: str) -> set[str]:
    """Look at each page in each format, and return the files that they want."""
    wanted = set()
    for page in PAGES:
        url = url_of(page.name, surface)
        asked = ASKED.get(page.name, {})
        for query in ({}, asked):
            answer = client.get(url, query_string=query)
            assert answer.status_code == 200, (url, answer.text)
            assert "bm-form" in answer.text
            assert "{{" not in answer.text
            assert "{%" not in answer.text
            wanted |= {
                urljoin(url, unescape(found))
                for found in re.findall(
                    r'<(?:link|script|img)[^>]* (?:href|src)="([^":]+)"', answer.text
                )
                if "bitmapist" in found
            }
        answer = client.get(url, query_string={**asked, "format": "json"})
        assert answer.status_code == 200, (url, answer.text)
        assert isinstance(answer.get_json(), dict)
        with client.get(url, query_string={**asked, "format": "csv"}) as answer:
            assert answer.status_code == 200, url
            assert answer.mimetype == "text/csv"
            assert answer.text
    return wanted


def check_posts(client: FlaskClient, surface: str) -> None:
    """Ask a question in JSON, and delete the event that is called as the surface."""
    headers = {"X-CSRFToken": client.get("/token").text}
    url = f"{url_of('cohort', surface)}?json=y"
    body = json.dumps(COHORT)
    answer = client.post(
        url, data=body, content_type="application/json", headers=headers
    )
    assert answer.status_code == 200, answer.text
    assert answer.get_json()["cohort"][-1][0] == 1

    url = url_of("events", surface).rstrip("/") + "/delete"
    page = client.get(url, query_string={"event": surface})
    assert page.status_code == 200
    fields = {**inputs(page.text), "event": surface, "confirm": surface}
    answer = client.post(url, data=fields)
    assert answer.status_code == 200, answer.text
    answer = client.get(url_of("events", surface) + "?format=json")
    assert surface not in answer.text


def check_everything(host: Host, redis_url: str) -> None:
    app = host.app(redis_url)
    with app.app_context():
        for event in ("came", *SURFACES):
            mark_event(event, 1)
    client = app.test_client()
    wanted = set()
    for surface in SURFACES:
        wanted |= check_pages(client, surface)
        check_posts(client, surface)
    assert len(wanted) > 5
    root = app.config["APPLICATION_ROOT"].rstrip("/")
    for url in wanted:
        with client.get(url.removeprefix(root)) as answer:
            assert answer.status_code == 200, url
            assert answer.data


@pytest.mark.parametrize("name", EXTENSIONS)
def test_everything_works_beside_another_extension(redis_url: str, name: str) -> None:
    check_everything(EXTENSIONS[name], redis_url)


@pytest.mark.parametrize("name", APPS)
def test_everything_works_in_an_app_that_is_set_up_otherwise(
    redis_url: str, name: str
) -> None:
    check_everything(APPS[name], redis_url)


@pytest.mark.parametrize("surface", SURFACES)
def test_whoever_sends_no_password_is_asked_for_one(
    redis_url: str, surface: str
) -> None:
    app = EXTENSIONS["HTTPAuth"].app(redis_url)
    for page in PAGES:
        answer = app.test_client().get(url_of(page.name, surface), auth=("ada", "no"))
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize("surface", SURFACES)
def test_other_addresses_and_hosts_are_turned_away(
    redis_url: str, surface: str
) -> None:
    url = url_of("cohort", surface)
    stranger = {"REMOTE_ADDR": "192.0.2.7"}
    client = EXTENSIONS["allowed-hosts"].app(redis_url).test_client()
    assert client.get(url).status_code == 200
    assert client.get(url, environ_base=stranger).status_code == 403
    client = APPS["TRUSTED_HOSTS"].app(redis_url).test_client()
    assert client.get(url, headers={"Host": "elsewhere.example"}).status_code == 400


def test_a_page_may_be_kept_by_the_cache_of_the_app(redis_url: str) -> None:
    cache = load("flask_caching", "Cache")(config={"CACHE_TYPE": "SimpleCache"})
    app = Host(cache.init_app).app(redis_url)
    with app.app_context():
        mark_event("came", 1)
    view = app.view_functions["bitmapist.cohort"]
    app.view_functions["bitmapist.cohort"] = cache.cached(query_string=True)(view)
    client, url = app.test_client(), url_of("cohort", "standalone")
    first, second = (client.get(url, query_string=COHORT) for _ in range(2))
    assert (first.status_code, first.text) == (second.status_code, second.text)
    assert first.status_code == 200
    assert "bm-heat" in first.text


def test_a_blueprint_of_the_app_that_is_called_as_ours_is_an_error(
    redis_url: str,
) -> None:
    def add(app: Flask) -> None:
        app.register_blueprint(Blueprint("bitmapist", "host"))

    with pytest.raises(ValueError, match="'bitmapist' is already registered"):
        Host(add).app(redis_url)


@pytest.mark.parametrize(
    "base", ["admin/base.html", "bare.html"], ids=["as it comes", "bare"]
)
@pytest.mark.parametrize("fluid", [False, True], ids=["narrow", "fluid"])
def test_the_tabs_fit_into_every_layout_of_flask_admin(
    redis_url: str, tmp_path: Path, base: str, fluid: bool
) -> None:
    (tmp_path / "templates").mkdir()
    bare = "<title>Mine</title>{% block head_css %}{% endblock %}{% block body %}"
    bare += "{% endblock %}{% block tail %}{% endblock %}"
    (tmp_path / "templates" / "bare.html").write_text(bare, encoding="utf-8")
    theme = load("flask_admin.theme", "Bootstrap4Theme")
    app = Host(make=lambda: Flask("host", root_path=str(tmp_path))).app(redis_url)
    admin = load("flask_admin", "Admin")(
        app,
        url="/staff",
        endpoint="staff",
        theme=theme(fluid=fluid, swatch="darkly", base_template=base),
        index_view=load("flask_admin", "AdminIndexView")(
            url="/staff", endpoint="staff"
        ),
    )
    FlaskBitmapist(app, admin=admin)
    with app.app_context():
        mark_event("came", 1)
    for page in PAGES:
        url = url_of(page.name, "admin").replace("/admin/", "/staff/")
        answer = app.test_client().get(url, query_string=ASKED.get(page.name))
        assert answer.status_code == 200
        assert "bm-form" in answer.text
        assert ("<title>Mine</title>" in answer.text) == (base == "bare.html")
        assert "/admin/bitmapist" not in answer.text


def test_the_docs_name_what_csrf_protection_may_let_through(redis_url: str) -> None:
    csrf = load("flask_wtf", "CSRFProtect")()
    app = Host(csrf.init_app).app(redis_url)
    client = app.test_client()
    text = (ROOT / "docs" / "reference" / "json.md").read_text(encoding="utf-8")
    names = re.findall(r'csrf\.exempt\("(.+?)"\)', text)
    for surface, name in zip(SURFACES, names, strict=True):
        url = f"{url_of('cohort', surface)}?json=y&allow_unknown=y"
        assert client.post(url, json=COHORT).status_code == 400
        csrf.exempt(name)
        assert client.post(url, json=COHORT).status_code == 200


# --- Templates


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize(
    ("page", "field"),
    [("trends", "events"), ("cohort", "primary_event"), ("people", "user")],
)
def test_an_app_that_escapes_nothing_shows_no_script_of_a_url(
    redis_url: str, page: str, field: str, surface: str
) -> None:
    app = Host(make=escape_nothing).app(redis_url)
    asked = {field: "<script>alert(1)</script>"}
    text = app.test_client().get(url_of(page, surface), query_string=asked).text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


@pytest.mark.parametrize(
    "delimiters",
    [
        {"variable_start_string": "[[", "variable_end_string": "]]"},
        {"block_start_string": "<%", "block_end_string": "%>"},
    ],
    ids=["of variables", "of blocks"],
)
def test_the_pages_are_read_with_jinjas_delimiters_whatever_the_apps_are(
    redis_url: str, delimiters: dict[str, str]
) -> None:
    app = Host(make=flask_with(**delimiters)).app(redis_url)
    with app.app_context():
        mark_event("came", 1)
    check_pages(app.test_client(), "standalone")


def host_with_templates(
    redis_url: str, folder: Path, templates: dict[str, str]
) -> Flask:
    """Return an app that has these templates below ``flask_bitmapist/``."""
    for name, text in templates.items():
        path = folder / "templates" / "flask_bitmapist" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    app = Host(make=lambda: Flask("host", root_path=str(folder))).app(redis_url)
    with app.app_context():
        mark_event("came", 1)
    return app


BLOCKS = re.findall(
    r"^\| `(bm_\w+)` \|",
    (ROOT / "docs/reference/pages.md").read_text(encoding="utf-8"),
    re.M,
)
"""The blocks that an app may fill."""


@pytest.mark.parametrize("surface", SURFACES)
def test_an_app_fills_every_block_that_the_docs_name(
    redis_url: str, tmp_path: Path, surface: str
) -> None:
    mine = [
        f"{{% block {name} %}}mine:{name}: {{{{ super() }}}}{{% endblock %}}"
        for name in BLOCKS
    ]
    extended = '{% extends "!flask_bitmapist/cohort.html" %}' + "".join(mine)
    app = host_with_templates(redis_url, tmp_path, {"cohort.html": extended})
    client, url = app.test_client(), url_of("cohort", surface)
    pages = [client.get(url), client.get(url, query_string=COHORT)]
    assert [page.status_code for page in pages] == [200, 200]
    text = "".join(page.text for page in pages)
    missing = {name for name in BLOCKS if f"mine:{name}:" not in text}
    assert missing == ({"bm_menu"} if surface == "admin" else set())
    assert "mine:bm_answer:" in pages[1].text
    assert "mine:" not in client.get(url_of("trends", surface)).text


@pytest.mark.parametrize(
    ("surface", "name"),
    [("standalone", "layout.html"), ("admin", "admin/layout.html")],
)
def test_a_layout_of_the_app_has_what_its_templates_have(
    redis_url: str, tmp_path: Path, surface: str, name: str
) -> None:
    extended = (
        f'{{% extends "!flask_bitmapist/{name}" %}}{{% block bm_head %}}'
        '<meta name="own" content="{{ url_for("token") }} {{ "it" | shout }} '
        '{{ visitor }} {{ config["TESTING"] }}">{% endblock %}'
    )
    app = host_with_templates(redis_url, tmp_path, {name: extended})
    app.add_template_filter(str.upper, "shout")
    app.context_processor(lambda: {"visitor": "<ada>", "page": "not ours"})
    for page in PAGES:
        answer = app.test_client().get(url_of(page.name, surface))
        assert answer.status_code == 200, answer.text
        assert '<meta name="own" content="/token IT &lt;ada&gt; True">' in answer.text
        assert "not ours" not in answer.text


def test_a_tab_meets_no_template_that_was_made_for_version_0_1(
    redis_url: str, tmp_path: Path
) -> None:
    old = {
        f"../bitmapist/{name}.html": "old {{ dates[0] }}"
        for name in ("index", "cohort", "_heatmap", "base", "layout")
    }
    client = host_with_templates(redis_url, tmp_path, old).test_client()
    for page in PAGES:
        answer = client.get(
            url_of(page.name, "admin"), query_string=ASKED.get(page.name)
        )
        assert answer.status_code == 200
        assert "bm-form" in answer.text
