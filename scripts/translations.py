"""Bring the catalogues of texts up to date with the sources.

    python -m scripts.translations [LANGUAGE ...]

Writes ``bitmapist.pot``, updates each language's catalogue and compiles it.  A language
that is named and has no catalogue yet gets an empty one.  Texts that are not translated
yet are printed.
"""

from __future__ import annotations

import sys
from inspect import cleandoc
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from flask_bitmapist.query import QUESTIONS

PACKAGE = Path(__file__).parents[1] / "flask_bitmapist"
FOLDER = PACKAGE / "translations"
METHODS = [("**.py", "python"), ("templates/flask_bitmapist/**.html", "jinja2")]
KEYWORDS = {"t": None, "tn": (1, 2), "lazy": None, "gettext": None, "Text": None}


def texts() -> Catalog:
    """Return every text that a person can read on a page."""
    catalogue = Catalog()
    for _, _, message, _, _ in extract_from_dir(
        str(PACKAGE), METHODS, keywords=KEYWORDS
    ):
        catalogue.add(message)
    for question in QUESTIONS:
        # Its page says what a question is called, and what it asks.
        catalogue.add(question.title.template)
        catalogue.add(cleandoc(question.__doc__ or ""))
    return catalogue


def main(languages: list[str]) -> None:
    """Bring all catalogues up to date, and those of *languages*."""
    template = texts()
    _write(FOLDER / "bitmapist.pot", template)
    known = {each.name for each in FOLDER.iterdir() if each.is_dir()}
    for code in sorted(known | {*languages}):
        path = FOLDER / code / "LC_MESSAGES" / "bitmapist.po"
        catalogue = Catalog(locale=code)
        if path.exists():
            with path.open("rb") as file:
                catalogue = read_po(file, locale=code)
        catalogue.update(template, no_fuzzy_matching=True)
        catalogue.obsolete.clear()
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, catalogue)
        with path.with_suffix(".mo").open("wb") as file:
            write_mo(file, catalogue)
        for message in catalogue:
            said = message.string
            if message.id and not all(said if isinstance(said, tuple) else [said]):
                print(f"{code}: {message.id}")


def _write(path: Path, catalogue: Catalog) -> None:
    with path.open("wb") as file:
        write_po(
            file,
            catalogue,
            width=None,
            sort_output=True,
            omit_header=path.suffix == ".pot",
        )


if __name__ == "__main__":
    main(sys.argv[1:])
