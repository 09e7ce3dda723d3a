"""Texts for people, translated where the app uses Flask-Babel.

Every text that a page shows goes through :func:`gettext`, or through :class:`Lazy`
where it is written down before there is a request.  Without Flask-Babel, or in a
language that there is no translation for, a text stays as it is.
"""

from __future__ import annotations

import gettext as catalogues
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from flask import current_app, has_app_context

FOLDER = Path(__file__).parent.parent / "translations"
DOMAIN = "bitmapist"


def locale() -> str | None:
    """Return the code of the request's language, such as ``de_AT``, if one is set."""
    if not has_app_context() or "babel" not in current_app.extensions:
        return None
    try:
        from flask_babel import get_locale
    except ImportError:
        return None
    chosen = get_locale()
    return None if chosen is None else str(chosen)


def language() -> str:
    """Return the language that the pages are in, for the ``lang`` of the document."""
    code = locale()
    has_texts = code is not None and not isinstance(_catalogue(code), _Untranslated)
    return str(code).replace("_", "-") if has_texts else "en"


def gettext(text: str, /, **values: Any) -> str:
    """Return *text* in the request's language.

    Args:
        text: The English text, in which ``%(name)s`` stands for one of *values*, and
            ``%%`` for a percent sign where there are any.
        values: What to put in.
    """
    code = locale()
    translated = text if code is None else _catalogue(code).gettext(text)
    return translated % values if values else translated


def ngettext(one: str, many: str, number: int, /, **values: Any) -> str:
    """Return *one* or *many* in the request's language, whichever fits *number*."""
    code = locale()
    if code is None:
        translated = one if number == 1 else many
    else:
        translated = _catalogue(code).ngettext(one, many, number)
    return translated % values if values else translated


class Lazy:
    """A text that is translated when it is shown.

    Args:
        text: The English text.
    """

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return gettext(self.text)

    def __repr__(self) -> str:
        return f"Lazy({self.text!r})"


def lazy(text: str) -> str:
    """Return :class:`Lazy` text where a library's types ask for plain text."""
    return cast(str, Lazy(text))


class _Untranslated(catalogues.NullTranslations):
    """The texts as they are written in the source."""


@lru_cache(maxsize=64)
def _catalogue(code: str) -> catalogues.NullTranslations:
    try:
        return catalogues.translation(DOMAIN, FOLDER, languages=[code])
    except OSError:
        return _Untranslated()
