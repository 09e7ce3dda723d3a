"""How many did it, has one user done it, and who did: in one period."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from ..analysis.errors import QueryError, Text, printable
from ..analysis.expressions import Expression, shown_name
from ..analysis.periods import Period, TimeGroup
from ..analysis.results import Table, User
from ..analysis.users import (
    Selection,
    UsersPage,
    UsersPageDict,
    count_users,
    expression_users,
    has_user,
)
from .asking import Ask
from .declare import (
    GROUPS,
    Answer,
    AnswerDict,
    Cell,
    Compared,
    Group,
    RangeQuestion,
    Who,
    param,
    period_of,
    running_note,
    told_day,
)

if TYPE_CHECKING:
    from ..store.userset import UserSet

V = TypeVar("V")

CURRENT = {
    TimeGroup.HOURS: Text("this hour"),
    TimeGroup.DAYS: Text("today"),
    TimeGroup.WEEKS: Text("this week"),
    TimeGroup.MONTHS: Text("this month"),
    TimeGroup.QUARTERS: Text("this quarter"),
    TimeGroup.YEARS: Text("this year"),
}
"""What the period of each group is called in which it is now."""


class PeriodsDict(AnswerDict):
    """What is told of the periods that contain the day asked about."""

    event: str
    periods: dict[str, str]
    """Their labels, by ``hour``, ``day``, ``week``, ``month``, ``quarter`` and
    ``year``."""
    complete: dict[str, bool]


class CountDict(PeriodsDict):
    """The JSON of a count."""

    counts: dict[str, int | None]


class HasDict(PeriodsDict):
    """The JSON of whether a user did something."""

    user_id: User
    did: dict[str, bool | None]


class UsersDict(AnswerDict, UsersPageDict):
    """The JSON of a list of users."""

    event: str
    time_group: str
    period: str
    complete: bool


@dataclass(frozen=True)
class PeriodsAnswer(Answer):
    """One value for each of the periods that contain the day asked about."""

    event: str
    """The event's name, or the expression."""
    periods: tuple[Period, ...]
    """The one asked for; without a time group, from the shortest to the longest."""
    complete: tuple[bool, ...]
    """Whether each has ended."""
    kept: tuple[bool, ...]
    """Whether each is kept; nothing is known of those that are not."""

    def told_periods(self) -> tuple[Period, ...]:
        return self.periods

    row_periods = told_periods

    def notes(self) -> tuple[Text, ...]:
        if len(self.periods) > 1:
            return ()
        return tuple(filter(None, [running_note(self.ask, self.periods[0])]))

    def by_group(self, values: Sequence[Any]) -> dict[str, Any]:
        """Return *values*, one for each period, by the name of its group."""
        return dict(zip((each.group.singular for each in self.periods), values))

    def common(self) -> PeriodsDict:
        """Return what the dict begins with."""
        return {
            **self.head(),
            "event": self.event,
            "periods": self.by_group([each.label for each in self.periods]),
            "complete": self.by_group(self.complete),
        }

    def rows(self, name: str, values: Sequence[Any]) -> Table:
        """Return the table of *values*, which are called *name*."""
        groups = [each.group.singular for each in self.periods]
        labels = [each.label for each in self.periods]
        rows = zip(groups, labels, self.complete, values)
        return Table(["group", "period", "complete", name], list(map(list, rows)))

    def asked(self, values: Sequence[V | None]) -> V:
        """Return the value of the period asked for; of the day where all are told.

        Raises:
            QueryError: It is not kept.
        """
        at = 0
        if len(self.periods) > 1:
            at = [period.group for period in self.periods].index(TimeGroup.DAYS)
        value = values[at]
        if value is None:
            raise QueryError(
                Text("%(period)s is not kept.", period=self.periods[at].label),
                field="time_group",
            )
        return value

    def lines(self, values: Sequence[str]) -> str:
        """Return *values* as text: a single one as it is, else by period."""
        if len(values) == 1:
            return values[0]
        names = [period_words(self.ask, period) for period in self.periods]
        width = max(map(len, names))
        return "\n".join(f"{n:{width}}  {v}" for n, v in zip(names, values))


@dataclass(frozen=True)
class CountAnswer(PeriodsAnswer):
    """How many unique users there are."""

    counts: tuple[int | None, ...]
    """Unique users of each period; None where it is not kept."""

    @property
    def count(self) -> int:
        """Unique users of the period asked for; of the day without a time group.

        Raises:
            QueryError: It is not kept.
        """
        return self.asked(self.counts)

    def compared(self) -> Sequence[Compared]:
        return [
            Compared(
                name=Text("Users"),
                labels=[period.label for period in self.periods],
                values=self.counts,
                complete=self.complete,
                cells=[{"period": period.label} for period in self.periods],
            )
        ]

    def to_dict(self) -> CountDict:
        return {**self.common(), "counts": self.by_group(self.counts)}

    def table(self) -> Table:
        return self.rows("users", self.counts)

    def __str__(self) -> str:
        return self.lines(
            ["-" if count is None else f"{count:,}" for count in self.counts]
        )


@dataclass(frozen=True)
class HasAnswer(PeriodsAnswer):
    """Whether one user did something."""

    user: User
    """The user, as the app knows them."""
    held: tuple[bool | None, ...]
    """Whether it is so in each period; None where it is not kept."""

    @property
    def did(self) -> bool:
        """Whether it is so in the period asked for; on the day without a time group.

        Raises:
            QueryError: It is not kept.
        """
        return self.asked(self.held)

    @property
    def exit_status(self) -> int:
        is_one = len(self.periods) == 1 and (
            self.question.time_group is not None or self.question.since is not None
        )
        return int(is_one and not self.did)

    def to_dict(self) -> HasDict:
        return {
            **self.common(),
            "user_id": self.user,
            "did": self.by_group(self.held),
        }

    def table(self) -> Table:
        return self.rows("did", self.held)

    def __str__(self) -> str:
        words = {True: "yes", False: "no", None: "-"}
        return self.lines([words[held] for held in self.held])


@dataclass(frozen=True)
class UsersAnswer(Answer):
    """The users for whom something holds in one period."""

    event: str
    """The event's name, or the expression."""
    period: Period
    complete: bool
    """Whether the period has ended."""
    found: UserSet = field(repr=False, compare=False)
    """All of them; read when it is looked at."""

    @property
    def everyone(self) -> UserSet:
        """All of them, where no page was asked for.

        Raises:
            QueryError: A page was asked for.
        """
        if self.question.page is not None:
            raise QueryError(
                Text("The set has all users; call its page() method to get one page."),
                field="page",
            )
        return self.found

    @property
    def listing(self) -> UserSet | None:
        return self.found if self.question.page is None else None

    @cached_property
    def shown(self) -> UsersPage:
        """The page asked for, or the first."""
        return self.found.page(self.question.page or 1, self.question.per_page)

    def told_periods(self) -> tuple[Period, ...]:
        return (self.period,)

    def notes(self) -> tuple[Text, ...]:
        notes = [running_note(self.ask, self.period)]
        if self.question.page is not None:
            place = Text(
                "Page %(page)s of %(pages)s; %(total)s users.",
                page=self.shown.page,
                pages=self.shown.pages,
                total=self.shown.total,
            )
            notes.append(place)
        return tuple(filter(None, notes))

    def to_dict(self) -> UsersDict:
        return {
            **self.head(),
            "event": self.event,
            "time_group": self.period.group.value,
            "period": self.period.label,
            "complete": self.complete,
            **self.shown.to_dict(),
        }

    def table(self) -> Table:
        users = self.shown.ids if self.listing is None else self.listing
        return Table(["user_id"], [[str(each)] for each in users])

    def __str__(self) -> str:
        return "\n".join(printable(user) for (user,) in self.table().rows)


class Counted(Cell):
    """One count."""

    period: str | None = param(
        Text("Period"),
        default=None,
        help=Text("Label of the period, such as 2026-W44; the first by default."),
    )


class Count(RangeQuestion[CountAnswer]):
    """How many unique users did this?"""

    in_menu = False
    cell = Counted

    event: Who = param(
        Text("Users who did"), kw_only=False, help=Text("An event or an expression.")
    )
    time_group: Group | None = param(
        Text("in the"),
        default=None,
        kw_only=False,
        short="g",
        help=Text("Length of the period; all lengths by default."),
    )

    def sentence(self) -> Text:
        if self.since is not None:
            return self.when(Text("Unique users of %(event)s", event=self.event))
        return Text(
            "Unique users of %(event)s%(when)s",
            event=self.event,
            when=_when(self.time_group, self.as_of),
        )

    def check_range(self, first: date, last: date | None) -> dict[str, Text]:
        return _no_group(self.time_group)

    def answer(self, ask: Ask) -> CountAnswer:
        expression = ask.among(self.event, "event")
        periods, kept = _asked_about(ask, expression, self, self.time_group)
        selections = [expression_users(expression, period) for period in periods]
        counts = count_users(selections, ask.bitmaps)
        return CountAnswer(
            ask=ask,
            event=shown_name(expression),
            periods=periods,
            complete=ask.complete(periods),
            kept=kept,
            counts=tuple(_known(counts, kept)),
        )

    def people(self, ask: Ask, cell: Counted) -> Selection:
        expression = ask.among(self.event, "event")
        periods, _ = _asked_about(ask, expression, self, self.time_group)
        period = periods[0] if cell.period is None else period_of(periods, cell.period)
        ask.require_kept([expression], [period], "period")
        return expression_users(expression, period)


class Has(RangeQuestion[HasAnswer]):
    """Has this user done this?"""

    in_menu = False
    is_private = True
    is_of_one = True

    user: User = param(
        Text("User"), kw_only=False, help=Text("The user's ID, as it was tracked.")
    )
    event: Who = param(
        Text("did"), kw_only=False, help=Text("An event or an expression.")
    )
    time_group: Group | None = param(
        Text("in the"),
        default=None,
        kw_only=False,
        short="g",
        help=Text(
            "Length of the period; all lengths by default. If given, the command "
            "exits with 0 for yes and 1 for no."
        ),
    )

    def sentence(self) -> Text:
        values = {"user": str(self.user), "event": self.event}
        if self.since is not None:
            done = Text("Has user %(user)s done %(event)s", **values)
            return Text("%(asked)s?", asked=self.when(done))
        return Text(
            "Has user %(user)s done %(event)s%(when)s?",
            **values,
            when=_when(self.time_group, self.as_of),
        )

    def check_range(self, first: date, last: date | None) -> dict[str, Text]:
        return _no_group(self.time_group)

    def answer(self, ask: Ask) -> HasAnswer:
        expression = ask.among(self.event, "event")
        periods, kept = _asked_about(ask, expression, self, self.time_group)
        selections = [expression_users(expression, period) for period in periods]
        bit = ask.bit_of(self.user)
        held = [False] * len(periods)
        if bit is not None:
            held = has_user(selections, ask.bitmaps, bit)
        return HasAnswer(
            ask=ask,
            event=shown_name(expression),
            periods=periods,
            complete=ask.complete(periods),
            kept=kept,
            user=ask.known_as(self.user, bit),
            held=tuple(_known(held, kept)),
        )


class Users(RangeQuestion[UsersAnswer]):
    """Which users did this?"""

    in_menu = False
    is_private = True

    event: Who = param(
        Text("Users who did"), kw_only=False, help=Text("An event or an expression.")
    )
    time_group: Group = param(
        Text("in the"),
        default="days",
        kw_only=False,
        short="g",
        help=Text("Length of the period."),
    )
    page: int | None = param(
        Text("Page"),
        default=None,
        most=2**32,
        help=Text("Return this page of the list; JSON returns the first by default."),
    )
    per_page: int = param(Text("Users per page"), default=100)

    def sentence(self) -> Text:
        if self.since is not None:
            return self.when(Text("Users of %(event)s", event=self.event))
        return Text(
            "Users of %(event)s%(when)s",
            event=self.event,
            when=_when(self.time_group, self.as_of),
        )

    def check_range(self, first: date, last: date | None) -> dict[str, Text]:
        return _no_group(None if self.time_group == "days" else self.time_group)

    def answer(self, ask: Ask) -> UsersAnswer:
        expression = ask.among(self.event, "event")
        group = self.time_group if self.since is None else None
        (period,), _ = _asked_about(ask, expression, self, group)
        (complete,) = ask.complete([period])
        found = ask.select(expression_users(expression, period))
        return UsersAnswer(
            ask=ask,
            event=shown_name(expression),
            period=period,
            complete=complete,
            found=found,
        )


def period_words(ask: Ask, period: Period) -> str:
    """Return how a period that contains the day asked about is called on a terminal."""
    if ask.as_of.is_today and period.group in CURRENT:
        return f"{CURRENT[period.group]} ({period.label})"
    return period.label


def _no_group(given: object) -> dict[str, Text]:
    """Return what is wrong with a time group beside a range."""
    if given is None:
        return {}
    return {"time_group": Text("Give either a time group or a range of days.")}


def _asked_about(
    ask: Ask, expression: Expression, question: RangeQuestion[Any], group: str | None
) -> tuple[tuple[Period, ...], tuple[bool, ...]]:
    """Return the range, or else the periods that contain the day, and whether each is
    kept.

    Those are the one of a time group, or without one those of all.

    Raises:
        QueryError: One group is asked for, and its period is not kept.
    """
    if question.first_day is not None:
        period = ask.days_between(question.first_day, question.last_day)
        ask.require_kept([expression], [period], "since")
        return (period,), (True,)
    if group is not None:
        period = ask.period(group)
        ask.require_kept([expression], [period], "time_group")
        return (period,), (True,)
    groups = [each for each in GROUPS if each != "hours" or _has_hour(ask)]
    periods = tuple(map(ask.period, groups))
    unkept = ask.unkept([expression], periods, refuse=False)
    return periods, tuple(period not in unkept for period in periods)


def _has_hour(ask: Ask) -> bool:
    """Return whether there is one hour that is asked about: a past day has none."""
    return ask.as_of.is_today or isinstance(ask.question.as_of, datetime)


def _known(values: Sequence[V], kept: Sequence[bool]) -> Iterator[V | None]:
    """Yield values, None where they are not known."""
    return (value if is_kept else None for value, is_kept in zip(values, kept))


def _when(group: str | None, as_of: date | datetime | str | None) -> Text:
    """Return the end of a sentence: when something is so."""
    if as_of is None:
        return Text(" %(when)s", when=CURRENT[TimeGroup(group)]) if group else Text()
    day = told_day(as_of)
    if group is None:
        return Text(" as of %(day)s", day=day)
    if group == "days":
        return Text(" on %(day)s", day=day)
    return Text(" in the %(unit)s of %(day)s", unit=GROUPS[group], day=day)
