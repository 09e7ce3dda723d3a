"""What is wrong with a question or with a mark, and the words for it."""

from __future__ import annotations

import re

# Control characters (line ends and the escape codes of terminals among them), the
# separators of lines and paragraphs, marks that turn the direction of what follows,
# and halves of characters.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def is_printable(text: str) -> bool:
    """Return whether no character of *text* does more than stand in its line."""
    return not _UNPRINTABLE.search(text)


def printable(text: str) -> str:
    """Return *text* so that it stays in its line, wherever it is printed.

    What a terminal or a reader of lines would act on is written as Python writes it.

    Example:
        >>> print(printable("one\\ntwo"), printable("ça va"))
        one\\ntwo ça va
    """
    return _UNPRINTABLE.sub(lambda found: repr(found[0])[1:-1], text)


def is_typed(typed: str, name: str) -> bool:
    """Return whether somebody who was shown a name has typed it, to confirm.

    Args:
        typed: What they typed.
        name: The name; what nobody can type stands in it as :func:`printable` shows it.
    """
    return typed in (name, printable(name))


class Text(str):
    """A text for people that can be said in other languages.

    It is its English words; what they are made of is kept beside, for whoever
    translates it.

    Args:
        template: The English text, in which ``%(name)s`` stands for one of *values*;
            nothing by default.
        values: What to put in: texts, which may be such ones themselves, numbers, and
            anything that says itself.  They are made printable.

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
    if isinstance(value, int):
        return f"{value:,}"
    return value if isinstance(value, Text) else printable(str(value))


class QueryError(ValueError):
    """A question that cannot be answered as it was put.

    The message names what was wrong and what is allowed, and is fit to be shown
    to the person who asked.

    Args:
        message: What was wrong and what is allowed; a :class:`Text` can be said in
            other languages too.
        field: The parameter at fault, named as in the URL and in Python.
        place: Where in the text that was read, as the number of the first character
            and how many there are; None where that is not told.
    """

    def __init__(
        self,
        message: str,
        field: str | None = None,
        place: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.place = place


class BadMarkError(ValueError):
    """A mark cannot be made of what was given.

    Args:
        kind: What is wrong, in a few words; the same for all of a kind.
        message: What is wrong with this one.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
