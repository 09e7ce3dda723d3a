"""What is built for others to install: its files, its metadata, and that it runs."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flask_bitmapist import __version__

ROOT = Path(__file__).parents[1]
LEFT_OUT = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "dist")
BUILD = "from setuptools import build_meta; build_meta.build_{}({!r})"


class Built(NamedTuple):
    """What was built, and the tree that it was built from."""

    source: Path
    sdist: Path
    wheel: Path

    def names_in_wheel(self) -> set[str]:
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())

    def names_in_sdist(self) -> set[str]:
        with tarfile.open(self.sdist) as archive:
            return {
                member.name.partition("/")[2]
                for member in archive.getmembers()
                if member.isfile()
            }

    def metadata(self) -> Message:
        with zipfile.ZipFile(self.wheel) as archive:
            (name,) = (
                n for n in archive.namelist() if n.endswith("dist-info/METADATA")
            )
            return Parser().parsestr(archive.read(name).decode())


def build(kind: str, source: Path, target: Path) -> Path:
    """Build in a process of its own, as a build tool does, and return the file."""
    command = [sys.executable, "-c", BUILD.format(kind, str(target))]
    done = subprocess.run(
        command, cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (built,) = target.iterdir()
    return built


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A wheel built from the source distribution, as an index would offer both."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=LEFT_OUT)
    for name in ("sdist", "wheel", "unpacked"):
        (folder / name).mkdir()
    sdist = build("sdist", source, folder / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", **_safely())
    (unpacked,) = (folder / "unpacked").iterdir()
    return Built(source, sdist, build("wheel", unpacked, folder / "wheel"))


def _safely() -> dict[str, Any]:
    # Older patch releases of 3.11 know no filters, newer ones warn without.
    return {"filter": "data"} if hasattr(tarfile, "data_filter") else {}


def files_below(folder: Path) -> set[str]:
    return {
        path.relative_to(folder.parent).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(
    built: Built,
) -> None:
    package = {name for name in built.names_in_wheel() if ".dist-info/" not in name}
    assert package == files_below(built.source / "flask_bitmapist")


@pytest.mark.parametrize(
    "name",
    [
        "py.typed",
        "templates/flask_bitmapist/cohort.html",
        "templates/flask_bitmapist/admin/layout.html",
        "static/bitmapist.css",
        "static/bitmapist.js",
        "translations/de/LC_MESSAGES/bitmapist.mo",
        "data/cdnow_sample.csv.gz",
    ],
)
def test_the_wheel_holds_what_is_not_python(built: Built, name: str) -> None:
    assert f"flask_bitmapist/{name}" in built.names_in_wheel()


def test_pytest_finds_the_fixture_by_itself(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        (name,) = (
            n for n in archive.namelist() if n.endswith("dist-info/entry_points.txt")
        )
        told = archive.read(name).decode()
    assert told.split() == ["[pytest11]", "flask_bitmapist", "=", PLUGIN]
    assert importlib.util.find_spec(PLUGIN) is not None


PLUGIN = "flask_bitmapist.testing"


def test_licences_of_what_is_shipped_are_shipped(built: Built) -> None:
    names = built.names_in_wheel()
    vendored = {
        "/".join(name.split("/")[:4])
        for name in names
        if name.startswith("flask_bitmapist/static/vendor/")
    }
    assert vendored
    for folder in vendored:
        assert any(name.startswith(f"{folder}/LICENSE") for name in names), (
            f"{folder} has no licence"
        )
    assert any(re.search(r"\.dist-info/(.*/)?LICENSE$", name) for name in names)


@pytest.mark.parametrize(
    "name",
    [
        "setup.py",
        "pyproject.toml",
        "Makefile",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "tox.ini",
        "scripts/seed.py",
        "flask_bitmapist/data/cdnow_sample.csv.gz",
        "flask_bitmapist/data/README.md",
        "demo_app/templates/demo/index.html",
        "demo_app/static/demo.css",
        "tests/conftest.py",
        "tests/oldest.txt",
        "tests/test_packaging.py",
    ],
)
def test_the_source_distribution_can_run_the_demo_and_the_tests(
    built: Built, name: str
) -> None:
    assert name in built.names_in_sdist()


def test_the_metadata_says_what_the_package_says(built: Built) -> None:
    metadata = built.metadata()
    assert metadata["Name"] == "Flask-Bitmapist"
    assert metadata["Version"] == __version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata["License-Expression"] == "MIT"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Author"]
    assert {"flask", "analytics", "cohort"} <= set(metadata["Keywords"].split(","))
    urls = dict(each.split(", ") for each in metadata.get_all("Project-URL"))
    assert {"Documentation", "Changelog", "Source", "Issues"} <= set(urls)


def test_links_and_pictures_of_the_readme_lead_somewhere_from_the_index(
    built: Built,
) -> None:
    shown = str(built.metadata().get_payload())
    targets = re.findall(r"\]\(([^)]+)\)", shown)
    assert len(targets) > 10
    for target in targets:
        assert target.startswith("https://"), target
    source = re.findall(r"https://\S+/(?:blob|raw)/main/([^)#\s]+)", shown)
    assert "docs/images/cohort.png" in source
    for path in source:
        assert (ROOT / path).exists(), path


def test_the_core_needs_five_packages_and_the_rest_is_optional(built: Built) -> None:
    required = [
        re.split(r"[<>=!~;\[ ]", requirement)[0]
        for requirement in built.metadata().get_all("Requires-Dist")
        if "extra ==" not in requirement
    ]
    assert sorted(required, key=str.lower) == [
        "bitmapist",
        "Flask",
        "numpy",
        "redis",
        "WTForms",
    ]


# What a user can choose; what developers use is in groups, which are not published.
EXTRAS = {
    *("admin", "memory", "login", "sqlalchemy", "babel", "cli", "dataframe"),
    *("import", "async", "mcp", "fast"),
}


def test_the_extras_are_for_users_and_one_has_them_all(built: Built) -> None:
    assert set(built.metadata().get_all("Provides-Extra")) == {*EXTRAS, "all"}
    brought: dict[str, set[str]] = {}
    for requirement in built.metadata().get_all("Requires-Dist"):
        wanted, _, extra = requirement.partition("; extra == ")
        brought.setdefault(extra.strip("\"'"), set()).add(wanted)
    assert brought["all"] == set().union(*(brought[extra] for extra in EXTRAS))


def test_the_wheel_says_what_of_others_it_holds(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        (name,) = (n for n in archive.namelist() if ".dist-info/sboms/" in n)
        bill = json.loads(archive.read(name))
        told = {
            file["name"]: file["hashes"][0]["content"]
            for component in bill["components"]
            for file in component["components"]
        }
        held = {
            n: sha256(archive.read(n)).hexdigest()
            for n in archive.namelist()
            if "/static/vendor/" in n and "/LICENSE" not in n
        }
    assert name.endswith(".cdx.json")
    assert held
    assert told == held
    for component in bill["components"]:
        assert {"version", "licenses", "purl"} <= set(component)


def test_the_tools_are_set_to_the_oldest_python_that_is_promised(
    built: Built,
) -> None:
    oldest = built.metadata()["Requires-Python"].removeprefix(">=")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "project" not in settings, "the metadata has one place: setup.py"
    assert settings["tool"]["mypy"]["python_version"] == oldest
    assert settings["tool"]["ruff"]["target-version"] == "py" + oldest.replace(".", "")
    classifiers = built.metadata().get_all("Classifier")
    assert f"Programming Language :: Python :: {oldest}" in classifiers


def test_every_python_that_is_promised_has_an_environment_and_a_workflow(
    built: Built,
) -> None:
    classifiers = "\n".join(built.metadata().get_all("Classifier"))
    promised = re.findall(r":: (3\.\d+)$", classifiers, re.MULTILINE)
    assert promised[0] == "3.11"

    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    (factors,) = re.findall(r"^env_list = py\{([\d,]+)\}", tox, re.MULTILINE)
    assert factors.split(",") == [each.replace(".", "") for each in promised]

    left_out = re.findall(r"--ignore=(\S+)", tox)
    assert left_out
    for name in left_out:
        assert (ROOT / name).is_file(), name

    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    (matrix,) = re.findall(r"^ +python: \[(.+)\]$", workflow, re.MULTILINE)
    assert re.findall(r"[\d.]+", matrix) == promised


def test_the_oldest_versions_that_are_tested_are_those_that_are_promised(
    built: Built,
) -> None:
    promised = {}
    for requirement in built.metadata().get_all("Requires-Dist"):
        name = re.split(r"[ <>=!~;\[]", requirement)[0]
        bound = re.search(r">=([\d.]+)", requirement)
        assert bound or name == "Flask", f"{requirement} has no lower bound"
        if bound:
            promised[name] = bound[1]
    pins = (ROOT / "tests" / "oldest.txt").read_text(encoding="utf-8").splitlines()
    tested = dict(pin.split("==") for pin in pins if not pin.startswith("#"))
    assert tested == promised


def test_the_changelog_has_the_form_that_it_says() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert text.startswith("# Changelog\n")
    versions = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert versions[0] == "[Unreleased]"
    coming = __version__.partition(".dev")[0]
    dated = r"\d{4}-\d\d-\d\d" if coming == __version__ else "not released yet"
    assert re.fullmatch(rf"\[{re.escape(coming)}\] - {dated}", versions[1])
    for version in versions[2:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", version)
    for version in versions:
        name = re.escape(version.partition(" ")[0])
        assert re.search(rf"^{name}: http", text, re.MULTILINE), version
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= kinds


PAGES = """
from flask import Flask
import flask_bitmapist
from flask_bitmapist import FlaskBitmapist

assert flask_bitmapist.__file__.startswith({place!r}), flask_bitmapist.__file__
app = Flask("elsewhere")
FlaskBitmapist(
    app, {{"BITMAPIST_REDIS_URL": {url!r}, "BITMAPIST_ACCESS": "public"}}
)
client = app.test_client()
page = client.get("/bitmapist/cohort").text
assert "primary_event" in page
for name in ("bitmapist.css", "bitmapist.js"):
    assert client.get("/bitmapist/static/" + name).status_code == 200, name
print("served")
"""


def test_the_wheel_serves_its_pages_from_wherever_it_is_installed(
    built: Built, tmp_path: Path, redis_url: str
) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        archive.extractall(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", PAGES.format(place=str(tmp_path), url=redis_url)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "served\n"), done.stderr
