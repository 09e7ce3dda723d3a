"""Questions from Python: names and dates in, results out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timezone
from typing import Any, cast

from .analysis.bitmaps import Bitmaps
from .analysis.errors import QueryError, Text
from .analysis.expressions import (
    Expression,
    Flag,
    Named,
    as_expression,
    chain,
)
from .analysis.funnel import FunnelQuery, FunnelResult, funnel
from .analysis.lifecycle import LifecycleQuery, LifecycleResult, lifecycle
from .analysis.membership import MembershipQuery, MembershipResult, membership
from .analysis.parsing import parse
from .analysis.periods import AsOf, Period, TimeGroup, to_utc
from .analysis.stickiness import StickinessQuery, StickinessResult, stickiness
from .analysis.users import Selection, expression_users
from .questions.asking import Ask, Names
from .questions.cohort import Cohort
from .questions.declare import A, Asking, Question
from .questions.trend import Trend
from .store.userset import UserSet

Who = str | Expression
"""An event by name, or an expression."""

When = date | datetime | None
"""A moment, a day (its end, or now if that is earlier), or None for now."""


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
    """

    def __init__(
        self,
        bitmaps: Bitmaps,
        names: Names | None = None,
    ) -> None:
        self.bitmaps = bitmaps
        self.names = Names() if names is None else names

    cohort = Asking(Cohort)
    trend = Asking(Trend)

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
        ask = Ask(
            question, self.bitmaps, as_of(question.as_of), self.names, self.select
        )
        return question.answer(ask)

    def within(self, most_bytes: int) -> Query:
        """Return a query for one page, which refuses what would read too much.

        The pages ask through this; Python and the command line read as much as they
        are asked to.

        Args:
            most_bytes: How many bytes of bitmaps all of its answers together may
                read, 0 for any number.  About a megabyte more is read before a
                question is refused.

        Example:
            >>> bitmapist.query.within(10_000_000).count("song:played", "month")
            2
        """
        return Query(self.bitmaps.within(most_bytes), self.names)

    def expression(self, who: Who) -> Expression:
        """Return whom *who* means.

        Args:
            who: An expression, the name of one that the app has defined, or the name
                of an event.
        """
        if isinstance(who, str) and who in self.names.defined:
            return Named(who, self.names.defined[who])
        return as_expression(who)

    def parse(self, text: str) -> Expression:
        """Read an expression such as ``"played and not flag(premium)"``."""
        return parse(text, self.names.defined)

    def read(self, text: str) -> Expression:
        """Read what a person typed: the name of an event, or an expression.

        A name that is known stands for itself, also where it has spaces or
        parentheses in it; everything else is read as :meth:`parse` does.
        """
        if not text.strip():
            raise QueryError(
                Text("an event is missing; give its name or an expression")
            )
        return self.names.expression(text)

    def users(
        self, event: Who, time_group: str | TimeGroup = "days", as_of: When = None
    ) -> UserSet:
        """Return the users for whom *event* holds in one period.

        Args:
            event: Whom to look for.
            time_group: How long the period is.
            as_of: When the period is.

        Returns:
            A set of user ids that reads Redis when it is looked at.

        Example:
            >>> bitmapist.query.users("song:played", "week").page(1).total
            2
        """
        period = Period.containing(TimeGroup.parse(time_group), moment(as_of))
        return self.select(expression_users(self.expression(event), period))

    def flagged(self, flag: str) -> UserSet:
        """Return the users who carry the unique event *flag*."""
        period = Period.containing(TimeGroup.DAYS, utc_now())
        return self.select(expression_users(Flag(flag), period))

    def select(self, selection: Selection) -> UserSet:
        """Return the users behind a number, see for example
        :meth:`~flask_bitmapist.questions.declare.Question.people`.
        """
        return UserSet(self.bitmaps, selection)

    def count(
        self, event: Who, time_group: str | TimeGroup = "days", as_of: When = None
    ) -> int:
        """Return how many users there are for whom *event* holds in one period.

        The parameters are those of :meth:`users`.
        """
        return len(self.users(event, time_group, as_of))

    def has(
        self,
        user_id: int,
        event: Who,
        time_group: str | TimeGroup = "days",
        as_of: When = None,
    ) -> bool:
        """Return whether *event* holds for one user in one period.

        Args:
            user_id: The user.
            event: What to look for.
            time_group: How long the period is.
            as_of: When the period is.
        """
        return user_id in self.users(event, time_group, as_of)

    def chain(
        self, base: Who, additional: Iterable[Mapping[str, str]] = ()
    ) -> Expression:
        """Chain additional events to *base*.

        An OR binds to its immediate predecessor alone: A and B or C and D is
        A and (B or C) and D.

        Args:
            base: The first event.
            additional: Mappings with ``name`` and ``op``, which is ``"and"`` or
                ``"or"``.

        Example:
            >>> print(bitmapist.query.chain("a", [{"name": "b", "op": "or"}]))
            a or b
        """
        return chain(base, additional, self.expression)

    def stickiness(
        self,
        event: Who,
        *,
        num_days: int = 30,
        window: str = "month",
        as_of: When = None,
    ) -> StickinessResult:
        """Return how many of a month's users come on a day, and on how many days.

        Args:
            event: Whom to count.
            num_days: The last so many days.
            window: ``"month"`` for the calendar month, ``"rolling"`` for 30 days.
            as_of: The last day.
        """
        question = StickinessQuery(
            self.expression(event), moment(as_of), num_days, window
        )
        return stickiness(question, self.bitmaps)

    def lifecycle(
        self,
        event: Who,
        *,
        time_group: str | TimeGroup = "weeks",
        num_periods: int = 12,
        as_of: When = None,
    ) -> LifecycleResult:
        """Return who is new, returning, resurrecting or dormant in each period.

        Args:
            event: Whom to count as active.
            time_group: How time is cut into periods.
            num_periods: The last so many periods.
            as_of: The day or moment of the last period.
        """
        question = LifecycleQuery(
            self.expression(event),
            moment(as_of),
            TimeGroup.parse(time_group),
            num_periods,
        )
        return lifecycle(question, self.bitmaps)

    def funnel(
        self,
        steps: Iterable[Who],
        *,
        time_group: str | TimeGroup = "days",
        num_periods: int = 30,
        window: int = 7,
        as_of: When = None,
    ) -> FunnelResult:
        """Return how many of those who take the first step take the next ones.

        Args:
            steps: What has to be done, in order.
            time_group: How time is cut into periods.
            num_periods: Users enter in the last so many periods.
            window: Periods in which all steps have to be taken.
            as_of: The day or moment of the last period.
        """
        question = FunnelQuery(
            tuple(map(self.expression, steps)),
            moment(as_of),
            TimeGroup.parse(time_group),
            num_periods,
            window,
        )
        return funnel(question, self.bitmaps)

    def membership(
        self,
        user_id: int,
        *,
        events: Iterable[str] | None = None,
        flags: Iterable[str] = (),
        num_days: int = 365,
        as_of: When = None,
    ) -> MembershipResult:
        """Return what one user did, and on which days.

        Args:
            user_id: The user.
            events: Names of the events to look for; all by default.
            flags: Names of the unique events to look for.
            num_days: The last so many days.
            as_of: The last day.
        """
        names = self.names.events() if events is None else events
        question = MembershipQuery(
            user_id, tuple(names), moment(as_of), num_days, tuple(flags)
        )
        return membership(question, self.bitmaps)


def questions() -> tuple[type[Question[Any]], ...]:
    """Return all questions, in the order of the menu."""
    return tuple(
        cast("type[Question[Any]]", each.question)
        for each in vars(Query).values()
        if isinstance(each, Asking)
    )


def utc_now() -> datetime:
    """Return the current moment, aware, in UTC."""
    return datetime.now(tz=timezone.utc)


def as_of(given: Any) -> AsOf:
    """Return as of when a question is answered, by the clock."""
    now = utc_now()
    return AsOf(now, moment(given))


def moment(as_of: When) -> datetime:
    """Return the moment as of which a question is asked, in UTC.

    Args:
        as_of: A moment; a day, which means its end or now, whichever is earlier;
            or None for now.

    Raises:
        QueryError: *as_of* is none of these.
    """
    now = utc_now()
    if as_of is None:
        return now
    if isinstance(as_of, datetime):
        return to_utc(as_of)
    if isinstance(as_of, date):
        if as_of == now.date():
            return now
        return datetime.combine(as_of, time.max, tzinfo=timezone.utc)
    raise QueryError(
        f"as_of must be a date, a datetime or None, not {type(as_of).__name__}",
        field="as_of",
    )
