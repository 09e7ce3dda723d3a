"""How Sphinx makes the site: ``make docs``."""

from __future__ import annotations

import re
from pathlib import Path

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
