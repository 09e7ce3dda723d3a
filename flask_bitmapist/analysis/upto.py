"""Bitmaps as of a moment: nothing after its hour counts, where hours are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import chain, islice

import numpy as np

from .bitmaps import Bitmaps, Rows, Stripe
from .expressions import Source, smaller
from .kept import unkept_sources
from .layers import Over
from .periods import Period, TimeGroup

_MONTH = timedelta(days=31)


class UpTo(Over):
    """Bitmaps in which nothing is that was done after some hour.

    Whatever reaches beyond the hour is made of what does not: a month of its days, the
    hour's day of its hours.  All of that day counts where its hours are not kept.
    Questions need not know: they ask for the same bitmaps.

    Args:
        bitmaps: Where the bitmaps come from.
        hour: The last hour that counts.
    """

    def __init__(self, bitmaps: Bitmaps, hour: Period) -> None:
        super().__init__(bitmaps)
        self._hour = hour
        self._end = hour.end
        self._day = Period.containing(TimeGroup.DAYS, hour.start)
        self._by_hours: dict[str, bool] = {}

    def stripes(self, sources: Sequence[Source], passes: int = 0) -> Iterator[Stripe]:
        """Yield the bitmaps stripe by stripe, see :meth:`Bitmaps.stripes`."""
        if not any(map(self._is_cut, sources)):
            yield from self._bitmaps.stripes(sources, passes)
            return
        rows = Rows(dict.fromkeys(part for each in sources for part in each.parts()))
        instead = self.stored(rows.stored)
        read = tuple(dict.fromkeys(chain.from_iterable(instead)))
        for stripe in self._bitmaps.stripes(read, passes + len(read)):
            matrix = np.stack([stripe.union(some) for some in instead])
            yield Stripe(stripe.first_id, matrix, rows)

    def counts(self, sources: Sequence[Source]) -> list[int]:
        """Return the number of users of each of *sources*."""
        whole = [each for each in dict.fromkeys(sources) if not self._is_cut(each)]
        totals = dict(zip(whole, self._bitmaps.counts(whole) if whole else ()))
        cut = [each for each in dict.fromkeys(sources) if each not in totals]
        totals.update(zip(cut, super().counts(cut)))
        return [totals[source] for source in sources]

    def exist(self, sources: Sequence[Source]) -> list[bool]:
        """Return for each of *sources*, all stored ones, whether there is a bitmap."""
        return self._any(self._bitmaps.exist, sources)

    def contains(self, sources: Sequence[Source], user_id: int) -> list[bool]:
        """Return for each of *sources* whether *user_id* is in it."""
        return self._any(lambda some: self._bitmaps.contains(some, user_id), sources)

    def stored(self, sources: Sequence[Source]) -> list[tuple[Source, ...]]:
        """Return the stored bitmaps that are read for each of *sources*."""
        found = self._bitmaps.stored(sources)
        self._look(part for parts in found for part in parts if self._is_cut(part))
        return [
            tuple(chain.from_iterable(map(self._narrowed, parts))) for parts in found
        ]

    def within(self, most_work: int) -> UpTo:
        """Return the same bitmaps, for so many bytes of work at most."""
        return UpTo(self._bitmaps.within(most_work), self._hour)

    def _any(
        self, ask: Callable[[Sequence[Source]], list[bool]], sources: Sequence[Source]
    ) -> list[bool]:
        """Ask of the bitmaps of which *sources* are made: is it so of any of each?"""
        made_of = self.stored(sources)
        every = list(chain.from_iterable(made_of))
        found = iter(ask(every) if every else ())
        return [any(list(islice(found, len(some)))) for some in made_of]

    def _is_cut(self, source: Source) -> bool:
        """Return whether a bitmap that one is made of goes on after the hour."""
        return any(map(self._goes_on, source.parts()))

    def _goes_on(self, stored: Source) -> bool:
        """Return whether a stored bitmap goes on after the hour; flags have no date."""
        period = stored.period
        # Windows are made of thousands; no stored one is longer than a month.
        if period is None or self._end - period.start > _MONTH:
            return False
        return period.end > self._end

    def _look(self, cut: Iterable[Source]) -> None:
        """Find of which events the hours of the day are kept."""
        events = {source.event for source in cut} - self._by_hours.keys()
        if events:
            hours = [Source(event, self._hour) for event in sorted(events)]
            unkept = unkept_sources(hours, self._bitmaps)
            for hour in hours:
                self._by_hours[hour.event] = hour not in unkept

    def _narrowed(self, stored: Source) -> tuple[Source, ...]:
        """Return the bitmaps that are read in place of a stored one."""
        period = stored.period
        if period is None or not self._goes_on(stored):
            return (stored,)
        last = self._hour if self._by_hours[stored.event] else self._day
        if period.end <= last.end:
            return (stored,)
        if period.start >= last.end:
            return ()
        return tuple(chain.from_iterable(map(self._narrowed, smaller(stored))))
