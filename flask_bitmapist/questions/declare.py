"""How a question is declared: its parameters once, for every surface.

A question is a class.  Its fields are its parameters; from their annotations and from
:func:`param` come the Python method, the command, the form, the URL, JSON, OpenAPI and
MCP.  A question is made in two phases: as *data*, plain values that are checked when
it is made, and as an *answer*, for which :class:`Ask` resolves names, days and users.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass
from datetime import date, datetime
from functools import cache, reduce
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Literal,
    NamedTuple,
    NotRequired,
    ParamSpec,
    Self,
    TypedDict,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from ..analysis.errors import BadMarkError, QueryError, Text
from ..analysis.expressions import Expression
from ..analysis.periods import AsOf, Period, TimeGroup, shifted, shorten
from ..analysis.results import Result, Table, User
from ..identity import plain_id

if TYPE_CHECKING:
    from ..analysis.users import Selection
    from ..store.userset import UserSet
    from .asking import Ask

Who = str | Expression
"""An event's name, a name that the app has defined, or an expression; also as text."""

When = date | datetime | str | None
"""A day, a moment, either as ISO text, or None for now."""

Day = date | str | None
"""A day, also as ISO text."""

Group = Literal[
    "hours",
    "days",
    "weeks",
    "months",
    "quarters",
    "years",
    "hour",
    "day",
    "week",
    "month",
    "quarter",
    "year",
]
"""How time is cut into periods, by a name in the plural or the singular."""

Earlier = int | Literal["previous"] | None
"""How many periods earlier something else is, or as many as there are."""

EVERYONE = "everyone"
"""The segment of all users of an answer."""

EVERYONE_ELSE = "everyone else"
"""The segment of an answer's users who are in none of the others."""

GROUP_WORDS = {EVERYONE: Text("everyone"), EVERYONE_ELSE: Text("everyone else")}
"""The segments that are no expressions, and what they are called."""

NOBODY = "nobody"
"""Who is left out where BITMAPIST_EXCLUDE does not hold."""

MOST_SEGMENTS = 6
"""Most segments of one question."""

P = ParamSpec("P")
D = TypeVar("D", bound="Declared")
T = TypeVar("T")

EPOCH = date(1970, 1, 1)
"""No range begins before this day."""

LONGEST_TEXT = 8192
"""Most characters of one text."""

GROUPS = {
    "hours": Text("hour"),
    "days": Text("day"),
    "weeks": Text("week"),
    "months": Text("month"),
    "quarters": Text("quarter"),
    "years": Text("year"),
}
"""What one period of each group is called."""

_TRUE = frozenset({"y", "yes", "true", "on", "1"})
_FALSE = frozenset({"", "n", "no", "false", "off", "0"})


class ParameterError(QueryError):
    """Parameters that cannot be used, all at once.

    Args:
        wrong: What is wrong, by the name of the parameter.
    """

    def __init__(self, wrong: Mapping[str, Text]) -> None:
        told = [f"{name}: {text}" for name, text in wrong.items()]
        super().__init__(Text("; ".join(told)), field=next(iter(wrong)))
        self.wrong = dict(wrong)


@dataclass(frozen=True)
class Kind:
    """What a parameter can be.

    Args:
        name: ``event``, ``number``, ``choice``, ``switch``, ``day``, ``user`` or
            ``text``: how a form and a command ask for it.
        take: Makes the value of whatever a surface has, or raises ValueError with a
            :class:`Text`.
        schema: The same as JSON Schema.
        many: Whether there may be several.
        choices: Allowed or suggested values, and what people call them.
        least: The smallest number, or the fewest entries.
        most: The largest number, or the most entries.
    """

    name: str
    take: Callable[[Any], Any]
    schema: Mapping[str, Any]
    many: bool = False
    choices: Mapping[Any, Text] = dataclasses.field(default_factory=dict)
    least: int | None = None
    most: int | None = None


class Param(NamedTuple):
    """A parameter, as the surfaces see it."""

    name: str
    kind: Kind
    label: Text
    help: Text
    default: Any
    """:data:`dataclasses.MISSING` where it has to be given."""
    positional: bool
    """Whether the command line takes it without its name."""
    short: str
    """The letter of the command line's option, or nothing."""
    in_form: bool
    """Whether the page's form asks for it."""
    option: str
    """The command line's option, without dashes in front."""

    @property
    def required(self) -> bool:
        """Whether it has to be given."""
        return self.default is MISSING

    @property
    def about(self) -> Text:
        """What it is, in a sentence, where no form stands around it."""
        if self.help:
            return self.help
        is_group = self.kind.choices == GROUPS
        return Text("Length of a period." if is_group else f"{self.label}.")


def param(
    label: Text,
    *,
    default: Any = MISSING,
    kw_only: bool = True,
    help: Text | str = "",
    least: int = 1,
    most: int = 10_000,
    choices: Mapping[Any, Text] | None = None,
    short: str = "",
    in_form: bool = True,
    option: str = "",
) -> Any:
    """Declare a parameter of a question; its annotation says what kind it is.

    Args:
        label: What it is called on a page, and where it is wrong.
        default: Its value where none is given; without one it has to be given.
        kw_only: Whether Python wants its name, and the command line an option.
            With a letter of its own it is an option in any case.
        help: More about it, in a sentence.
        least: The smallest number; of a list, the fewest entries.
        most: The largest number; of a list, the most entries.
        choices: What people call the words of a ``Literal``; of a list of numbers,
            those that a form offers.
        short: A letter for the command line.
        in_form: Whether the page's form asks for it.
        option: The command line's option, where that is not the parameter's name: of a
            list the name of one entry, since it is given once for each.

    Example:
        >>> class Weekdays(Question[Answer]):
        ...     num_weeks: int = param(Text("Weeks"), default=4, most=53)
    """
    about = {
        "label": label,
        "help": Text(help) if not isinstance(help, Text) else help,
        "least": least,
        "most": most,
        "choices": dict(choices or {}),
        "short": short,
        "in_form": in_form,
        "option": option,
    }
    return dataclasses.field(default=default, kw_only=kw_only, metadata=about)


# It holds no field itself: type checkers do not see those of the class that carries
# dataclass_transform.
@dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(param,)
)
class Declared:
    """Plain values that are checked when they are made, each by its kind."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        dataclass(frozen=True)(cls)

    def __post_init__(self) -> None:
        wrong: dict[str, Text] = {}
        for each in params_of(type(self)):
            given = getattr(self, each.name)
            if given is None and each.default is None:
                continue
            if given is MISSING:
                wrong[each.name] = Text("This field is required.")
                continue
            try:
                object.__setattr__(self, each.name, each.kind.take(given))
            except ValueError as error:
                wrong[each.name] = error.args[0]
        if not wrong:
            wrong = dict(self._wrong_together())
        if wrong:
            raise ParameterError(wrong)

    def check(self) -> Mapping[str, Text]:
        """Return what is wrong with values that are right one by one, by parameter."""
        return {}

    def _wrong_together(self) -> Mapping[str, Text]:
        return self.check()

    @classmethod
    def read(cls: type[D], given: Mapping[str, Any]) -> D:
        """Make it of what a surface was given; texts are read, blanks left out.

        Args:
            given: Values or texts by the names of the parameters; lists where there
                may be several.

        Raises:
            ParameterError: A value cannot be used, or one is missing.
        """
        values: dict[str, Any] = {}
        for each in params_of(cls):
            value = given.get(each.name)
            if each.kind.many and isinstance(value, (list, tuple)):
                value = [entry for entry in value if not _is_blank(entry)]
            if not _is_blank(value):
                values[each.name] = value
            elif each.required:
                # It is told together with all else that is wrong.
                values[each.name] = MISSING
        return cls(**values)

    @classmethod
    def from_json(cls: type[D], body: Mapping[str, Any]) -> D:
        """Make it of a JSON object, which has no other keys than the parameters.

        Raises:
            ParameterError: As for :meth:`read`, and for a key that is no parameter.
        """
        check_names(body, [cls])
        return cls.read(body)

    def given(self) -> dict[str, Any]:
        """Return the values that are not the defaults, fit for JSON."""
        return {
            each.name: plain(getattr(self, each.name))
            for each in params_of(type(self))
            if getattr(self, each.name) != each.default
        }

    def arguments(self) -> dict[str, str | list[str]]:
        """Return the values that are not the defaults as the arguments of a URL."""
        return {name: written(value) for name, value in self.given().items()}

    def words(self) -> list[str]:
        """Return the values that are not the defaults as words of a command."""
        options: list[str] = []
        positional: list[str] = []
        for each in params_of(type(self)):
            value = getattr(self, each.name)
            if value == each.default:
                continue
            texts = written(plain(value))
            several = texts if isinstance(texts, list) else [texts]
            if each.positional:
                positional += several
            elif each.kind.name == "switch":
                options.append(f"--{each.option}")
            else:
                options += [f"--{each.option}={text}" for text in several]
        return [*options, "--", *positional] if positional else options


def check_names(body: Mapping[str, Any], declared: Iterable[type[Declared]]) -> None:
    """Refuse a JSON object with keys that are no parameters.

    Args:
        body: The object.
        declared: Whose parameters it may have.

    Raises:
        ParameterError: It has others; the nearest name is told.
    """
    known = [each.name for some in declared for each in params_of(some)]
    unknown = {name: _unknown(name, known) for name in body if name not in known}
    if unknown:
        raise ParameterError(unknown)


def _unknown(name: str, known: Sequence[str]) -> Text:
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return Text("Unknown parameter. Did you mean %(near)s?", near=f"'{near[0]}'")
    return Text("Unknown parameter; use %(allowed)s.", allowed=", ".join(known))


def _is_blank(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, (list, tuple)) and not value)


def plain(value: Any) -> Any:
    """Return a parameter's value as JSON has it."""
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return value


def told_day(as_of: When) -> object:
    """Return the value of ``as_of`` for a sentence: a day, or a moment as text."""
    return str(plain(as_of)) if isinstance(as_of, datetime) else as_of


def written(value: Any) -> str | list[str]:
    """Return a plain value as text for a URL or a command; of a list, a text each."""
    if isinstance(value, list):
        return [str(written(each)) for each in value]
    if isinstance(value, bool):
        return "y" if value else "n"
    return str(value)


def params_of(declared: type[Declared]) -> tuple[Param, ...]:
    """Return the parameters of a declaration, the positional ones first."""
    kept: Any = declared  # checkers do not see that a class can be hashed
    return _params_of(kept)


@cache
def _params_of(declared: Any) -> tuple[Param, ...]:
    hints = get_type_hints(declared)
    found = [
        Param(
            name=each.name,
            kind=_kind(hints[each.name], each.metadata),
            label=each.metadata["label"],
            help=each.metadata["help"],
            default=each.default,
            positional=not each.kw_only and not each.metadata["short"],
            short=each.metadata["short"],
            in_form=each.metadata["in_form"],
            option=each.metadata["option"] or each.name.replace("_", "-"),
        )
        for each in dataclasses.fields(declared)
    ]
    # What all questions take is declared first, and asked for last.
    own = declared.__annotations__
    found.sort(key=lambda each: (not each.positional, each.name not in own))
    return tuple(found)


class Cell(Declared):
    """Names one number of an answer, by labels that mean the same tomorrow."""

    segment: str | None = param(
        Text("Segment"),
        default=None,
        option="in-segment",
        help=Text("One of the segments; the first by default."),
    )


C = TypeVar("C", bound=Cell)
A = TypeVar("A", bound="Answer")
A_co = TypeVar("A_co", bound="Answer", covariant=True)


class Question(Declared, Generic[A_co]):
    """What can be asked.  A subclass declares its parameters, and answers.

    Equal questions ask the same, and can be kept, hashed and compared.  The
    docstring's first line says on every surface what is asked.
    """

    name: ClassVar[str]
    """The method and the command; by default the class's name in lower case."""
    title: ClassVar[Text]
    """What the page and the tab are called."""
    endpoint: ClassVar[str]
    """The page's endpoint and the end of its URL; :attr:`name` by default."""
    icon: ClassVar[str] = "fa-bar-chart"
    """Its icon in Flask-Admin's menu, a class of Font Awesome 4."""
    template: ClassVar[str] = "flask_bitmapist/answer.html"
    """The page; a generic one shows the table and a chart."""
    in_menu: ClassVar[bool] = True
    """Whether there is a page for it, or JSON and CSV alone."""
    is_private: ClassVar[bool] = False
    """Whether the answer tells of single people."""
    is_of_one: ClassVar[bool] = False
    """Whether it is about a single user, also one whom BITMAPIST_EXCLUDE leaves out."""
    spans: ClassVar[tuple[str, ...]] = ()
    """The parameters that a preset such as "12 weeks" fills with its number."""
    cell: ClassVar[type[Cell] | None] = None
    """How a number of the answer is named, if there are users behind it."""

    as_of: When = param(
        Text("To"),
        default=None,
        help=Text("Last day to include (YYYY-MM-DD); today by default."),
    )
    allow_unknown: bool = param(
        Text("Allow unknown events"),
        default=False,
        in_form=False,
        help=Text(
            "Count nobody for an event that was never tracked, instead of an error."
        ),
    )

    segments: Sequence[Who] = param(
        Text("Users"),
        default=(),
        least=0,
        most=MOST_SEGMENTS,
        option="segment",
        help=Text(
            "Groups of users to answer for, side by side: a flag, a defined name or an "
            "expression that says when, such as 'paid ever'; also 'everyone' and "
            "'everyone else'."
        ),
    )
    exclude: Who | None = param(
        Text("Without"),
        default=None,
        help=Text(
            "Users to leave out, as for a segment, beside those whom the app leaves "
            "out; 'nobody' to count those as well, where that is allowed."
        ),
    )
    compare: Earlier = param(
        Text("Compare with"),
        default=None,
        choices={"previous": Text("the periods before")},
        help=Text(
            "Also answer as of so many periods earlier; 'previous' for as many as the "
            "answer has."
        ),
    )

    def __init_subclass__(cls) -> None:
        own = vars(cls)
        if "name" not in own:
            cls.name = cls.__name__.lower()
        if "title" not in own:
            cls.title = Text(cls.__name__)
        if "endpoint" not in own:
            cls.endpoint = cls.name
        super().__init_subclass__()

    def answer(self, ask: Ask) -> A_co:
        """Return the answer; called by the query, with what it may look at."""
        raise NotImplementedError

    def people(self, ask: Ask, cell: Any) -> Selection:
        """Return who is behind the number that *cell* names.

        Raises:
            QueryError: There is no such number.
        """
        raise NotImplementedError

    def _wrong_together(self) -> Mapping[str, Text]:
        wrong = dict(self.check())
        named = set(self.segments) - {EVERYONE, EVERYONE_ELSE}
        if len(set(self.segments)) < len(self.segments):
            wrong["segments"] = Text("Name each segment once.")
        elif EVERYONE_ELSE in self.segments and not named:
            wrong["segments"] = Text(
                "“everyone else” needs another segment that they are not in."
            )
        return wrong

    def reach(self) -> tuple[TimeGroup, int]:
        """Return the length of the answer's periods, and how many there are."""
        group = TimeGroup(getattr(self, "time_group", None) or TimeGroup.DAYS)
        several = self.spans[0] if self.spans else "num_days"
        return group, getattr(self, several, 1)

    def up_to(self, as_of: AsOf) -> date:
        """Return the last day that the answer tells of."""
        return as_of.day

    def earlier(self, as_of: AsOf) -> Self:
        """Return the question that this one is compared with.

        Args:
            as_of: As of when this one is answered.

        Raises:
            QueryError: That would be outside of the calendar.
        """
        _, several = self.reach()
        count = several if self.compare == "previous" else self.compare or 0
        try:
            when = self._when_earlier(as_of, count)
            return dataclasses.replace(self, **when, compare=None)
        except QueryError as error:
            raise QueryError(error.message, field="compare") from None

    def _when_earlier(self, as_of: AsOf, count: int) -> dict[str, Any]:
        """Return the parameters that say when, so many periods earlier."""
        group, _ = self.reach()
        day, moment = self._asked_up_to(as_of)
        if group is not TimeGroup.HOURS:
            return {"as_of": shifted(group, day if moment is None else moment, -count)}
        # Hours that the clock leaves out do not count.
        hours = as_of.periods(group, count + 1)
        first, last = (
            each.start.replace(tzinfo=None) for each in (hours[0], hours[-1])
        )
        return {"as_of": first if moment is None else first + (moment - last)}

    def _asked_up_to(self, as_of: AsOf) -> tuple[date, datetime | None]:
        """Return the day, and the moment by the app's clock if one was given."""
        has_moment = isinstance(self.as_of, datetime)
        return as_of.day, as_of.moment.replace(tzinfo=None) if has_moment else None

    def to_day(self, said: Text) -> Text:
        """Return a sentence with the day that it is asked up to, if one was given."""
        if self.as_of is None:
            return said
        day = told_day(self.as_of)
        return Text("%(sentence)s, to %(day)s", sentence=said, day=day)

    def sentence(self) -> Text:
        """Return what is asked, in a sentence for headings, titles and files."""
        said = [f"{name}={written(value)}" for name, value in self.given().items()]
        return Text("%(title)s: %(given)s", title=self.title, given=", ".join(said))


class RangeQuestion(Question[A]):
    """A question of one period, or of any days one after the other."""

    since: Day = param(
        Text("From"),
        default=None,
        help=Text("First day of a range of days (YYYY-MM-DD), instead of a period."),
    )
    until: Day = param(
        Text("Until"),
        default=None,
        help=Text("Last day of the range; the last day to include by default."),
    )

    def check(self) -> Mapping[str, Text]:
        first, last = self.first_day, self.last_day
        if first is None:
            if last is None:
                return {}
            return {"since": Text("A range needs its first day as well.")}
        if first < EPOCH:
            return {
                "since": Text("This must be %(day)s or later.", day=EPOCH.isoformat())
            }
        if last is not None and last < first:
            return {"until": Text("This must not be before the first day.")}
        return self.check_range(first, last)

    def check_range(self, first: date, last: date | None) -> Mapping[str, Text]:
        """Return what does not go with a range, by parameter."""
        return {}

    # A checked parameter is a date; only what is given may be text.

    @property
    def first_day(self) -> date | None:
        """The first day of the range; None where it is not about one."""
        return self.since  # type: ignore[return-value]

    @property
    def last_day(self) -> date | None:
        """The last day of the range, if it is given."""
        return self.until  # type: ignore[return-value]

    def reach(self) -> tuple[TimeGroup, int]:
        return super().reach() if self.first_day is None else (TimeGroup.RANGES, 1)

    def up_to(self, as_of: AsOf) -> date:
        return min(self.last_day or as_of.day, as_of.day)

    def _when_earlier(self, as_of: AsOf, count: int) -> dict[str, Any]:
        first, last = self.first_day, self.last_day
        if first is None:
            return super()._when_earlier(as_of, count)
        # Both ends move, and with them up to when anything counts.
        days = Period.between(first, self.up_to(as_of))
        back = days.start - days.shift(-count).start
        day, moment = self._asked_up_to(as_of)
        return {
            "since": first - back,
            "until": None if last is None else self.up_to(as_of) - back,
            "as_of": (day if moment is None else moment) - back,
        }

    def when(self, said: Text) -> Text:
        """Return a sentence with the range that it is about."""
        values: dict[str, object] = {
            "sentence": said,
            "first": self.first_day,
            "last": self.last_day,
        }
        if self.until is not None:
            return Text("%(sentence)s from %(first)s to %(last)s", **values)
        if self.as_of is None:
            return Text("%(sentence)s since %(first)s", **values)
        values["last"] = told_day(self.as_of)
        return Text("%(sentence)s from %(first)s to %(last)s", **values)


AnyQuestion = type[Question[Any]]
"""The class of any question."""


class SpanDict(TypedDict):
    """When a period begins and ends."""

    period: str
    """Its label."""
    start: str
    """Its first instant, ISO 8601, with the offset of the app's time zone."""
    end: str
    """The first instant after it."""


class AnswerDict(TypedDict):
    """What the JSON of every answer has."""

    question: str
    """What was asked, in a sentence."""
    asked: dict[str, Any]
    """The parameters that were not left at their defaults."""
    as_of: str
    """The moment up to which events count, ISO 8601."""
    timezone: str
    """The time zone of the app, an IANA name."""
    spans: list[SpanDict]
    """When the periods begin and end that the answer tells of."""
    warnings: list[str]
    """What is odd about the question, and why numbers are missing, in sentences."""
    notes: list[str]
    """What is said beside the numbers, in sentences."""
    name: NotRequired[str]
    """Whose answer it is, where segments were asked for."""
    excluded: NotRequired[str]
    """Who is left out, where anybody is."""
    segments: NotRequired[list[dict[str, Any]]]
    """The answer for each segment, of the same shape."""
    together: NotRequired[dict[str, Any]]
    """The answer for the users of any of several segments, of the same shape."""
    previous: NotRequired[dict[str, Any]]
    """The answer that this one is compared with, of the same shape."""


class Compared(NamedTuple):
    """Numbers of an answer that are set beside those of other segments and days."""

    name: Text
    """What they are."""
    labels: Sequence[str | Period]
    """What each number is of: a period, or something else."""
    values: Sequence[float | None]
    """Users, or shares as floats."""
    complete: Sequence[bool]
    """Whether each number is final."""
    cells: Sequence[Mapping[str, Any] | None]
    """How each is named, if there are users behind it: see :attr:`Question.cell`."""
    in_order: bool = False
    """Whether the labels, where they are no periods, follow each other in time."""


def _one_after_another(one: Text, other: Text) -> Text:
    return Text("%(one)s %(other)s", one=one, other=other)


@dataclass(frozen=True)
class Answer(Result):
    """The answer to a question, which it keeps.

    It can be pickled, to be cached or sent: its numbers go with it, and who is behind
    them can only be asked where it was made.
    """

    ask: Ask = dataclasses.field(repr=False, compare=False)
    segments: tuple[Self, ...] = dataclasses.field(default=(), kw_only=True, repr=False)
    """The answer for each segment, in the order in which they were asked for.  The
    answer itself has the numbers of the first."""
    together: Self | None = dataclasses.field(default=None, kw_only=True, repr=False)
    """The answer for the users of any of the segments, each counted once; None where
    there are not several, beside everyone and everyone else."""
    previous: Self | None = dataclasses.field(default=None, kw_only=True, repr=False)
    """The answer that this one is compared with, also for each segment."""

    @property
    def question(self) -> Any:
        """The question, as data."""
        return self.ask.question

    @property
    def as_of(self) -> datetime:
        """The moment up to which events count, aware, in the app's time zone."""
        as_of = self.ask.as_of
        return as_of.calendar.instant(as_of.moment)

    @property
    def warnings(self) -> tuple[Text, ...]:
        """What is odd about the question, and why numbers are missing in this answer,
        for any of its segments, or in what it is compared with."""
        return self._said(lambda ask: ask.warnings)

    @property
    def segment(self) -> str | None:
        """Whose answer it is, where segments were asked for."""
        return self.ask.segment

    @property
    def listing(self) -> UserSet | None:
        """The users, where the answer is nothing but the list of all of them."""
        return None

    @property
    def exit_status(self) -> int:
        """What the command exits with: 1 where the answer is no."""
        return 0

    def notes(self) -> tuple[Text, ...]:
        """Return what has to be said beside the numbers, in sentences."""
        return ()

    def told_periods(self) -> Sequence[Period]:
        """Return the periods that the answer tells of, for their begins and ends."""
        return ()

    def row_periods(self) -> Sequence[Period]:
        """Return the period of each row of the table, if rows are of periods."""
        return ()

    def _spans(self, periods: Iterable[Period]) -> list[list[str]]:
        span = self.ask.as_of.calendar.span
        return [[each.isoformat() for each in span(period)] for period in periods]

    def told(self) -> tuple[Text, ...]:
        """Return :meth:`notes`, and what is said beside the numbers of any question.

        What is said of one segment alone begins with its name.
        """
        return (*self._notes_by_segment(), *self._said(lambda ask: ask.notes))

    def _notes_by_segment(self) -> Iterator[Text]:
        notes = {each.segment: each.notes() for each in self.segments or (self,)}
        of_all = set.intersection(*map(set, notes.values()))
        for segment, said in notes.items():
            own = [note for note in said if note not in of_all]
            if own:
                joined = reduce(_one_after_another, own)
                yield Text("%(who)s: %(said)s", who=segment, said=joined)
        yield from (note for note in self.notes() if note in of_all)

    def _said(self, of: Callable[[Ask], Iterable[Text]]) -> tuple[Text, ...]:
        every = (text for _, each in self.parts() for text in of(each.ask))
        return tuple(dict.fromkeys(every))

    @property
    def last_day(self) -> date:
        """The last day that it tells of: of a range its own last one."""
        day: date = self.question.up_to(self.ask.as_of)
        return day

    def compared(self) -> Sequence[Compared]:
        """Return the numbers that are worth comparing, the same for every segment."""
        return ()

    def sentence(self) -> Text:
        """Return what was asked and of whom, in a sentence."""
        said: Text = self.question.sentence()
        names = [each.segment for each in self.segments] or [self.segment]
        who, *others = [name for name in names if name] or [""]
        for other in others:
            who = Text("%(one)s vs. %(other)s", one=who, other=other)
        if who:
            said = Text("%(asked)s, %(who)s", asked=said, who=who)
        if self.ask.excluded:
            said = Text("%(asked)s, without %(who)s", asked=said, who=self.ask.excluded)
        if self.previous is not None:
            day = self.previous.last_day
            said = Text("%(asked)s, compared with %(day)s", asked=said, day=day)
        return said

    def parts(self) -> Iterator[tuple[str, Self]]:
        """Yield the answers that this one consists of, each with its heading.

        They are those of its segments and of all of them together, or itself; then
        those of what it is compared with.
        """
        for answer in filter(None, (self, self.previous)):
            together = () if answer.together is None else (answer.together,)
            for each in (*answer.segments, *together) or (answer,):
                values = {"segment": each.segment, "day": each.last_day}
                if self.previous is None:
                    heading = each.segment or ""
                elif each.segment:
                    heading = Text("%(segment)s, to %(day)s", **values)
                else:
                    heading = Text("To %(day)s", **values)
                yield heading, each

    def views(self) -> Iterator[tuple[str, Result]]:
        """Yield what a terminal shows of the answer, each with its heading."""
        return self.parts()

    def sheet(self) -> Table:
        return self._of_parts(lambda each: each.table())

    def file_table(self) -> Table:
        return self._of_parts(lambda each: each._with_spans())

    def _with_spans(self) -> Table:
        """Return the table with the begins and ends of the periods of its rows."""
        columns, rows = self.table()
        spans = self._spans(self.row_periods())
        if not spans:
            return Table(columns, rows)
        rows = [[*row, *span] for row, span in zip(rows, spans, strict=True)]
        return Table([*columns, "start", "end"], rows)

    def _of_parts(self, table_of: Callable[[Self], Table]) -> Table:
        """Return the tables of all :meth:`parts` below each other."""
        if not self.part_columns():
            return table_of(self)
        parts = [each for _, each in self.parts()]
        tables = [table_of(each) for each in parts]
        return Table(
            [*self.part_columns(), *tables[0].columns],
            [
                [*each.part_cells(self), *row]
                for each, table in zip(parts, tables)
                for row in table.rows
            ],
        )

    def listed(self) -> Iterator[list[Any]]:
        """Yield the lines of :meth:`sheet` where there is a :attr:`listing`.

        They are read and told bit by bit, however many users there are.
        """
        yield [*self.part_columns(), "user_id"]
        for _, each in self.parts():
            for user in each.listing or ():
                yield [*each.part_cells(self), user]

    def part_columns(self) -> list[str]:
        """Return the columns that tell the :meth:`parts` apart in one table."""
        columns = ["segment"] if self.segments else []
        return columns if self.previous is None else [*columns, "as of"]

    def part_cells(self, whole: Answer) -> list[str]:
        """Return what stands in these columns, where *whole* has this part."""
        cells = [str(self.segment)] if whole.segments else []
        return cells if whole.previous is None else [*cells, str(self.last_day)]

    def head(self) -> AnswerDict:
        """Return what the dict of every answer begins with."""
        periods = self.told_periods()
        head: AnswerDict = {
            "question": str(self.sentence()),
            "asked": self.question.given(),
            "as_of": self.as_of.isoformat(),
            "timezone": self.ask.as_of.calendar.zone_now,
            "spans": [
                {"period": period.label, "start": start, "end": end}
                for period, (start, end) in zip(periods, self._spans(periods))
            ],
            "warnings": list(map(str, self.warnings)),
            "notes": list(map(str, self.told())),
        }
        if self.segment:
            head["name"] = str(self.segment)
        if self.ask.excluded:
            head["excluded"] = str(self.ask.excluded)
        if self.segments:
            head["segments"] = [dict(each.to_dict()) for each in self.segments]
        if self.together is not None:
            head["together"] = dict(self.together.to_dict())
        if self.previous is not None:
            head["previous"] = dict(self.previous.to_dict())
        return head

    def of_segment(self, name: str | None) -> Self:
        """Return the answer for a segment: by its name, by default the first.

        Raises:
            QueryError: There is no such segment.
        """
        every = [self, *self.segments]
        if self.together is not None:
            every.append(self.together)
        for each in every:
            if name is None or each.segment == name:
                return each
        names = [f"“{each.segment}”" for each in self.segments]
        raise QueryError(
            Text("Use one of %(allowed)s.", allowed=", ".join(names))
            if names
            else Text("No segments were asked for."),
            field="segment",
        )

    def behind(self, cell: Cell) -> UserSet:
        """Return the users behind the number that *cell* names.

        Raises:
            QueryError: There is no such number.
        """
        ask = self.of_segment(cell.segment).ask
        return ask.select(self.question.people(ask, cell))


class AskingFor(Generic[P, T]):
    """The method of a query for one thing that an answer tells.

    It has the signature and the docstring of the question.

    Args:
        question: The class of the question.
        take: Takes the thing from the answer.

    For example ``count = AskingFor(Count, lambda answer: answer.count)``.
    """

    def __init__(
        self, question: Callable[P, Question[A]], take: Callable[[A], T]
    ) -> None:
        self.question = question

        def method(query: Any, *args: P.args, **kwargs: P.kwargs) -> T:
            return take(query(_asked(question, query, args, kwargs)))

        _sign(method, question)
        self._method = method

    def __get__(self, query: Any, owner: type) -> Callable[P, T]:
        bound: Callable[P, T] = self._method.__get__(query, owner)
        return bound


class Asking(AskingFor[P, A]):
    """The method of a query for one question: ``trend = Asking(Trend)``.

    Args:
        question: The class of the question.
    """

    def __init__(self, question: Callable[P, Question[A]]) -> None:
        super().__init__(question, lambda answer: answer)


class Behind(Generic[P]):
    """The method of an answer for who is behind a number: ``users = Behind(Cell)``.

    Args:
        cell: The class of the record that names a number.
    """

    def __init__(self, cell: Callable[P, Cell]) -> None:
        def method(answer: Any, *args: P.args, **kwargs: P.kwargs) -> UserSet:
            users: UserSet = answer.behind(cell(*args, **kwargs))
            return users

        _sign(method, cell)
        self._method = method

    def __get__(self, answer: Any, owner: type) -> Callable[P, UserSet]:
        bound: Callable[P, UserSet] = self._method.__get__(answer, owner)
        return bound


def _asked(
    question: Callable[..., Question[A]],
    query: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Question[A]:
    """Make a question of what Python gives, which may be a user's object."""
    declared: Any = question
    users = [each.name for each in params_of(declared) if each.kind.name == "user"]
    if not users:
        return question(*args, **kwargs)
    bound = inspect.signature(question).bind(*args, **kwargs)
    for name in users:
        if bound.arguments.get(name) is not None:
            bound.arguments[name] = query.identity.known(bound.arguments[name])
    return question(*bound.args, **bound.kwargs)


def _sign(method: Callable[..., Any], made: Callable[..., Any]) -> None:
    """Give *method* the name, the docstring and the parameters of a class."""
    own = inspect.signature(made)
    me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    signature = own.replace(
        parameters=[me, *own.parameters.values()],
        return_annotation=inspect.Signature.empty,
    )
    setattr(method, "__signature__", signature)  # noqa: B010 - unknown to checkers
    method.__doc__ = made.__doc__
    method.__name__ = getattr(made, "name", "users")


def running_note(ask: Ask, last: Period) -> Text:
    """Return the sentence that says that the last period is not complete, if so."""
    if ask.as_of.is_complete(last):
        return Text()
    if ask.as_of.is_today:
        return Text("%(period)s is not over yet.", period=last)
    return Text("%(period)s is counted up to %(day)s.", period=last, day=ask.as_of.day)


def period_of(periods: Sequence[Period], label: str) -> Period:
    """Return the one of *periods* with a label.

    Raises:
        QueryError: None of them has it.
    """
    for period in periods:
        if period.label == label:
            return period
    raise QueryError(
        Text(
            "This must be one of %(first)s to %(last)s.",
            first=periods[0].label,
            last=periods[-1].label,
        ),
        field="period",
    )


# --- Kinds: one for each way in which a value can look


def _kind(hint: Any, about: Mapping[str, Any]) -> Kind:
    if hint == When:
        return Kind("day", read_day, {"type": "string", "format": "date"})
    if hint == Day:
        return Kind("day", _day, {"type": "string", "format": "date"})
    if hint == Who or hint == Who | None:
        return Kind("event", _who, {"type": "string", "maxLength": LONGEST_TEXT})
    if hint == Earlier:
        return _earlier(about)
    if hint == User or hint == User | None:
        return Kind("user", _user, {"type": ["integer", "string"]})
    if get_origin(hint) in (UnionType, Union) and NoneType in get_args(hint):
        (hint,) = (each for each in get_args(hint) if each is not NoneType)
    if hint == Group:
        return _choice(GROUPS, _group)
    if get_origin(hint) is Literal:
        words = get_args(hint)
        labels = {word: about["choices"].get(word, Text(str(word))) for word in words}
        return _choice(labels, _one_of(words))
    if get_origin(hint) is Sequence:
        return _list(get_args(hint)[0], about)
    if hint is bool:
        return Kind("switch", _switch, {"type": "boolean"})
    if hint is int:
        least, most = about["least"], about["most"]
        schema = {"type": "integer", "minimum": least, "maximum": most}
        return Kind("number", _whole(least, most), schema, least=least, most=most)
    if hint is str:
        return Kind("text", _text, {"type": "string", "maxLength": LONGEST_TEXT})
    raise TypeError(f"a question has no parameters of the kind {hint!r}")


def _list(hint: Any, about: Mapping[str, Any]) -> Kind:
    # The bounds of a list are those of its length; its numbers have a day's to a
    # decade's.
    one = _kind(hint, {**about, "least": 1, "most": 3660})
    least, most = about["least"], min(about["most"], 20)

    def take(value: Any) -> tuple[Any, ...]:
        single = isinstance(value, (str, Expression, int))
        values = (value,) if single else tuple(value) if _is_list(value) else None
        if values is None:
            raise ValueError(Text("This must be a list."))
        if len(values) < least:
            raise ValueError(Text("At least %(least)s are required.", least=least))
        if len(values) > most:
            raise ValueError(Text("At most %(most)s are allowed.", most=most))
        return tuple(map(one.take, values))

    schema = {
        "type": "array",
        "items": one.schema,
        "minItems": least,
        "maxItems": most,
    }
    choices = about["choices"]
    return Kind(one.name, take, schema, True, choices, least, most)


def _is_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (bytes, Mapping))


def _choice(labels: Mapping[Any, Text], take: Callable[[Any], Any]) -> Kind:
    schema = {"type": "string", "enum": list(labels)}
    return Kind("choice", take, schema, choices=labels)


def _one_of(words: Sequence[str]) -> Callable[[Any], str]:
    def take(value: Any) -> str:
        for word in words:
            if value == word:
                return str(word)
        raise ValueError(_use_one_of(words))

    return take


def _group(value: Any) -> str:
    if isinstance(value, str):
        try:
            return TimeGroup.parse(value.strip()).value
        except QueryError:
            pass
    raise ValueError(_use_one_of(tuple(GROUPS)))


def _use_one_of(words: Sequence[str]) -> Text:
    return Text("Use one of %(allowed)s.", allowed=", ".join(words))


def _who(value: Any) -> str:
    # An event's name may begin or end with a blank.
    return _checked_text(str(value) if isinstance(value, Expression) else value)


def _text(value: Any) -> str:
    return _checked_text(value).strip()


def _checked_text(text: Any) -> str:
    if not isinstance(text, str):
        raise ValueError(Text("This must be text, not %(given)s.", given=_typed(text)))
    if not text.strip():
        raise ValueError(Text("This field is required."))
    if len(text) > LONGEST_TEXT:
        raise ValueError(
            Text(
                "This is too long; at most %(most)s characters are allowed.",
                most=LONGEST_TEXT,
            )
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(Text("This is not valid Unicode text.")) from None
    return text


def _user(value: Any) -> User:
    try:
        return plain_id(value)
    except BadMarkError:
        if isinstance(value, str):
            _checked_text(value)
        raise ValueError(
            Text("This is not a user: %(given)s.", given=_typed(value))
        ) from None


def _switch(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else None
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(_use_one_of(("true", "false")))


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def take(value: Any) -> int:
        number = _number(value)
        if number is None or not least <= number <= most:
            raise ValueError(
                Text(
                    "This must be a whole number from %(least)s to %(most)s.",
                    least=least,
                    most=most,
                )
            )
        return number

    return take


def _earlier(about: Mapping[str, Any]) -> Kind:
    least, most = about["least"], about["most"]
    whole = _whole(least, most)
    words = get_args(get_args(Earlier)[1])

    def take(value: Any) -> int | str:
        word = value.strip() if isinstance(value, str) else value
        return str(word) if word in words else whole(value)

    number = {"type": "integer", "minimum": least, "maximum": most}
    schema = {"anyOf": [number, {"enum": list(words)}]}
    choices = about["choices"]
    return Kind("number", take, schema, choices=choices, least=least, most=most)


def _number(value: Any) -> int | None:
    if isinstance(value, str):
        text = value.strip()
        digits = text.removeprefix("-")
        is_number = digits.isascii() and digits.isdigit() and len(digits) < 20
        return int(text) if is_number else None
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)  # JSON has one kind of number, and so has its schema
    try:
        return operator.index(value)
    except TypeError:
        return None


def read_day(value: Any) -> date | datetime:
    """Return the day or the moment that a surface was given.

    Args:
        value: A date, a datetime (without a time zone it is taken as the app's clock
            shows it), or either as ISO text: ``2026-11-23``, ``2026-11-23T14:00``.

    Raises:
        ValueError: It is none of these.
    """
    if isinstance(value, date):
        return value
    if not isinstance(value, str):
        raise ValueError(Text("This is not a date: %(given)s.", given=_typed(value)))
    text = value.strip()
    for read in (date.fromisoformat, datetime.fromisoformat):
        # Weeks and days without dashes are for machines.
        if len(text) >= 10 and text[4] == text[7] == "-":
            try:
                return read_day(read(text))
            except (ValueError, OverflowError):
                continue
    raise ValueError(Text("This is not a date; write it as YYYY-MM-DD."))


def _day(value: Any) -> date:
    day = read_day(value)
    if isinstance(day, datetime):
        raise ValueError(Text("This is not a date; write it as YYYY-MM-DD."))
    return day


def _typed(value: Any) -> str:
    return shorten(f"{type(value).__name__} {value!r}")
