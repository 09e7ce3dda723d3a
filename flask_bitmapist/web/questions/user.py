"""The users page: what did one user do, and when?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ...analysis.errors import QueryError
from ...analysis.membership import CURRENT, MembershipResult
from ...analysis.periods import Period, TimeGroup
from ...query import Query
from ...store.idmap import KnownIds
from ..fields import AsOf, Count
from ..forms import QuestionForm
from ..heat import LEVELS
from ..texts import gettext, lazy

LARGEST_ID = 2**32 - 1


class UserId(Count):
    """The id of a user, or the app's own key where it keeps such."""

    @property
    def is_number(self) -> bool:
        """Whether users are known by their ids alone."""
        return not self.meta.state.settings.id_map

    def process_formdata(self, valuelist: list[Any]) -> None:
        if self.is_number:
            super().process_formdata(valuelist)
        elif valuelist and valuelist[0]:
            self.data = valuelist[0]

    def pre_validate(self, form: Any) -> None:
        if not isinstance(self.data, str):
            super().pre_validate(form)


class UserForm(QuestionForm):
    """What did this user do, and on which days?"""

    user_id = UserId(lazy("User id"), least=0, most=LARGEST_ID, required=True)
    num_days = Count(lazy("Days"), most=3660, default=365)
    as_of = AsOf(lazy("Up to"))

    def ask(self, query: Query) -> MembershipResult:
        return query.membership(
            self._id(),
            flags=self.state.catalogue.flags(),
            num_days=self.num_days.data,
            as_of=self.as_of.data,
        )

    def _id(self) -> int:
        given = self.user_id.data
        if isinstance(given, int):
            return given
        known = KnownIds(self.state.read_client).id_of(given)
        if known is None:
            raise QueryError(gettext("This user was never marked."), field="user_id")
        return known


@dataclass(frozen=True)
class CalendarDay:
    """A day of the calendar."""

    day: Period
    events: tuple[str, ...]
    """What the user did on it."""
    level: int
    """Its colour, by the number of different events."""


def present(result: MembershipResult) -> dict[str, Any]:
    """Return what the template needs beside the answer."""
    return {
        "calendar": list(calendar(result)),
        "now": [(group, result.is_active(group)) for group in CURRENT],
        "total_days": len({d for days in result.active_days.values() for d in days}),
    }


def calendar(
    result: MembershipResult,
) -> Iterator[tuple[Period, list[CalendarDay | None]]]:
    """Yield the weeks, each with its seven days; None for days that are not asked."""
    events: dict[Period, list[str]] = {}
    for event, days in result.active_days.items():
        for day in days:
            events.setdefault(day, []).append(event)
    most = max(map(len, events.values()), default=1)
    week = Period.containing(TimeGroup.WEEKS, result.days[0].start)
    first, last = result.days[0].start, result.days[-1].start
    while week.start <= last:
        starts = (week.start + timedelta(days=each) for each in range(7))
        yield (
            week,
            [
                _calendar_day(Period(TimeGroup.DAYS, start), events, most)
                if first <= start <= last
                else None
                for start in starts
            ],
        )
        week = week.shift(1)


def _calendar_day(
    day: Period, events: dict[Period, list[str]], most: int
) -> CalendarDay:
    done = tuple(sorted(events.get(day, ())))
    # The weakest colour that is clearly one, up to the strongest.
    level = 4 + round((LEVELS - 4) * (len(done) - 1) / max(1, most - 1)) if done else 0
    return CalendarDay(day, done, level)
