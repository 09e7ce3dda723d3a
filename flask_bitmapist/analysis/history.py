"""Who did something before: the past of an expression, as far back as it goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from functools import lru_cache, reduce

import numpy as np

from .bitmaps import Bitmaps, Source, Stripe, Words
from .errors import QueryError
from .expressions import Expression
from .periods import Period, TimeGroup, shorten

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
"""The past begins here: nothing older is looked for."""

MOST_PERIODS = 20_000
"""Most periods of its own that the past of one expression may have."""


class History:
    """The users for whom an expression held at any time before a period.

    Args:
        expression: Who counts.
        before: The first period that is not past.
        bitmaps: Where the bitmaps come from.  It is asked at once from which month
            on there is anything to read.
    """

    def __init__(
        self, expression: Expression, before: Period, bitmaps: Bitmaps
    ) -> None:
        self._expression = expression
        self.periods = tuple(_past(expression, before, bitmaps))

    def sources(self) -> Iterator[Source]:
        """Yield the bitmaps that tell the past."""
        for period in self.periods:
            yield from self._expression.sources(period)

    def users(self, stripe: Stripe) -> Words:
        """Return the users of the past in *stripe*, as an array of its own."""
        past = (self._expression.evaluate(stripe, each) for each in self.periods)
        return reduce(np.bitwise_or, past, np.zeros(stripe.width, dtype=np.uint64))


def _past(expression: Expression, before: Period, bitmaps: Bitmaps) -> Iterator[Period]:
    first = _first_month(tuple(dict.fromkeys(expression.events())), before, bitmaps)
    if first is None:
        return
    if expression.spreads:
        # The fewest bitmaps: whole months, then the days of the month, then hours.
        yield from _span(TimeGroup.MONTHS, first.start, before.start)
        yield from _rest(TimeGroup.MONTHS, TimeGroup.DAYS, before.start)
        yield from _rest(TimeGroup.DAYS, TimeGroup.HOURS, before.start)
        return
    for number, period in enumerate(_span(before.group, first.start, before.start)):
        if number == MOST_PERIODS:
            raise QueryError(
                f"{shorten(expression)!r} would have to be looked at in each of more "
                f"than {MOST_PERIODS:,} past {before.group.value}; take a longer "
                "period, or an expression of one event"
            )
        yield period


def _first_month(
    events: Sequence[str], before: Period, bitmaps: Bitmaps
) -> Period | None:
    """Return the first month in which there is a bitmap of any of *events*."""
    until = Period.containing(TimeGroup.MONTHS, before.start).shift(1).start
    months = _months_until(until)
    sources = [Source(event, month) for month in months for event in events]
    present = bitmaps.exist(sources)
    return next(
        (source.period for source, there in zip(sources, present) if there), None
    )


@lru_cache(maxsize=64)
def _months_until(end: datetime) -> tuple[Period, ...]:
    return tuple(_span(TimeGroup.MONTHS, EPOCH, end))


def _rest(larger: TimeGroup, smaller: TimeGroup, end: datetime) -> Iterator[Period]:
    """Yield the *smaller* periods before *end* in the *larger* one that contains it."""
    return _span(smaller, Period.containing(larger, end).start, end)


def _span(group: TimeGroup, start: datetime, end: datetime) -> Iterator[Period]:
    """Yield the periods of *group* that end no later than *end*."""
    period = Period.containing(group, start)
    while period.end <= end:
        yield period
        period = period.shift(1)
