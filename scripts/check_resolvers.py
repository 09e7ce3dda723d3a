"""Run what docs/howto/redis-py.md tells, with the tools that it names.

    python -m scripts.check_resolvers [heading ...]

Each section of the page is a project in a folder of its own: its ``toml`` is the
``pyproject.toml``, its ``text`` the ``requirements.in``, and its commands are run in
turn.  Afterwards the redis-py is there that the section names, an app marks an event
with it, and Celery's transport connects.  The package itself is the wheel of this
checkout, and the tools are installed into a temporary folder, by uv.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

from tests.servers import RedisProcess

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "howto" / "redis-py.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILES = {"toml": "pyproject.toml", "text": "requirements.in"}
NAME = re.compile(r"\bflask-bitmapist\b")
# bitmapist's bound, which holds where a section does not overrule it.
WITHOUT = "<6"

TOOLS = {
    "Poetry": ("poetry",),
    # PDM 2.29 does not start with hishel 2.
    "PDM": ("pdm", "--with", "hishel<2"),
}

# Run in the environment that a section made.
TRIAL = """
import sys
import celery, kombu, redis, redis.utils
from flask import Flask
from flask_bitmapist import FlaskBitmapist, mark_event
from packaging.specifiers import SpecifierSet

url, wanted = sys.argv[1:]
assert redis.__version__ in SpecifierSet(wanted), (redis.__version__, wanted)
assert redis.utils.HIREDIS_AVAILABLE
app = Flask("shop")
bitmapist = FlaskBitmapist(app, {"BITMAPIST_REDIS_URL": url})
with app.app_context():
    mark_event("order:placed", 7)
    assert bitmapist.query.count("order:placed", "day") == 1
with kombu.Connection(url) as connection:
    connection.connect()
print("redis-py", redis.__version__, "beside Celery", celery.__version__)
"""


class Section(NamedTuple):
    """What a section of the page tells."""

    heading: str
    files: dict[str, str]
    commands: list[list[str]]
    wanted: str
    """Which redis-py is there at the end."""


def sections(text: str) -> Iterator[Section]:
    """Yield the sections of the page that tell what to do.

    Args:
        text: The page.
    """
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        blocks = BLOCK.findall(body)
        lines = "".join(code for kind, code in blocks if kind == "console")
        newer = re.search(r"redis(?:\[hiredis\]| = \")(>=\d+)", body)
        yield Section(
            heading,
            {FILES[kind]: code for kind, code in blocks if kind in FILES},
            [shlex.split(line) for line in re.findall(r"^\$ (.+)$", lines, re.M)],
            newer[1] if newer else WITHOUT,
        )


def try_out(section: Section, parent: Path, wheel: Path, url: str) -> str:
    """Do what *section* tells, and try what it made.

    Args:
        section: The section.
        parent: Where to make its folder.
        wheel: What to install as flask-bitmapist.
        url: Of a redis-server.

    Returns:
        What was found at the end, and how long it took.

    Raises:
        RuntimeError: A command failed.
    """
    begun = time.monotonic()
    folder = parent / section.heading.replace(" ", "-")
    folder.mkdir()
    environment = environment_of(folder)
    requirement = f"flask-bitmapist @ {wheel.as_uri()}"
    for name, text in section.files.items():
        (folder / name).write_text(NAME.sub(requirement, text), encoding="utf-8")
    prepare(section, folder, environment)
    for command in section.commands:
        words = [str(wheel) if NAME.fullmatch(word) else word for word in command]
        run(words, folder, environment)
    python = str(folder / ".venv" / "bin" / "python")
    run(["uv", "pip", "install", "--python", python, "packaging"], folder, environment)
    found = run([python, "-c", TRIAL, url, section.wanted], folder, environment)
    return f"{section.heading}: {found.strip()}, {time.monotonic() - begun:.0f} s"


def environment_of(folder: Path) -> dict[str, str]:
    """Return the variables under which the tools work in *folder* alone."""
    own = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    bins = (folder / ".venv" / "bin", folder / "tools", Path(sys.executable).parent)
    return {
        **own,
        "PATH": os.pathsep.join([*map(str, bins), own["PATH"]]),
        "VIRTUAL_ENV": str(folder / ".venv"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "UV_PYTHON": sys.executable,
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_TOOL_DIR": str(folder / "installed"),
        "UV_TOOL_BIN_DIR": str(folder / "tools"),
        "POETRY_VIRTUALENVS_IN_PROJECT": "true",
        "PDM_CHECK_UPDATE": "false",
    }


def prepare(section: Section, folder: Path, environment: dict[str, str]) -> None:
    """Install the tool of *section* in *folder*, in the way that it is used in."""
    seed = ["uv", "venv", "--seed", str(folder / ".venv")]
    if section.heading in TOOLS:
        run(["uv", "tool", "install", *TOOLS[section.heading]], folder, environment)
    elif section.heading != "uv":
        run(seed, folder, environment)
    if section.heading == "pip-tools":
        run(["pip", "install", "pip-tools"], folder, environment)
    if section.heading == "Poetry":
        # What it asks the index for by default is more than a mirror need have.
        pages = [sys.executable, "-c", "from pip._internal.models.index import PyPI; "]
        pages[-1] += "print(PyPI.simple_url)"
        index = run(pages, folder, environment).strip()
        add = ["poetry", "source", "add", "--priority=primary", "pages", index]
        run(add, folder, environment)


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Run a command in *folder* and return what it printed."""
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def main(headings: list[str]) -> None:
    """Try the sections of the page, those with *headings* or all of them."""
    found = list(sections(PAGE.read_text(encoding="utf-8")))
    unknown = set(headings) - {section.heading for section in found}
    if unknown or not found:
        raise SystemExit(f"no such section in {PAGE.name}: {', '.join(unknown)}")
    with tempfile.TemporaryDirectory() as name, RedisProcess() as server:
        built = ["uv", "build", "--quiet", "--out-dir", name, str(ROOT)]
        run(built, Path(name), environment_of(Path(name)))
        (wheel,) = Path(name).glob("*.whl")
        chosen = [each for each in found if not headings or each.heading in headings]
        # They mostly wait for the index.
        with ThreadPoolExecutor(3) as threads:
            tried = [
                threads.submit(try_out, section, Path(name), wheel, server.url)
                for section in chosen
            ]
            for each in as_completed(tried):
                print(each.result(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
