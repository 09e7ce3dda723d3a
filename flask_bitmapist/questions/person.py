"""People: what one user did, and on which days."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import NamedTuple, TypedDict

from ..analysis.errors import Text, printable
from ..analysis.expressions import Source
from ..analysis.periods import Period, TimeGroup
from ..analysis.results import Table, User, to_text
from .asking import Ask
from .declare import Answer, AnswerDict, RangeQuestion, param, told_day
from .who import period_words

GROUPS = (TimeGroup.DAYS, TimeGroup.WEEKS, TimeGroup.MONTHS, TimeGroup.YEARS)
"""The lengths of the periods of which it is told whether the user was active."""

MOST_DAYS = 3660
"""Most days up to one that are looked at."""

USUAL_DAYS = 365
"""How many there are by default."""


class EventDict(TypedDict):
    """What a user did of one event."""

    days: list[str]
    active: dict[str, bool | None]


class PersonDict(AnswerDict):
    """The JSON of what one user did."""

    user_id: User
    num_days: int
    first_day: str | None
    last_day: str | None
    periods: dict[str, str]
    complete: dict[str, bool]
    active: dict[str, bool | None]
    events: dict[str, EventDict]
    flags: list[str]


class Day(NamedTuple):
    """A day of the calendar."""

    day: Period
    events: tuple[str, ...]
    """What the user did on it, by name."""


@dataclass(frozen=True)
class PersonAnswer(Answer):
    """What one user did."""

    user: User
    """The user, as the app knows them."""
    days: tuple[Period, ...] = field(repr=False)
    """The days that are looked at, oldest first."""
    periods: dict[TimeGroup, Period] = field(repr=False)
    """The day, week, month and year that contain the day asked about."""
    active_days: dict[str, tuple[Period, ...]]
    """The days on which the user did it, by event, oldest first.  Events that the user
    never did on these days are left out."""
    current: dict[str, tuple[TimeGroup, ...]]
    """In which of the day, week, month and year it was done, by event."""
    unkept: dict[str, tuple[TimeGroup, ...]]
    """Which of them are not kept, by event, where there are any."""
    flags: tuple[str, ...]
    """The flags that the user carries."""

    @property
    def complete(self) -> dict[TimeGroup, bool]:
        """Whether the day, week, month and year have ended."""
        return dict(zip(self.periods, self.ask.complete(self.periods.values())))

    @property
    def all_days(self) -> tuple[Period, ...]:
        """The days on which the user did anything, oldest first."""
        return tuple(sorted({d for days in self.active_days.values() for d in days}))

    @property
    def most_events(self) -> int:
        """How many different events were done on the day with most of them."""
        days = Counter(d for days in self.active_days.values() for d in days)
        return max(days.values(), default=0)

    def is_active(self, group: TimeGroup, event: str | None = None) -> bool | None:
        """Return whether the user did something in the current period of *group*.

        Args:
            group: The period's length.
            event: What; anything by default.

        Returns:
            None if the user did not as far as it is kept, and not all of it is.
        """
        events = self.current if event is None else [event]
        if any(group in self.current.get(each, ()) for each in events):
            return True
        is_lost = any(group in self.unkept.get(each, ()) for each in events)
        return None if is_lost else False

    def weeks(self) -> Iterator[tuple[Period, list[Day | None]]]:
        """Yield the weeks, each with its seven days; None for days not looked at."""
        events: dict[Period, list[str]] = {}
        for event, days in self.active_days.items():
            for day in days:
                events.setdefault(day, []).append(event)
        asked = set(self.days)
        week = self.ask.as_of.calendar.period(TimeGroup.WEEKS, self.days[0].start)
        while week.start <= self.days[-1].start:
            days = tuple(
                Period(TimeGroup.DAYS, week.start + timedelta(days=each))
                for each in range(7)
            )
            yield (
                week,
                [
                    Day(day, tuple(sorted(events.get(day, ()))))
                    if day in asked
                    else None
                    for day in days
                ],
            )
            week = week.shift(1)

    def notes(self) -> tuple[Text, ...]:
        days = self.all_days
        if not days:
            return ()
        return (self._last_seen(days[-1]), self._first_seen(days))

    def _last_seen(self, last: Period) -> Text:
        day = last.start.date()
        if not self.ask.as_of.is_today:
            return Text("Last seen %(day)s.", day=day)
        ago = (self.ask.as_of.day - day).days
        if ago == 0:
            return Text("Last seen today.")
        if ago == 1:
            return Text("Last seen yesterday, %(day)s.", day=day)
        return Text("Last seen %(days)s days ago, %(day)s.", days=ago, day=day)

    def _first_seen(self, days: Sequence[Period]) -> Text:
        if len(days) == 1:
            return Text("Active on one day since %(day)s.", day=self._since)
        return Text(
            "First seen %(first)s; active on %(days)s days since %(day)s.",
            first=days[0].start.date(),
            days=len(days),
            day=self._since,
        )

    @property
    def _since(self) -> object:
        return self.days[0].start.date()

    def told_periods(self) -> tuple[Period, ...]:
        return tuple(self.periods.values())

    def to_dict(self) -> PersonDict:
        days = self.all_days
        return {
            **self.head(),
            "user_id": self.user,
            "num_days": len(self.days),
            "first_day": days[0].label if days else None,
            "last_day": days[-1].label if days else None,
            "periods": {g.singular: each.label for g, each in self.periods.items()},
            "complete": {g.singular: ended for g, ended in self.complete.items()},
            "active": {group.singular: self.is_active(group) for group in GROUPS},
            "events": {
                event: {
                    "days": [day.label for day in days],
                    "active": {
                        group.singular: self.is_active(group, event) for group in GROUPS
                    },
                }
                for event, days in self.active_days.items()
            },
            "flags": list(self.flags),
        }

    def table(self) -> Table:
        rows = [
            [day.label, event]
            for event, days in self.active_days.items()
            for day in days
        ]
        return Table(["day", "event"], sorted(rows))

    def __str__(self) -> str:
        names = [period_words(self.ask, period) for period in self.periods.values()]
        width = max(map(len, names))
        words = {True: "yes", False: "no", None: "-"}
        active = [words[self.is_active(group)] for group in self.periods]
        lines = [f"{name:{width}}  {each}" for name, each in zip(names, active)]
        if self.flags:
            flags = ", ".join(map(printable, self.flags))
            lines.append(f"{'flags':{width}}  {flags}")
        if self.active_days:
            lines += ["", to_text(self.table())]
        return "\n".join(lines)


class Person(RangeQuestion[PersonAnswer]):
    """What did this user do, and on which days?"""

    title = Text("People")
    endpoint = "people"
    icon = "fa-user"
    template = "flask_bitmapist/people.html"
    is_private = True
    is_of_one = True

    user: User = param(
        Text("User ID"), kw_only=False, help=Text("The user's ID, as it was tracked.")
    )
    num_days: int = param(
        Text("Days"),
        default=USUAL_DAYS,
        most=MOST_DAYS,
        short="n",
        help=Text("Number of days, up to today."),
    )

    def check_range(self, first: date, last: date | None) -> dict[str, Text]:
        if self.num_days == USUAL_DAYS:
            return {}
        return {"num_days": Text("Give either a number of days or a range of days.")}

    def sentence(self) -> Text:
        user, days = str(self.user), self.num_days
        if self.since is not None:
            return self.when(Text("Activity of user %(user)s", user=user))
        if self.as_of is not None:
            day = told_day(self.as_of)
            if days == 1:
                return Text("Activity of user %(user)s on %(day)s", user=user, day=day)
            return Text(
                "Activity of user %(user)s in the %(days)s days to %(day)s",
                user=user,
                days=days,
                day=day,
            )
        if days == 1:
            return Text("Activity of user %(user)s today", user=user)
        return Text(
            "Activity of user %(user)s in the last %(days)s days", user=user, days=days
        )

    def answer(self, ask: Ask) -> PersonAnswer:
        days = self._days(ask)
        periods = {group: ask.period(group) for group in GROUPS}
        bit = ask.bit_of(self.user)
        seen = _Seen(ask, bit)
        events = ask.names.events()
        current = seen.among(events, list(periods.values()))
        unkept = ask.unkept_sources(
            Source(event, each)
            for event in events
            for each in (*periods.values(), days[0])
        )
        answer = PersonAnswer(
            ask=ask,
            user=ask.known_as(self.user, bit),
            days=days,
            periods=periods,
            active_days=seen.days(events, days),
            current={
                event: tuple(
                    g for g, each in periods.items() if (event, each) in current
                )
                for event in events
            },
            unkept={
                event: lost
                for event in events
                if (
                    lost := tuple(
                        g
                        for g, each in periods.items()
                        if Source(event, each) in unkept
                    )
                )
            },
            flags=seen.flags(ask.names.flags()),
        )
        if bit is not None and not answer.active_days and not answer.flags:
            ask.warnings.append(
                Text(
                    "No activity recorded for this user since %(day)s.",
                    day=days[0].start.date(),
                )
            )
        return answer

    def _days(self, ask: Ask) -> tuple[Period, ...]:
        if self.first_day is None:
            return ask.periods("days", self.num_days)
        calendar = ask.as_of.calendar
        asked = ask.days_between(self.first_day, self.last_day)
        return tuple(day for day in asked.days() if not calendar.leaves_out(day))


class _Seen:
    """Looks at the bits of one user alone."""

    def __init__(self, ask: Ask, bit: int | None) -> None:
        self._bitmaps = ask.bitmaps
        self._bit = bit

    def among(
        self, events: Sequence[str], periods: Sequence[Period]
    ) -> set[tuple[str, Period | None]]:
        """Return the events that the user did, each with its period."""
        return self._held([Source(event, each) for event in events for each in periods])

    def flags(self, flags: Sequence[str]) -> tuple[str, ...]:
        """Return the flags that the user carries."""
        held = self._held([Source(flag, None) for flag in flags])
        return tuple(flag for flag in flags if (flag, None) in held)

    def days(
        self, events: Sequence[str], days: Sequence[Period]
    ) -> dict[str, tuple[Period, ...]]:
        """Return the days on which the user did each event, where there are any.

        Days are looked at only in months with anything in them.
        """
        months = {day: Period.containing(TimeGroup.MONTHS, day.start) for day in days}
        active = self.among(events, list(dict.fromkeys(months.values())))
        held = self._held(
            [
                Source(event, day)
                for event in events
                for day, month in months.items()
                if (event, month) in active
            ]
        )
        found = {
            event: tuple(day for day in days if (event, day) in held)
            for event in events
        }
        return {event: each for event, each in found.items() if each}

    def _held(self, sources: Sequence[Source]) -> set[tuple[str, Period | None]]:
        if self._bit is None or not sources:
            return set()
        bits = self._bitmaps.contains(sources, self._bit)
        return {source for source, bit in zip(sources, bits) if bit}
