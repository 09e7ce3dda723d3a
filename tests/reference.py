"""The same answers from plain Python sets, worked out as simply as possible.

Nothing here is shared with the package: periods are told by the calendar functions of
the standard library, and every count is the length of a set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from datetime import date, datetime, time, timedelta, timezone
from functools import cache
from typing import Any, NamedTuple

Key = Any
Users = Callable[[Key], Set[int]]
Meaning = Callable[["Did", "set[int]"], "set[int]"]
"""What an expression means: who counts, by who did an event and who is flagged."""


class Mark(NamedTuple):
    event: str
    user: int
    at: datetime


KEYS: dict[str, Callable[[datetime], Key]] = {
    "hours": lambda at: (at.date(), at.hour),
    "days": lambda at: at.date(),
    "weeks": lambda at: tuple(at.isocalendar())[:2],
    "months": lambda at: (at.year, at.month),
    "quarters": lambda at: (at.year, (at.month - 1) // 3),
    "years": lambda at: at.year,
}


def last_keys(group: str, count: int, as_of: datetime) -> list[Key]:
    """The keys of the last periods, found by stepping back an hour at a time."""
    key_of = KEYS[group]
    step = timedelta(hours=1) if group == "hours" else timedelta(days=1)
    keys = [key_of(as_of)]
    while len(keys) < count:
        as_of -= step
        if key_of(as_of) != keys[-1]:
            keys.append(key_of(as_of))
    return keys[::-1]


def last_moment(group: str, key: Key) -> datetime:
    """The last moment of a period."""
    if group == "hours":
        day, hour = key
        return end_of(day).replace(hour=hour)
    if group == "days":
        return end_of(key)
    if group == "weeks":
        return end_of(date.fromisocalendar(*key, 7))
    if group == "months":
        year, month = key
    elif group == "quarters":
        year, month = key[0], 3 * key[1] + 3
    else:
        year, month = key, 12
    return end_of(date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1))


class Did:
    """What was done in a span of time, and on which days up to its end.

    Args:
        users: Who did an event in the span.
        marks: All that was done at any time.
        end: The last moment of the span that counts.
    """

    def __init__(
        self, users: Callable[[str], set[int]], marks: Iterable[Mark], end: datetime
    ) -> None:
        self._users, self._marks, self._end = users, marks, end
        self.last = end.date()
        """The last day that counts."""

    def __call__(self, event: str) -> set[int]:
        """Who did it in the span."""
        return self._users(event)

    def days(self, events: Iterable[str]) -> dict[int, set[date]]:
        """On which days, up to the end of the span, each user did any of these."""
        found: dict[int, set[date]] = {}
        for mark in self._marks:
            if mark.event in events and mark.at <= self._end:
                found.setdefault(mark.user, set()).add(mark.at.date())
        return found


class Reference:
    """Answers about a list of marks; those after the hour of *as_of* do not count.

    Of marks whose hours are not kept, those after its day do not: give the end of it.
    """

    def __init__(self, marks: Iterable[Mark], group: str, as_of: datetime) -> None:
        self.end = last_moment("hours", KEYS["hours"](as_of))
        """The last moment that counts."""
        self.marks = [mark for mark in marks if mark.at <= self.end]
        self.group = group
        self.as_of = as_of
        self._did: dict[str, dict[Key, set[int]]] = {}
        for mark in self.marks:
            periods = self._did.setdefault(mark.event, {})
            periods.setdefault(KEYS[group](mark.at), set()).add(mark.user)

    def keys(self, count: int) -> list[Key]:
        return last_keys(self.group, count, self.as_of)

    def users(self, event: str) -> Users:
        periods = self._did.get(event, {})
        return lambda key: set(periods.get(key, ()))

    def users_of(self, meaning: Meaning, flagged: set[int]) -> Users:
        """The users of an expression."""
        return cache(lambda key: frozenset(meaning(self._did_in(key), flagged)))

    def _did_in(self, key: Key) -> Did:
        end = min(last_moment(self.group, key), self.end)
        return Did(lambda event: self.users(event)(key), self.marks, end)

    def ever_before(self, users: Users, key: Key) -> set[int]:
        """Who was among *users* in any period before *key*."""
        return set().union(*(users(each) for each in self._every() if each < key))

    def _every(self) -> set[Key]:
        """All periods from some before the first mark on, also those without any."""
        keys = set(self.keys(10))
        step = timedelta(hours=1) if self.group == "hours" else timedelta(days=1)
        at = min((mark.at for mark in self.marks), default=self.as_of)
        while at < self.as_of:
            keys.add(KEYS[self.group](at))
            at += step
        return keys

    def is_complete(self, key: Key) -> bool:
        """Whether a period has ended by now and by the end of the day of *as_of*."""
        midnight = utc(self.as_of.date().isoformat()) + timedelta(days=1)
        return bool(key < KEYS[self.group](min(midnight, datetime.now(timezone.utc))))

    def before(self, event: str, key: Key) -> set[int]:
        """The users of *event* in any earlier period than *key*."""
        periods = self._did.get(event, {})
        return set().union(*(periods[each] for each in periods if each < key))

    def cohort(
        self,
        primary: Users,
        secondary: Users,
        num_rows: int,
        num_cols: int,
        *,
        returned: str = "each",
        first_time: bool = False,
        within: Users | None = None,
        is_same: bool = False,
    ) -> tuple[list[Set[int]], list[list[Set[int] | None]]]:
        """The users of each row, and of each cell: None where none can be."""
        keys = self.keys(num_rows)
        everyone, rows = [], []
        for i, key in enumerate(keys):
            users = primary(key)
            if first_time:
                users = users - self.ever_before(primary, key)
            if within is not None:
                users = users & within(key)
            everyone.append(users)
            row: list[Set[int] | None] = []
            already: set[int] = set()
            for j in range(num_cols):
                if not users or i + j >= num_rows:
                    row.append(None)
                    continue
                if returned == "on-or-after":
                    later = [secondary(each) for each in keys[i + j :]]
                    row.append(users & set().union(*later))
                    continue
                matched = users & secondary(keys[i + j])
                if returned == "first":
                    matched -= already
                    # Who does the same event at once has not come back yet.
                    already |= set() if is_same and not j else matched
                row.append(matched)
            rows.append(row)
        return everyone, rows

    def cohort_counts(
        self, *arguments: Any, **options: Any
    ) -> tuple[list[int], list[list[int | None]]]:
        """How many users each row and each cell have."""
        everyone, rows = self.cohort(*arguments, **options)
        return [len(users) for users in everyone], [
            [None if users is None else len(users) for users in row] for row in rows
        ]


def utc(text: str) -> datetime:
    """A moment such as 2024-12-30 or 2024-12-30T23:59, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def end_of(day: date) -> datetime:
    """The last moment of a day."""
    return datetime.combine(day, time.max, timezone.utc)
