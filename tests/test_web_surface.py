"""Where the standalone pages are, what they carry, and in which language."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

import flask_bitmapist
from flask_bitmapist import Period, TimeGroup, mark_event
from flask_bitmapist.query import utc_now

STATIC = Path(flask_bitmapist.__file__).parent / "static"


def test_the_pages_move_with_their_prefix(make_app: Callable[..., Flask]) -> None:
    client = make_app(BITMAPIST_URL_PREFIX="/stats/users").test_client()
    page = client.get("/stats/users/cohort")
    assert page.status_code == 200
    assert "/stats/users/trends" in page.text
    assert client.get("/bitmapist/").status_code == 404


def test_the_pages_work_below_a_path(app: Flask) -> None:
    client = Client(DispatcherMiddleware(Flask("root"), {"/shop": app}))
    page = client.get("/shop/bitmapist/cohort")
    assert page.status_code == 200
    links = re.findall(r'(?:href|src|action)="(/[^"]+)"', page.text)
    assert links
    assert all(link.startswith("/shop/bitmapist/") for link in links)
    for link in links:
        with client.get(link) as response:
            assert response.status_code == 200, link


def test_the_pages_answer_on_every_host(redis_url: str) -> None:
    app = Flask("hosts", host_matching=True, static_host="static.example.org")
    app.config.update(BITMAPIST_REDIS_URL=redis_url, BITMAPIST_ACCESS="public")
    flask_bitmapist.FlaskBitmapist(app)
    client = app.test_client()
    for host in ("one.example.org", "two.example.org:8000"):
        base = f"http://{host}"
        page = client.get("/bitmapist/cohort", base_url=base)
        assert page.status_code == 200
        links = re.findall(r'(?:href|src|action)="([^#"]+)"', page.text)
        assert len(links) > 8
        for link in links:
            assert link.startswith("/bitmapist/")
            with client.get(link, base_url=base) as response:
                assert response.status_code == 200


def test_every_asset_is_shipped(app: Flask) -> None:
    client = app.test_client()
    for page in ("", "cohort", "trends?events-0=a", "people"):
        html = client.get(f"/bitmapist/{page}").text
        assets = re.findall(r'(?:src|href)="([^"]*static[^"]+)"', html)
        assert len(assets) >= 3
        for url in assets:
            with client.get(url) as response:
                assert response.status_code == 200
    assert (STATIC / "vendor/bootstrap-5.3.9/LICENSE").exists()
    assert (STATIC / "vendor/chart.js-4.6.1/LICENSE.md").exists()


def test_no_asset_of_ours_asks_another_origin() -> None:
    styles, scripts = [*STATIC.glob("*.css")], [*STATIC.glob("*.js")]
    assert styles
    assert scripts
    for each in (*styles, *scripts):
        assert "//" not in re.sub(r"/\*.*?\*/", "", each.read_text(), flags=re.S)


def test_the_nonce_of_the_app_is_on_every_tag(make_app: Callable[..., Flask]) -> None:
    client = make_app(BITMAPIST_CSP_NONCE=lambda: 'a"b').test_client()
    page = client.get("/bitmapist/cohort")
    tags = re.findall(r'<(?:script|link rel="stylesheet")[^>]*>', page.text)
    assert len(tags) == 7
    assert all('nonce="a&#34;b"' in tag for tag in tags)


def test_the_pages_come_with_secure_headers(make_app: Callable[..., Flask]) -> None:
    headers = make_app().test_client().get("/bitmapist/").headers
    policy = headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "script-src 'self';" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    given = make_app(BITMAPIST_CSP_NONCE=lambda: "n1").test_client().get("/bitmapist/")
    assert "script-src 'self' 'nonce-n1'" in given.headers["Content-Security-Policy"]


def test_the_app_may_set_its_own_headers(app: Flask) -> None:
    @app.after_request
    def stricter(response):  # type: ignore[no-untyped-def]
        response.headers["Content-Security-Policy"] = "default-src 'none'"
        return response

    headers = app.test_client().get("/bitmapist/").headers
    assert headers.getlist("Content-Security-Policy") == ["default-src 'none'"]


def test_no_blueprint_where_none_is_wanted(make_app: Callable[..., Flask]) -> None:
    client = make_app(BITMAPIST_DISABLE_BLUEPRINT=True).test_client()
    assert client.get("/bitmapist/").status_code == 404


@pytest.fixture
def german(make_app: Callable[..., Flask]) -> Flask:
    flask_babel = pytest.importorskip("flask_babel")
    app = make_app(BITMAPIST_MAX_WORK=16 * 1024 * 1024)
    flask_babel.Babel(app, locale_selector=lambda: "de")
    with app.app_context():
        for user in range(1234):
            mark_event("came", user)
    return app


def test_pages_speak_the_language_of_the_request(german: Flask) -> None:
    client = german.test_client()
    page = client.get("/bitmapist/cohort?primary_event=came")
    assert '<html lang="de">' in page.text
    assert "Gewichteter Durchschnitt" in page.text
    assert "1.234" in page.text
    assert "100,0\xa0%" in page.text
    refused = client.get("/bitmapist/cohort?secondary_event=came").text
    assert "Dieses Feld ist erforderlich." in refused


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            "cohort?primary_event=came&time_group=days&period={today}&column=20",
            "Das muss eine ganze Zahl von 0 bis 0 sein.",
        ),
    ],
)
def test_what_was_wrong_is_said_in_the_language_of_the_request(
    german: Flask, asked: str, said: str
) -> None:
    today = Period.containing(TimeGroup.DAYS, utc_now()).label
    answer = german.test_client().get(f"/bitmapist/{asked.format(today=today)}")
    assert answer.status_code == 400
    assert said in answer.text


def test_numbers_in_what_was_wrong_are_written_as_the_language_writes_them(
    german: Flask, redis_url: str
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        for key in client.keys("trackist_came_*"):
            client.setbit(key, 8 * 12_345 - 1, 1)
    asked = "/bitmapist/trends?events-0=came&num_periods=300&as_of=2026-10-28"
    (said,) = german.test_client().get(asked + "&format=json").json["errors"]["form"]
    # 64 KiB for each of 301 days, and twice for each of ten months: whether it is
    # there, and whether any of its days is.
    assert "20,1 MiB" in said
    assert "höchstens 16,0 MiB (BITMAPIST_MAX_WORK). Wählen Sie" in said


def test_a_key_that_holds_no_bitmap_is_named_in_the_language_of_the_request(
    german: Flask, redis_url: str
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        for key in client.keys("trackist_came_*"):
            client.delete(key)
            client.rpush(key, "no bitmap")
    answer = german.test_client().get("/bitmapist/trends?events-0=came")
    assert answer.status_code == 503
    assert "enthält keine Bitmap" in answer.text
    assert "trackist_came_" in answer.text


def test_an_unknown_language_falls_back_to_english(
    make_app: Callable[..., Flask],
) -> None:
    flask_babel = pytest.importorskip("flask_babel")
    app = make_app()
    flask_babel.Babel(app, locale_selector=lambda: "fr")
    page = app.test_client().get("/bitmapist/cohort").text
    assert '<html lang="en">' in page
    assert "Users who did" in page


def test_every_text_is_translated() -> None:
    pofile = pytest.importorskip("babel.messages.pofile")
    folder = Path(flask_bitmapist.__file__).parent / "translations"
    with (folder / "bitmapist.pot").open("rb") as file:
        wanted = {message.id for message in pofile.read_po(file) if message.id}
    with (folder / "de/LC_MESSAGES/bitmapist.po").open("rb") as file:
        german = {message.id: message.string for message in pofile.read_po(file)}
    assert wanted <= set(german)
    for each in wanted:
        assert german[each]
        ours = set(re.findall(r"%\(\w+\)s", str(each)))
        assert ours == set(re.findall(r"%\(\w+\)s", str(german[each]))), each


def test_no_text_of_a_template_or_a_module_is_missing_in_the_catalogue() -> None:
    extract = pytest.importorskip("babel.messages.extract")
    folder = Path(flask_bitmapist.__file__).parent
    method_map = [("**.py", "python"), ("templates/flask_bitmapist/**.html", "jinja2")]
    keywords = {"t": None, "tn": (1, 2), "lazy": None, "gettext": None, "Text": None}
    found = {
        message
        for _, _, message, _, _ in extract.extract_from_dir(
            str(folder), method_map, keywords=keywords
        )
    }
    with (folder / "translations/bitmapist.pot").open("rb") as file:
        from babel.messages.pofile import read_po

        known = {message.id for message in read_po(file)}
    assert found <= known


def test_the_core_imports_no_optional_package() -> None:
    code = (
        "import sys, flask_bitmapist, flask_bitmapist.web.blueprint;"
        "print([m for m in ('flask_admin', 'flask_babel', 'flask_login', 'sqlalchemy',"
        " 'pandas', 'rich', 'numkong') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = (
        p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
    )
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear))


def contrast(one: str, two: str) -> float:
    light, dark = sorted((luminance(one), luminance(two)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_colour_of_the_heatmap_can_be_read() -> None:
    css = (STATIC / "bitmapist.css").read_text()
    palettes = [
        block for block in re.findall(r"\{([^{}]*)\}", css) if "--bm-heat-10:" in block
    ]
    assert len(palettes) == 3  # light, dark as set, dark as preferred
    assert palettes[1].split() == palettes[2].split()
    inks = dict(re.findall(r"\.heat-(\d+) \{[^}]*; color: var\((--bm-[\w-]+)\)", css))
    assert len(inks) == 11
    for palette in palettes:
        values = dict(re.findall(r"(--bm-[\w-]+): ([^;]+);", palette))

        def colour(name: str, values: dict[str, str] = values) -> str:
            value = values[name]
            return colour(value[4:-1]) if value.startswith("var(") else value

        brightness = [luminance(colour(f"--bm-heat-{level}")) for level in range(11)]
        assert brightness in (sorted(brightness), sorted(brightness, reverse=True))
        for level, ink in inks.items():
            assert contrast(colour(f"--bm-heat-{level}"), colour(ink)) >= 4.5, level
