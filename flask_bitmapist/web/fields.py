"""Fields of the forms, shared by all pages."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from typing import Any

from wtforms import (
    BooleanField,
    DateField,
    IntegerField,
    StringField,
    ValidationError,
)

from ..analysis.errors import QueryError
from ..analysis.history import EPOCH
from ..analysis.periods import TimeGroup
from ..capture.names import MAX_BYTES
from ..query import utc_now
from .texts import gettext, lazy

FALSE = ("false", "False", "FALSE", "0", "no", "No", "off", "n", "")


class Flag(BooleanField):
    """A checkbox; in a URL any of ``false``, ``0``, ``no``, ``off``, ``n`` is off."""

    data: Any
    false_values = (False, *FALSE)


class Text(StringField):
    """A name, or another short text.

    Args:
        label: What it is called on the page.
        required: Whether it must be filled in.
    """

    data: Any

    def __init__(
        self, label: str | None = None, required: bool = False, **options: Any
    ) -> None:
        super().__init__(label, **options)
        self.required = required

    def pre_validate(self, form: Any) -> None:
        text = self.data or ""
        if self.required and not text:
            raise ValidationError(gettext("Choose an event."))
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise ValidationError(gettext("This is not valid Unicode text.")) from None
        if size > MAX_BYTES:
            raise ValidationError(
                gettext("This is too long; at most %(most)s bytes.", most=MAX_BYTES)
            )


class EventName(Text):
    """The name of an event, or of an expression that the app has defined."""

    def __init__(
        self, label: str | None = None, required: bool = True, **options: Any
    ) -> None:
        super().__init__(label, required, **options)


class Count(IntegerField):
    """A whole number between two bounds.

    Args:
        label: What it is called on the page.
        least: The smallest allowed number.
        most: The largest one, or the name of the setting that holds it.
        required: Whether it may be left empty where it has no default.
    """

    data: Any

    def __init__(
        self,
        label: str | None = None,
        least: int = 1,
        most: int | str = 10_000,
        required: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(label, **options)
        self.required = required
        self.least = least
        self._most = most

    @property
    def most(self) -> int:
        """The largest allowed number."""
        if isinstance(self._most, int):
            return self._most
        most: int = getattr(self.meta.state.settings, self._most)
        return most

    def process_formdata(self, valuelist: list[Any]) -> None:
        # Left empty means as if it were not there.
        if not valuelist or not valuelist[0].strip():
            return
        self.data = None
        text = valuelist[0].strip()
        digits = text[1:] if text.startswith(("-", "+")) else text
        if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
            raise ValueError(gettext("This is not a whole number."))
        self.data = int(text)

    def pre_validate(self, form: Any) -> None:
        if self.data is None:
            if self.required and not self.process_errors:
                raise ValidationError(gettext("Fill this in."))
            return
        if not self.least <= self.data <= self.most:
            raise ValidationError(
                gettext(
                    "This must be %(least)s to %(most)s.",
                    least=self.least,
                    most=self.most,
                )
            )


class AsOf(DateField):
    """The last day that counts, YYYY-MM-DD; empty for today."""

    data: Any

    def process_formdata(self, valuelist: list[Any]) -> None:
        if not valuelist or not valuelist[0].strip():
            return
        try:
            super().process_formdata(valuelist)
        except ValueError:
            raise ValueError(
                gettext("This is not a date; write it as YYYY-MM-DD.")
            ) from None

    @property
    def first(self) -> date:
        """The earliest day that may be asked for."""
        return EPOCH.date()

    @property
    def last(self) -> date:
        """The latest day that may be asked for: today, in UTC."""
        return utc_now().date()

    def pre_validate(self, form: Any) -> None:
        day = self.data
        if day is not None and not self.first <= day <= self.last:
            raise ValidationError(
                gettext(
                    "This must be %(first)s to %(last)s (today, UTC).",
                    first=self.first,
                    last=self.last,
                )
            )


TIME_GROUPS = {
    TimeGroup.HOURS: lazy("hour"),
    TimeGroup.DAYS: lazy("day"),
    TimeGroup.WEEKS: lazy("week"),
    TimeGroup.MONTHS: lazy("month"),
    TimeGroup.YEARS: lazy("year"),
}


class Choice(StringField):
    """One of a few words; an empty one means the default.

    Args:
        label: What it is called on the page.
        choices: The words of the URL, and what they are called on the page.
    """

    data: Any

    def __init__(
        self,
        label: str | None = None,
        choices: Sequence[tuple[str, str]] = (),
        **options: Any,
    ) -> None:
        # WTForms' own select fields want other things in each of its versions.
        super().__init__(label, **options)
        self.choices = choices

    def process_formdata(self, valuelist: list[Any]) -> None:
        if valuelist and valuelist[0]:
            self.data = valuelist[0]

    def pre_validate(self, form: Any) -> None:
        allowed = [value for value, _ in self.choices]
        if self.data not in allowed:
            raise ValidationError(
                gettext("Use one of %(allowed)s.", allowed=", ".join(allowed))
            )


class TimeGroupChoice(Choice):
    """How time is cut; singular and plural are both understood."""

    def __init__(self, label: str | None = None, **options: Any) -> None:
        options.setdefault("default", TimeGroup.DAYS.value)
        choices = [(group.value, name) for group, name in TIME_GROUPS.items()]
        super().__init__(label, choices, **options)

    def process_formdata(self, valuelist: list[Any]) -> None:
        super().process_formdata(valuelist)
        with suppress(QueryError):
            self.data = TimeGroup.parse(self.data).value


class Either(Choice):
    """Yes or no as two choices in words; in a URL the same as :class:`Flag`.

    Args:
        label: What it is called on the page.
        no: What "no" means here.
        yes: What "yes" means here.
    """

    def __init__(self, label: str, no: str, yes: str, **options: Any) -> None:
        super().__init__(label, [("", no), ("y", yes)], default="", **options)

    def process_formdata(self, valuelist: list[Any]) -> None:
        if valuelist:
            self.data = "" if valuelist[0] in FALSE else "y"
