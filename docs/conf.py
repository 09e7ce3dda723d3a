"""How Sphinx makes the site: ``make docs``."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from blinker import NamedSignal
from sphinx.ext.napoleon import GoogleDocstring

_VERSION = Path(__file__).parents[1] / "flask_bitmapist" / "_version.py"

project = "Flask-Bitmapist"
author = "The Flask-Bitmapist developers"
copyright = "The Flask-Bitmapist developers"
release = re.findall(r'__version__ = "(.+)"', _VERSION.read_text())[0]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
]
# README.md is the way in for those who read the files as they are.
exclude_patterns = ["_build", "README.md"]

# Directives stand in colons, so that what stands in backticks is code, which is tested.
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
# Files of the repository that are no part of the site: links to them stay as they are.
suppress_warnings = ["myst.xref_missing"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "Flask-Bitmapist"
html_favicon = "../flask_bitmapist/static/icon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    # The blue of the icon and of the heatmaps.
    "light_css_variables": {
        "color-brand-primary": "#04407f",
        "color-brand-content": "#0a58a8",
    },
    "dark_css_variables": {
        "color-brand-primary": "#8fbcec",
        "color-brand-content": "#8fbcec",
    },
    "top_of_page_buttons": [],
}

# Every reference has to lead somewhere, but for those to other projects, whose pages
# would have to be fetched to know where.
nitpicky = True
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(blinker|collections|datetime|flask|flask_admin|numpy|redis|sqlalchemy|"
        r"zoneinfo)\..+",
    ),
    (r"py:.*", r"Admin|Engine|Executable|Flask|date|datetime"),
    # Type variables of decorators and of questions.
    (r"py:.*", r"~P|[AP]|.*\.[PQR]"),
    # Names of types, which stand for what can be read beside them, and what queries and
    # sets of users are made of inside.
    (r"py:.*", r"flask_bitmapist\.analysis\.(expressions\.Source|periods\.AsOf)"),
    (
        r"py:.*",
        r"AnyQuestion|AsOf|Clock|Counts|Days|Exclusion|Group|Names|Numbers|Identity|"
        r"IdMap|Marks|Stamp|Scan|User|Who",
    ),
    # Not for others to use: app.extensions["bitmapist"], and how pages are made.
    (r"py:.*", r"BitmapistState|Recorder|flask_bitmapist\.web\..+"),
]


def _read_signal(app, what, name, obj, options, lines):
    """Let the docstring of a signal tell its arguments, as a function's does."""
    if isinstance(obj, NamedSignal):
        lines[:] = GoogleDocstring(lines, app.config, app, "function", name).lines()


def _for_programs(app, exception):
    """Put the Markdown of each page beside its HTML, and a list into llms.txt."""
    if exception is not None or app.builder.name != "html":
        return
    sources = Path(app.srcdir)
    lines = [f"# {project}", "", "> " + _first_sentence(sources / "index.md"), ""]
    for name in sorted(app.env.found_docs - {"index"}):
        page = sources / f"{name}.md"
        if page.exists():
            copy = Path(app.outdir, f"{name}.md")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(page, copy)
        title = app.env.titles[name].astext()
        where = f"{name}.md" if page.exists() else f"{name}.html"
        about = _first_sentence(page) if page.exists() else ""
        lines.append(f"- [{title}]({where})" + (f": {about}" if about else ""))
    Path(app.outdir, "llms.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _first_sentence(page):
    """Return the first sentence of what a page says below its title, as plain text."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^(```|:::).*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    texts = [each for each in text.split("\n\n") if re.match(r"[A-Za-z`*\[]", each)]
    text = " ".join(texts[0].split()) if texts else ""
    text = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", text)
    return re.split(r"(?<=[.:])\s", text)[0].rstrip(":")


def setup(app):
    """Come before napoleon, which takes a signal for data."""
    app.connect("autodoc-process-docstring", _read_signal, priority=100)
    app.connect("build-finished", _for_programs)
