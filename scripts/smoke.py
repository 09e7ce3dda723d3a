"""Say whether an installed Flask-Bitmapist works: every page, and every file they name.

    python -I scripts/smoke.py redis://localhost:6379

It is run in an environment into which a built package was installed and nothing else;
``make dist`` does so.  The store should be empty; what is marked there stays.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from flask import Flask
from flask.testing import FlaskClient

import flask_bitmapist
from flask_bitmapist import FlaskBitmapist, mark

EXTRAS = (
    *("flask_admin", "flask_babel", "flask_login", "numkong", "pandas", "rich"),
    "sqlalchemy",
)
# A question for each page, and what only its own template makes of the answer.
PAGES = {
    "": ("", "bm-busiest"),
    "cohort": ("primary_event=came&secondary_event=came", '<table class="bm-heat"'),
    "trends": ("events-0=came", 'data-bm-chart="'),
    "stickiness": ("event=came", 'data-bm-chart="'),
    "lifecycle": ("event=came", 'data-bm-chart="'),
    "funnel": ("steps-0=came&steps-1=came", '<table class="bm-table bm-sticky"'),
    "people": ("user=5", "bm-calendar"),
    "events": ("", "1 event"),
}


def main(redis_url: str) -> None:
    """Mark a user, look at everything, and print what was seen."""
    check_installation()
    app = Flask("smoke")
    settings = {"BITMAPIST_REDIS_URL": redis_url, "BITMAPIST_ACCESS": "public"}
    FlaskBitmapist(app, settings)
    app.add_url_rule("/", "index", mark("came", 5)(lambda: "hello"))
    client = app.test_client()
    check(client.get("/").text == "hello", "the marked view")
    files = {name for page in PAGES for name in look_at(client, page)}
    check(len(files) > 3, f"pages name their scripts and styles: {files}")
    for name in sorted(files):
        answer = client.get(name)
        check(answer.status_code == 200 and len(answer.data) > 100, name)
    told = app.test_cli_runner().invoke(args=["bitmapist", "count", "came"])
    check(told.exit_code == 0 and "1" in told.output, "the command line")
    print(f"{version('Flask-Bitmapist')}: {len(PAGES)} pages, {len(files)} files")


def check_installation() -> None:
    """Look at what is installed, and that it is not the checkout."""
    place = Path(flask_bitmapist.__file__).parent
    check("site-packages" in place.parts, f"installed at {place}")
    check(flask_bitmapist.__version__ == version("Flask-Bitmapist"), "the version")
    check((place / "py.typed").is_file(), "the marker of types")
    check(any(place.glob("translations/*/LC_MESSAGES/*.mo")), "the translations")
    brought = [name for name in EXTRAS if find_spec(name)]
    check(not brought, f"the core needs no {brought}")


def look_at(client: FlaskClient, page: str) -> set[str]:
    """Fetch a page and return the addresses of the files that it names."""
    question, shown = PAGES[page]
    answer = client.get(f"/bitmapist/{page}?{question}")
    check(answer.status_code == 200, f"the page {page!r}: {answer.status}")
    check(shown in answer.text, f"the page {page!r} shows {shown!r}")
    return set(re.findall(r'(?:src|href)="(/bitmapist/static/[^"]+)"', answer.text))


def check(fine: bool, what: str) -> None:
    """Stop unless *fine*; assertions would be lost under ``python -O``."""
    if not fine:
        raise SystemExit(f"smoke test failed: {what}")


if __name__ == "__main__":
    main(sys.argv[1])
