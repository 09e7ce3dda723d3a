"""The users for whom an expression holds in a period, as a set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set

from ..analysis.bitmaps import Bitmaps, Source, count_bits, user_ids
from ..analysis.expressions import Event, Expression
from ..analysis.periods import Period
from .keys import redis_key


class UserSet(Set[int]):
    """The ids of the users for whom an expression holds in a period.

    Each look is a fresh read of Redis.  Ids are iterated in ascending order, without
    holding all of them at once.  The operators of a set (``&``, ``|``, ``-``, ``<=``,
    ``==``) work with any other set and give plain Python sets.

    Args:
        bitmaps: Where the bitmaps come from.
        expression: Who counts; bounded.
        period: When.
    """

    def __init__(
        self, bitmaps: Bitmaps, expression: Expression, period: Period
    ) -> None:
        self._bitmaps = bitmaps
        self.expression = expression
        self.period = period
        self._sources = list(dict.fromkeys(expression.sources(period)))

    @classmethod
    def _from_iterable(cls, it: Iterable[int]) -> set[int]:  # type: ignore[override]
        return set(it)

    @property
    def redis_key(self) -> str:
        """The key of the bitmap, which lets bitmapist's own operations take this.

        Raises:
            AttributeError: Several bitmaps make up this set, so it has no key.
        """
        if not isinstance(self.expression, Event) or len(self.period.parts()) > 1:
            raise AttributeError("a set made of several bitmaps has no key in Redis")
        return redis_key(Source(self.expression.name, self.period)).decode()

    def __len__(self) -> int:
        if isinstance(self.expression, Event):
            return self._bitmaps.counts(self._sources)[0]
        return sum(
            count_bits(self.expression.evaluate(stripe, self.period))
            for stripe in self._bitmaps.stripes(self._sources)
        )

    def __iter__(self) -> Iterator[int]:
        for stripe in self._bitmaps.stripes(self._sources):
            words = self.expression.evaluate(stripe, self.period)
            yield from user_ids(words, stripe.first_id).tolist()

    def __contains__(self, user_id: object) -> bool:
        if not isinstance(user_id, int) or not 0 <= user_id < 2**32:
            return False
        held = self._bitmaps.contains(self._sources, user_id)
        return self.expression.holds(dict(zip(self._sources, held)), self.period)

    def __repr__(self) -> str:
        return f"<UserSet {str(self.expression)!r} in {self.period.label}>"
