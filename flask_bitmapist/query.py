"""Questions from Python: names and dates in, results out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, time, timedelta, timezone
from functools import partial
from time import monotonic
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from redis import RedisError

from .analysis.bitmaps import Bitmaps, words_of
from .analysis.errors import QueryError, Text
from .analysis.expressions import (
    Expression,
)
from .analysis.periods import IN_UTC, AsOf, Calendar, Period, TimeGroup
from .analysis.upto import UpTo
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
from .questions.segments import BY_THE_APP, In, LeftOut, answered
from .questions.stickiness import Stickiness
from .questions.trend import Trend
from .questions.who import Count, Has, Users
from .store.userset import UserSet

Who = str | Expression
"""An event by name, or an expression."""

When = date | datetime | None
"""A moment, a day (its end, or now if that is earlier), or None for now."""

Clock = Callable[[], tuple[Calendar, Text | None, datetime | None]]
"""Returns the calendar of a store, what is odd about it, and the last hour of which
anything was marked before it came."""


EXCLUSION_HOLDS = 60.0
"""Seconds for which the app's own list of whom to leave out is used."""

_logger = logging.getLogger("flask_bitmapist")


class Exclusion:
    """Who is left out of answers, as BITMAPIST_EXCLUDE says.

    Args:
        given: An expression as text, empty for nobody; or what gives users, as marks
            take them.
        is_locked: Whether a question may not count them after all.
        identity: Tells which bit is whose.
    """

    def __init__(
        self,
        given: str | Callable[[], Iterable[Any]] = "",
        is_locked: bool = True,
        identity: Identity | None = None,
    ) -> None:
        self._given = given
        self.is_locked = is_locked
        self._identity = Identity() if identity is None else identity
        self._lock = threading.Lock()
        self._until = 0.0
        self._bits: NDArray[np.int64] | None = None

    @property
    def text(self) -> str:
        """Who is left out, in words; empty for nobody."""
        return self._given if isinstance(self._given, str) else BY_THE_APP

    def told(self) -> LeftOut:
        """Return who is left out, for a question."""
        if isinstance(self._given, str):
            return LeftOut(self._given, None, self.is_locked)
        return LeftOut(None, partial(self._find, self._given), self.is_locked)

    def _find(self, give: Callable[[], Iterable[Any]]) -> In:
        """Return who is left out now.

        Raises:
            QueryError: The app's list could not be had: an answer with the wrong
                people in it is worse than none.
        """
        with self._lock:
            # One that failed is not run again at once either: it may be what is slow.
            if monotonic() >= self._until:
                self._bits = self._bits_of(give)
                self._until = monotonic() + EXCLUSION_HOLDS
            bits = self._bits
        if bits is None:
            raise QueryError(
                Text(
                    "BITMAPIST_EXCLUDE failed, so it is not known whom to leave out; "
                    "see the app's log. It is tried again after a minute."
                ),
                field="exclude",
            )
        return lambda stripe: words_of(bits, stripe.first_id, stripe.width)

    def _bits_of(self, give: Callable[[], Iterable[Any]]) -> NDArray[np.int64] | None:
        try:
            found = map(self._identity.bit_of, give())
            return np.unique([bit for bit in found if bit is not None]).astype(np.int64)
        except RedisError:
            raise
        except Exception:
            _logger.exception("BITMAPIST_EXCLUDE failed")
            return None


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
        clock: Tells the store's calendar, what is odd about it, and up to when there
            are marks; UTC by default, and none of what has yet to come.
        exclusion: Who is left out of answers; nobody by default.
    """

    def __init__(
        self,
        bitmaps: Bitmaps,
        names: Names | None = None,
        identity: Identity | None = None,
        own: Mapping[str, AnyQuestion] | None = None,
        clock: Clock | None = None,
        exclusion: Exclusion | None = None,
    ) -> None:
        self.bitmaps = bitmaps
        self.names = Names() if names is None else names
        self.identity = Identity() if identity is None else identity
        self._own = {} if own is None else own
        self._clock = clock
        self.exclusion = Exclusion() if exclusion is None else exclusion

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
        answer = self._answered(question)
        if question.compare is None:
            return answer
        before = question.earlier(answer.ask.as_of)
        return replace(answer, previous=self._answered(before))

    def _answered(self, question: Question[A]) -> A:
        calendar, odd, ahead = self._told()
        at = as_of(question.as_of, calendar, ahead)
        bitmaps = self.bitmaps if at.hour is None else UpTo(self.bitmaps, at.hour)

        def select(selection: Selection, others: Bitmaps | None = None) -> UserSet:
            return self.select(selection, others or bitmaps)

        ask = Ask(question, bitmaps, at, self.names, select, self.identity)
        ask.warnings += [odd] if odd else []
        return answered(question, ask, self.exclusion.told())

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
        return Query(
            *(bitmaps, names, self.identity, self._own), self._clock, self.exclusion
        )

    @property
    def calendar(self) -> Calendar:
        """The store's calendar, with its time zone and the day on which weeks begin."""
        return self._told()[0]

    def _told(self) -> tuple[Calendar, Text | None, datetime | None]:
        return (IN_UTC, None, None) if self._clock is None else self._clock()

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

    def select(self, selection: Selection, bitmaps: Bitmaps | None = None) -> UserSet:
        """Return the users behind a number, see for example
        :meth:`~flask_bitmapist.questions.declare.Question.people`.

        Args:
            selection: Which users.
            bitmaps: Where the bitmaps come from, if not from where the query's do.
        """
        return UserSet(bitmaps or self.bitmaps, selection, self.identity)


QUESTIONS: tuple[AnyQuestion, ...] = tuple(
    cast("AnyQuestion", each.question)
    for each in dict.fromkeys(vars(Query).values())
    if isinstance(each, AskingFor)
)
"""The questions of this package, in the order of the menu."""


def utc_now() -> datetime:
    """Return the current moment, aware, in UTC."""
    return datetime.now(tz=timezone.utc)


def as_of(
    given: Any, calendar: Calendar = IN_UTC, ahead: datetime | None = None
) -> AsOf:
    """Return as of when a question is answered, by the clock.

    Args:
        given: A moment, of which a naive one is taken as the app's clock shows it, and
            which counts up to the end of its hour where hours are kept; a day, which
            means its end or now, whichever is earlier; or None for now.
        calendar: The app's calendar.
        ahead: The last hour of which anything was marked before it came, if any was.

    Raises:
        QueryError: *given* is none of these.
    """
    instant = utc_now()
    now, passed = calendar.wall(instant), calendar.passed(instant)
    if given is None or given == now.date():
        # Nothing that has yet to come counts; mostly there is nothing of it.
        hour = calendar.period("hours", now) if ahead and ahead > now else None
        return AsOf(now, now, calendar, passed, hour)
    if not isinstance(given, date):
        raise QueryError(
            f"as_of must be a date, a datetime or None, not {type(given).__name__}",
            field="as_of",
        )
    is_moment = isinstance(given, datetime)
    if not is_moment:
        while calendar.leaves_out(Period.containing(TimeGroup.DAYS, given)):
            given -= timedelta(days=1)  # where that day never was
        given = datetime.combine(given, time.max)
    try:
        moment = calendar.wall(given)
        hour = calendar.period("hours", moment) if is_moment else None
        return AsOf(now, moment, calendar, passed, hour)
    except OverflowError:
        raise QueryError(
            Text("%(given)s is outside the calendar.", given=given.isoformat()),
            field="as_of",
        ) from None
