"""Questions from Python: names and dates in, results out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, cast

from .analysis.bitmaps import Bitmaps
from .analysis.errors import QueryError, Text
from .analysis.expressions import (
    Expression,
)
from .analysis.periods import IN_UTC, AsOf, Calendar, Period, TimeGroup
from .analysis.users import Selection
from .identity import Identity
from .questions.asking import Ask, Names
from .questions.cohort import Cohort
from .questions.declare import A, AnyQuestion, Asking, AskingFor, Question
from .questions.events import Events
from .questions.funnel import Funnel
from .questions.lifecycle import Lifecycle
from .questions.overview import Overview
from .questions.person import Person
from .questions.stickiness import Stickiness
from .questions.trend import Trend
from .questions.who import Count, Has, Users
from .store.userset import UserSet

Who = str | Expression
"""An event by name, or an expression."""

When = date | datetime | None
"""A moment, a day (its end, or now if that is earlier), or None for now."""

Clock = Callable[[], tuple[Calendar, Text | None]]
"""Returns the calendar of a store, and what is odd about it."""


class Query:
    """Asks questions of one store.

    This is ``bitmapist.query`` on the extension.  Whom to count is given as the name
    of an event, as the name of an expression that the app has defined, or as an
    :class:`~flask_bitmapist.Expression`; time groups by name, in the singular or
    plural; and ``as_of`` as a moment, a day, or None for now.

    Every method raises :class:`~flask_bitmapist.QueryError` for something that is not
    allowed.

    Args:
        bitmaps: Where the bitmaps come from.
        names: What can be named; any event by default.
        identity: Tells which bit is whose; bits are ids by default.
        own: The app's own questions, by name; each is a method as well.
        clock: Tells the store's calendar, and what is odd about it; UTC by default.
    """

    def __init__(
        self,
        bitmaps: Bitmaps,
        names: Names | None = None,
        identity: Identity | None = None,
        own: Mapping[str, AnyQuestion] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.bitmaps = bitmaps
        self.names = Names() if names is None else names
        self.identity = Identity() if identity is None else identity
        self._own = {} if own is None else own
        self._clock = clock

    overview = Asking(Overview)
    cohort = Asking(Cohort)
    trend = Asking(Trend)
    lifecycle = Asking(Lifecycle)
    funnel = Asking(Funnel)
    stickiness = Asking(Stickiness)
    person = Asking(Person)
    events = Asking(Events)
    count = AskingFor(Count, lambda answer: answer.count)
    has = AskingFor(Has, lambda answer: answer.did)
    users = AskingFor(Users, lambda answer: answer.everyone)
    membership = person

    def __call__(self, question: Question[A]) -> A:
        """Answer a question.

        Args:
            question: What is asked, as data.

        Raises:
            QueryError: It names what nobody has ever tracked, or cannot be answered.

        Example:
            >>> bitmapist.query(Trend(["song:played"], num_periods=7)).series[0].name
            'song:played'
        """
        calendar, odd = self._told()
        ask = Ask(
            question,
            self.bitmaps,
            as_of(question.as_of, calendar),
            self.names,
            self.select,
            self.identity,
        )
        ask.warnings += [odd] if odd else []
        return question.answer(ask)

    def __getattr__(self, name: str) -> Any:
        # What the class has is found before: only the app's own questions are here.
        question = self.__dict__.get("_own", {}).get(name)
        if question is None:
            raise AttributeError(f"there is no question {name!r}")
        return Asking(question).__get__(self, type(self))

    def questions(self) -> tuple[AnyQuestion, ...]:
        """Return the classes of all questions: the menu's, then the app's own."""
        return (*QUESTIONS, *self._own.values())

    def within(self, most_work: int, patience: float | None = None) -> Query:
        """Return a query for one page, which refuses what is too much work.

        The pages ask through this; Python and the command line work as much as they
        are asked to.

        Args:
            most_work: How many bytes of bitmaps all of its answers together may walk
                over, 0 for any number.
            patience: Seconds to wait while all keys of the store are looked through for
                names, once a minute at most; None waits to the end.

        Example:
            >>> bitmapist.query.within(10_000_000).count("song:played", "months")
            2
        """
        bitmaps = self.bitmaps.within(most_work)
        names = self.names if patience is None else self.names.within(patience)
        return Query(bitmaps, names, self.identity, self._own, self._clock)

    @property
    def calendar(self) -> Calendar:
        """The calendar of the store: its time zone, and when weeks begin."""
        return self._told()[0]

    def _told(self) -> tuple[Calendar, Text | None]:
        return (IN_UTC, None) if self._clock is None else self._clock()

    def expression(self, who: Who) -> Expression:
        """Return whom *who* means.

        Args:
            who: An expression, a name that the app has defined, an event's name, or an
                expression as text.

        Raises:
            QueryError: The text cannot be read.

        Example:
            >>> print(bitmapist.query.expression("song:played and not flag(staff)"))
            song:played and not flag(staff)
        """
        return self.names.expression(who)

    def select(self, selection: Selection) -> UserSet:
        """Return the users behind a number, see for example
        :meth:`~flask_bitmapist.questions.declare.Question.people`.
        """
        return UserSet(self.bitmaps, selection, self.identity)


QUESTIONS: tuple[AnyQuestion, ...] = tuple(
    cast("AnyQuestion", each.question)
    for each in dict.fromkeys(vars(Query).values())
    if isinstance(each, AskingFor)
)
"""The questions of this package, in the order of the menu."""


def utc_now() -> datetime:
    """Return the current moment, aware, in UTC."""
    return datetime.now(tz=timezone.utc)


def as_of(given: Any, calendar: Calendar = IN_UTC) -> AsOf:
    """Return as of when a question is answered, by the clock.

    Args:
        given: A moment, of which a naive one is taken as the app's clock shows it; a
            day, which means its end or now, whichever is earlier; or None for now.
        calendar: The app's calendar.

    Raises:
        QueryError: *given* is none of these.
    """
    instant = utc_now()
    now, passed = calendar.wall(instant), calendar.passed(instant)
    if given is None or given == now.date():
        return AsOf(now, now, calendar, passed)
    if not isinstance(given, date):
        raise QueryError(
            f"as_of must be a date, a datetime or None, not {type(given).__name__}",
            field="as_of",
        )
    if not isinstance(given, datetime):
        while calendar.leaves_out(Period.containing(TimeGroup.DAYS, given)):
            given -= timedelta(days=1)  # where that day never was
        given = datetime.combine(given, time.max)
    try:
        return AsOf(now, calendar.wall(given), calendar, passed)
    except OverflowError:
        raise QueryError(
            Text("%(given)s is outside the calendar.", given=given.isoformat()),
            field="as_of",
        ) from None
