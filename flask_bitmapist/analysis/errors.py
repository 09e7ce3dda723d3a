"""What is wrong with a question or with a mark, and the words for it."""

from __future__ import annotations


class Text(str):
    """A text for people that can be said in other languages.

    It is its English words; what they are made of is kept beside, for whoever
    translates it.

    Args:
        template: The English text, in which ``%(name)s`` stands for one of *values*;
            nothing by default.
        values: What to put in: texts, which may be such ones themselves, numbers, and
            anything that says itself.

    Example:
        >>> text = Text("at most %(most)s of %(what)s", most=1000, what="them")
        >>> print(text, text.values["most"])
        at most 1,000 of them 1000
    """

    template: str
    values: dict[str, object]

    def __new__(cls, template: str = "", **values: object) -> Text:
        """Put the text together."""
        shown = {name: _in_english(value) for name, value in values.items()}
        text = super().__new__(cls, template % shown if values else template)
        text.template = template
        text.values = values
        return text


def _in_english(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


class QueryError(ValueError):
    """A question that cannot be answered as it was put.

    The message names what was wrong and what is allowed, and is fit to be shown
    to the person who asked.

    Args:
        message: What was wrong and what is allowed; a :class:`Text` can be said in
            other languages too.
        field: The parameter at fault, named as in the URL and in Python.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class BadMarkError(ValueError):
    """A mark cannot be made of what was given.

    Args:
        kind: What is wrong, in a few words; the same for all of a kind.
        message: What is wrong with this one.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
