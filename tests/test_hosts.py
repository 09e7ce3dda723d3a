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
from flask import Flask, Response, render_template_string
from flask.testing import FlaskClient
from werkzeug.middleware.profiler import ProfilerMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_bitmapist import FlaskBitmapist, mark_event

from .needs import need
from .pages import ASKED, COHORT, PAGES, url_of

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


def test_the_docs_name_what_csrf_protection_may_let_through(redis_url: str) -> None:
    csrf = load("flask_wtf", "CSRFProtect")()
    app = Host(csrf.init_app).app(redis_url)
    client = app.test_client()
    text = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    names = re.findall(r'csrf\.exempt\("(.+?)"\)', text)
    for surface, name in zip(SURFACES, names, strict=True):
        url = f"{url_of('cohort', surface)}?json=y&allow_unknown=y"
        assert client.post(url, json=COHORT).status_code == 400
        csrf.exempt(name)
        assert client.post(url, json=COHORT).status_code == 200
