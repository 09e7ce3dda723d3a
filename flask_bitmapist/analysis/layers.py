"""Bitmaps made of other bitmaps, one layer over the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from .bitmaps import Bitmaps, Stripe
from .counting import count_bits
from .expressions import Cut, Source
from .periods import AsOf


class Over:
    """Bitmaps made of others: what such bitmaps have in common with these.

    Args:
        bitmaps: Where those come from.
    """

    def __init__(self, bitmaps: Bitmaps) -> None:
        self._bitmaps = bitmaps

    def stripes(self, sources: Sequence[Source], passes: int = 0) -> Iterator[Stripe]:
        """Yield the bitmaps stripe by stripe, see :meth:`Bitmaps.stripes`."""
        raise NotImplementedError

    def counts(self, sources: Sequence[Source]) -> list[int]:
        """Return the number of users of each of *sources*."""
        totals = dict.fromkeys(sources, 0)
        for stripe in self.stripes(tuple(totals)) if totals else ():
            for source in totals:
                totals[source] += count_bits(stripe.words(source))
        return [totals[source] for source in sources]

    def years(self, events: Sequence[str], until: int) -> dict[str, list[int]]:
        """Return the years in which anybody may have done each event."""
        return self._bitmaps.years(events, until)

    def exist(self, sources: Sequence[Source]) -> list[bool]:
        """Return for each of *sources* whether there is a bitmap, whoever is in it."""
        return self._bitmaps.exist(sources)

    def contains(self, sources: Sequence[Source], user_id: int) -> list[bool]:
        """Return for each of *sources* whether *user_id* is in it."""
        return self._bitmaps.contains(sources, user_id)

    def stored(self, sources: Sequence[Source]) -> list[tuple[Source, ...]]:
        """Return the stored bitmaps that are read for each of *sources*."""
        return self._bitmaps.stored(sources)

    # What is kept of an event depends neither on who did it nor on as of when.

    def cuts(self, events: Sequence[str], fresh: bool = False) -> dict[str, Cut]:
        """Return what of the past of *events* was deleted."""
        return self._bitmaps.cuts(events, fresh)

    def have_parts(self, sources: Sequence[Source]) -> list[bool | None]:
        """Return whether months have days, and days hours, whoever is in them."""
        return self._bitmaps.have_parts(sources)

    def first_days(self, events: Sequence[str], as_of: AsOf) -> dict[str, date]:
        """Return the first day that is kept of each of *events*."""
        return self._bitmaps.first_days(events, as_of)
