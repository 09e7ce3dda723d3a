"""URLs that ask a page's question again, a little changed."""

from __future__ import annotations

from typing import Any

from .forms import QuestionForm
from .surface import Surface


class Links:
    """URLs of the question that a page shows.

    Args:
        surface: Where the page is shown.
        page: The page's name.
        form: The question.
    """

    def __init__(self, surface: Surface, page: str, form: QuestionForm) -> None:
        self._surface = surface
        self._name = page
        self._arguments = form.arguments()
        self._no_cell = dict.fromkeys(form.cell_fields)

    def __call__(self, **changes: Any) -> str:
        """Return the URL of this question with some arguments changed.

        Args:
            changes: New values; None takes an argument out.
        """
        merged = {**self._arguments, **changes}
        kept = {name: value for name, value in merged.items() if value is not None}
        return self._surface.url(self._name, **kept) or ""

    @property
    def bare(self) -> str:
        """The page's URL without any question."""
        return self._surface.url(self._name) or ""

    def whole(self, **changes: Any) -> str:
        """Return the URL of the whole answer, of no single number in it.

        Args:
            changes: New values; None takes an argument out.
        """
        return self(**{**self._no_cell, **changes})

    def having(self, **changes: Any) -> str:
        """Return such a URL to which the arguments of a number can be appended."""
        url = self.whole(**changes)
        return url + ("&" if "?" in url else "?")
