"""Without the optional packages: all else works, and what needs one says which."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

# None makes an import fail as it does where the package is not installed.
WITHOUT = """
import sys
for name in ("asgiref", "babel", "fakeredis", "flask_admin", "flask_babel",
             "anyio", "flask_login", "flask_sqlalchemy", "mcp", "numkong", "pandas",
             "pyarrow", "rich", "sqlalchemy"):
    sys.modules[name] = None

from flask import Flask
from flask_bitmapist import FlaskBitmapist, mark, mark_event
"""


def run_without_them(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT + textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_marks_questions_pages_and_commands_work_without_any(redis_url: str) -> None:
    told = run_without_them(
        """
        from tests.pages import PAGES

        app = Flask("bare")
        app.config.update(BITMAPIST_REDIS_URL=sys.argv[1], BITMAPIST_ACCESS="public")
        bitmapist = FlaskBitmapist(app)

        @app.get("/")
        @mark("came", 5)
        def index():
            return "hello"

        client = app.test_client()
        assert client.get("/").text == "hello"
        with app.app_context():
            result = bitmapist.query.cohort("came", num_rows=1, num_cols=1)
        print(result.counts)
        for page in PAGES:
            answer = client.get("/bitmapist" + page.path)
            assert answer.status_code == 200, page
            assert "bm-form" in answer.text, page
        asked = "primary_event=came&cells=users&format=json"
        assert client.get("/bitmapist/cohort?" + asked).json["cohort"][-1][0] == 1
        asked = ["bitmapist", "cohort", "came", "-g", "day", "-r", "1", "-c", "1"]
        print(app.test_cli_runner().invoke(args=asked).stdout)
        """,
        redis_url,
    )
    counts, *heatmap = told.splitlines()
    assert counts == "((1,),)"
    assert heatmap[0].split() == ["day", "users", "+0"]
    assert heatmap[1].split()[1:] == ["1", "100.0%*"]


@pytest.mark.parametrize(
    ("module", "needed", "extra"),
    [
        ("admin", "Flask-Admin", "admin"),
        ("mixins", "SQLAlchemy", "sqlalchemy"),
        ("capture.backfill", "SQLAlchemy", "sqlalchemy"),
        ("extensions.flask_login", "Flask-Login", "login"),
    ],
)
def test_a_module_that_needs_one_says_which_extra_brings_it(
    module: str, needed: str, extra: str
) -> None:
    told = run_without_them(
        f"""
        try:
            import flask_bitmapist.{module}
        except ImportError as error:
            print(error)
        """
    )
    assert told == (
        f"flask_bitmapist.{module} needs {needed}: "
        f"pip install 'flask-bitmapist[{extra}]'\n"
    )


def test_a_file_is_imported_without_any(redis_url: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text('user_id,event,timestamp\n5,"a",2026-01-01\n6,b,2026-01-02\n')
    told = run_without_them(
        """
        app = Flask("bare")
        FlaskBitmapist(app, {"BITMAPIST_REDIS_URL": sys.argv[1]})
        print(app.test_cli_runner().invoke(args=["bitmapist", *sys.argv[2:]]).stdout)
        """,
        *(redis_url, "import", str(file)),
    )
    assert "2 rows read, 2 imported: 2 events of 2 users, 6 bits newly set" in told


def test_the_embedded_store_says_which_extra_brings_it() -> None:
    told = run_without_them(
        """
        try:
            FlaskBitmapist(Flask("x"), {"BITMAPIST_REDIS_URL": "memory://"})
        except RuntimeError as error:
            print(error)
        """
    )
    assert "needs fakeredis: pip install 'flask-bitmapist[memory]'" in told


def test_the_command_for_mcp_says_which_extra_brings_it(redis_url: str) -> None:
    told = run_without_them(
        """
        app = Flask("bare")
        FlaskBitmapist(app, {"BITMAPIST_REDIS_URL": sys.argv[1]})
        done = app.test_cli_runner().invoke(args=["bitmapist", "mcp"])
        print(done.exit_code, done.output)
        """,
        redis_url,
    )
    assert told.split(maxsplit=1)[0] == "1"
    assert told.rstrip().endswith("the MCP SDK: pip install 'flask-bitmapist[mcp]'")
