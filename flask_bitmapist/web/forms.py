"""The form behind every page."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from werkzeug.datastructures import MultiDict
from wtforms import FieldList, Form, FormField

from ..analysis.errors import QueryError
from ..analysis.results import Result, Table
from ..analysis.users import Selection
from ..query import Query
from .door import Declared
from .fields import Choice, EventName, Flag
from .formats import number, translated
from .texts import gettext, lazy

if TYPE_CHECKING:
    from ..state import BitmapistState

FORMATS = ("html", "json", "csv")
MOST_ENTRIES = 20
MOST_CELLS = 40_000
"""Most numbers in the tables of one page: some two megabytes of HTML.  Files may have
more."""

PRESETS = {
    "30-days": (lazy("Last 30 days"), "days", 30),
    "12-weeks": (lazy("12 weeks"), "weeks", 12),
    "12-months": (lazy("12 months"), "months", 12),
}
"""Common questions: what they are called, the time group, how many of them."""


class QuestionForm(Form):
    """What a page can be asked, by the names in its URL.

    A page's form says how to ask (:meth:`ask`), and may say which users are behind
    a number of the answer (:meth:`selection`).
    """

    format = Choice(
        lazy("Format"), choices=[(each, each) for each in FORMATS], default="html"
    )

    needs_question: ClassVar[bool] = True
    """Whether the page asks nothing until something is filled in."""

    several: ClassVar[str | None] = None
    """The name of the field that is a list, to which buttons add and remove."""

    preset_fields: ClassVar[tuple[str, ...]] = ()
    """The fields that a preset fills with its number of periods."""

    cell_fields: ClassVar[tuple[str, ...]] = ()
    """The fields that name one number of the answer, when its users are asked for."""

    @property
    def state(self) -> BitmapistState:
        """What the extension keeps for the app, which the form was given."""
        state: BitmapistState = self.meta.state
        return state

    notes: tuple[str, ...] = ()
    """What to tell about the question beside its answer."""

    @classmethod
    @cache
    def declared(cls) -> Declared:
        """Return which arguments the page takes."""
        names = {"json", *cls()._fields}
        lists = {
            field.name: field.keys for field in cls() if isinstance(field, Entries)
        }
        if cls.several:
            names |= {"add", "remove"}
        if cls.preset_fields:
            names.add("preset")
        if cls.cell_fields:
            # Of the list of users behind a number.
            names |= {"page", "per_page"}
        return Declared(frozenset(names - lists.keys()), lists)

    def ask(self, query: Query) -> Result:
        """Return the answer to the question in this form."""
        raise NotImplementedError

    def selection(self, query: Query) -> Selection | None:
        """Return which users are asked for, or None if the answer itself is."""
        return None

    def table(self, result: Any) -> Table:
        """Return the answer as the rows of a CSV file."""
        table: Table = result.table()
        return table

    def as_dict(self, result: Any) -> dict[str, Any]:
        """Return the answer in the shape of the JSON."""
        shape: dict[str, Any] = result.to_dict()
        return shape

    def cells(self) -> int:
        """Return how many numbers the tables of the page will have, about."""
        return 0

    def check_size(self) -> None:
        """Refuse an answer that is too large to be shown as a page.

        Raises:
            QueryError: It is.
        """
        if self.cells() > MOST_CELLS:
            raise QueryError(
                gettext(
                    "A page shows at most %(most)s numbers, and this would be "
                    "%(number)s: ask for fewer rows, columns or periods, or for all "
                    "of them as CSV or JSON.",
                    most=number(MOST_CELLS),
                    number=number(self.cells()),
                )
            )

    def event_names(self) -> Iterator[str]:
        """Yield the names of the events that the question is about."""
        for field in self:
            if isinstance(field, EventName) and field.data:
                yield field.data

    def prepare(self, arguments: MultiDict[str, str] | None) -> None:
        """Do what a button of the form asked for: add an entry, or remove one."""
        if not arguments or self.several is None:
            return
        entries: Any = self._fields[self.several]
        if "add" in arguments and len(entries) < MOST_ENTRIES:
            entries.append_entry()
        removed = arguments.get("remove", "")
        if removed.isascii() and removed.isdigit() and len(removed) < 4:
            entries.remove(int(removed))

    @classmethod
    def preset(cls, name: str) -> dict[str, str]:
        """Return the arguments that the preset *name* stands for; none if unknown."""
        if name not in PRESETS or not cls.preset_fields:
            return {}
        _, group, count = PRESETS[name]
        return {
            "time_group": group,
            **dict.fromkeys(cls.preset_fields, str(count)),
        }

    def arguments(self) -> dict[str, str]:
        """Return the filled-in fields as the arguments of a URL, the format aside."""
        values: dict[str, str] = {}
        for field in self:
            if field.name != "format":
                values.update(_arguments_of(field))
        return values

    @property
    def messages(self) -> dict[str, list[str]]:
        """What is wrong, by the name of the field; nested ones as in the URL."""
        return dict(_messages(self))

    def label_of(self, name: str) -> str:
        """Return what the field *name* is called on the page, empty if unknown."""
        field = self._fields.get(name.partition("-")[0])
        return str(field.label.text) if field is not None else ""

    def refuse(self, error: QueryError) -> None:
        """Show *error* beside the field that it is about, or above the form."""
        name, message = error.field or "", translated(error.message)
        if name in self._fields:
            field = self._fields[name]
            field.errors = [*field.errors, message]
        else:
            self.form_errors.append(message)


class Entries(FieldList):  # type: ignore[type-arg]
    """A list of fields that may be left blank, up to a number of them.

    Args:
        field: One entry.
        label: What the list is called on the page.
        least: How many have to be filled in.
    """

    def __init__(
        self, field: Any, label: str | None = None, least: int = 0, **options: Any
    ) -> None:
        # One too many is read, so that it is told; more would only take time.
        options.setdefault("max_entries", MOST_ENTRIES + 1)
        super().__init__(field, label, min_entries=least, **options)
        self.least = least

    keys: frozenset[str] = frozenset({""})
    """The last parts of the entries' names, empty where an entry is one value."""

    def filled(self) -> list[Any]:
        """Return what the entries that are filled in hold."""
        return [entry.data for entry in self if entry.data]

    def validate(self, form: Any, extra_validators: Any = ()) -> bool:
        valid = super().validate(form, extra_validators)
        message = None
        if len(self.entries) > MOST_ENTRIES:
            message = gettext("At most %(most)s of these.", most=MOST_ENTRIES)
        elif len(self.filled()) < self.least:
            message = gettext("At least %(least)s of these.", least=self.least)
        if message:
            self.errors = [*self.errors, message]
            return False
        return valid

    def remove(self, number: int) -> None:
        """Take the entry in place *number* out."""
        kept = [entry.data for place, entry in enumerate(self) if place != number]
        while self.entries:
            self.pop_entry()
        for data in kept:
            self.append_entry(data)


def _arguments_of(field: Any) -> Iterator[tuple[str, str]]:
    if isinstance(field, (FieldList, FormField)):
        for inner in field:
            yield from _arguments_of(inner)
    elif isinstance(field, Flag):
        if field.data:
            yield field.name, "y"
    elif field.data is not None and field.data != "":
        yield field.name, str(field.data)


def _messages(form: Any) -> Iterator[tuple[str, list[str]]]:
    if getattr(form, "form_errors", None):
        yield "form", [str(each) for each in form.form_errors]
    for field in form:
        if isinstance(field, FormField):
            yield from _messages(field.form)
        elif isinstance(field, FieldList):
            for entry in field:
                if isinstance(entry, FormField):
                    yield from _messages(entry.form)
                elif entry.errors:
                    yield entry.name, [str(each) for each in entry.errors]
            own = [each for each in field.errors if isinstance(each, str)]
            if own:
                yield field.name, own
        elif field.errors:
            yield field.name, [str(each) for each in field.errors]
