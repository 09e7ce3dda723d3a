"""All pages, by the questions that they are of."""

from __future__ import annotations

from flask_bitmapist.query import QUESTIONS

from .inside import page_of

PAGES = tuple(page_of(each) for each in QUESTIONS if each.in_menu)
"""Those in the menu, in its order."""

ANSWERS = tuple(page_of(each) for each in QUESTIONS if not each.in_menu)
"""Those that answer in JSON and CSV alone."""
