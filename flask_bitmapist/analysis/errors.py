"""The one error that a question can raise for what it was asked."""

from __future__ import annotations


class QueryError(ValueError):
    """A question that cannot be answered as it was put.

    The message names what was wrong and what is allowed, and is fit to be shown
    to the person who asked.

    Args:
        message: What was wrong and what is allowed.
        field: The parameter at fault, named as in the URL and in Python.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field
