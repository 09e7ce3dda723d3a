"""Many events as one: the users of any of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import islice

import numpy as np

from .bitmaps import Bitmaps, Rows, Stripe, Words
from .expressions import Source
from .layers import Over
from .periods import AsOf

BITMAPS_AT_ONCE = 128
"""Bitmaps of events that are read side by side: the more, the fewer round trips, and
the shorter the piece of each."""

MOST_KEPT = 32 * 1024 * 1024
"""Bytes of united bitmaps that are kept for the next question of the same page."""


class United(Over):
    """Bitmaps in which one name stands for the users of any of several events.

    An ``or`` of a hundred events over two months is of thousands of bitmaps, too many
    to have side by side.  Here those of a period are united first, a few periods at a
    time, so that a question gets one bitmap for each period, as of a single event.

    Args:
        bitmaps: Where the bitmaps of the events come from.
        name: What they are called together; an event of that name is not seen.
        events: The events.
    """

    def __init__(self, bitmaps: Bitmaps, name: str, events: Sequence[str]) -> None:
        super().__init__(bitmaps)
        self._name = name
        self._events = tuple(events)
        self._kept: dict[Source, list[Words]] = {}
        self._room = MOST_KEPT

    def stripes(self, sources: Sequence[Source], passes: int = 0) -> Iterator[Stripe]:
        """Yield the united bitmaps stripe by stripe, see :meth:`Bitmaps.stripes`."""
        stored = dict.fromkeys(part for each in sources for part in each.parts())
        rows = Rows(sorted(stored, key=self._kept.__contains__))
        new = [part for part in rows.stored if part not in self._kept]
        at_once = max(1, BITMAPS_AT_ONCE // len(self._events))
        lanes = [
            _Lane(self._read(some, passes // len(new)), len(some))
            for some in (new[at : at + at_once] for at in range(0, len(new), at_once))
        ]
        for part in rows.stored[len(new) :]:
            pieces = (words[np.newaxis] for words in self._kept[part])
            lanes.append(_Lane(pieces, 1))
        first = 0
        while width := min(filter(None, [lane.ahead() for lane in lanes]), default=0):
            matrix = np.concatenate([lane.take(width) for lane in lanes])
            yield Stripe(first * 64, matrix, rows)
            first += width

    def _read(self, united: Sequence[Source], passes: int) -> Iterator[Words]:
        """Yield some united bitmaps piece by piece, a row each; keep them, if short."""
        parts = [self._parts(source) for source in united]
        every = [source for several in parts for source in several]
        pieces: dict[Source, list[Words]] = {source: [] for source in united}
        for stripe in self._bitmaps.stripes(every, len(every) + passes):
            matrix = np.stack([stripe.union(several) for several in parts])
            self._room -= matrix.nbytes
            if self._room < 0:
                pieces.clear()
            for kept, words in zip(pieces.values(), matrix):
                kept.append(words)
            yield matrix
        self._kept.update(pieces)

    def years(self, events: Sequence[str], until: int) -> dict[str, list[int]]:
        """Return the years in which there is a bitmap of a month of each event."""
        named = {event: self._named(event) for event in events}
        every = dict.fromkeys(name for names in named.values() for name in names)
        found = self._bitmaps.years(tuple(every), until)
        return {
            event: sorted({year for name in names for year in found[name]})
            for event, names in named.items()
        }

    def exist(self, sources: Sequence[Source]) -> list[bool]:
        """Return for each of *sources*, all stored ones, whether there is a bitmap."""
        return [any(self._bitmaps.exist(self._parts(source))) for source in sources]

    def stored(self, sources: Sequence[Source]) -> list[tuple[Source, ...]]:
        """Return the stored bitmaps, of the events, read for each of *sources*."""
        parts = [self._parts(source) for source in sources]
        found = iter(self._bitmaps.stored([each for some in parts for each in some]))
        return [
            tuple(each for stored in islice(found, len(some)) for each in stored)
            for some in parts
        ]

    def first_days(self, events: Sequence[str], as_of: AsOf) -> dict[str, date]:
        """Return the first day that is kept of any of the events for which each name
        stands."""
        found: dict[str, date] = {}
        for event in events:
            days = self._bitmaps.first_days(self._named(event), as_of).values()
            if days:
                found[event] = min(days)
        return found

    def contains(self, sources: Sequence[Source], user_id: int) -> list[bool]:
        """Return for each of *sources* whether *user_id* is in it."""
        return [
            any(self._bitmaps.contains(self._parts(source), user_id))
            for source in sources
        ]

    def within(self, most_work: int) -> United:
        """Return the same bitmaps, for so many bytes of work at most."""
        return United(self._bitmaps.within(most_work), self._name, self._events)

    def _named(self, event: str) -> tuple[str, ...]:
        return self._events if event == self._name else (event,)

    def _parts(self, source: Source) -> list[Source]:
        if source.period is None:
            return [source]
        return [Source(event, source.period) for event in self._named(source.event)]


class _Lane:
    """Some united bitmaps that are read together, to be had piece by piece.

    Args:
        pieces: Where they come from, in the order of user ids, a row each.
        rows: How many they are.
    """

    def __init__(self, pieces: Iterator[Words], rows: int) -> None:
        self._pieces = pieces
        self._words: Words = np.zeros((rows, 0), dtype=np.uint64)

    def ahead(self) -> int:
        """Return how many words of each are at hand, 0 at the end."""
        if not self._words.shape[1]:
            self._words = next(self._pieces, self._words)
        return int(self._words.shape[1])

    def take(self, width: int) -> Words:
        """Return the next *width* words of each, nobody where they have ended."""
        taken, self._words = self._words[:, :width], self._words[:, width:]
        missing = width - taken.shape[1]
        return np.pad(taken, ((0, 0), (0, missing))) if missing else taken
