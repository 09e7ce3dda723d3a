"""Who counts: events, flags, and what AND, OR and NOT make of them.

An expression is asked of a period: ``Event("a") & ~Event("b")`` in a week means
the users who did a, and did not do b, in that week.  A flag has no date and
means the same users in every period.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING, NamedTuple

from .errors import QueryError, Text
from .periods import Period, TimeGroup, kept_while_few, shorten

if TYPE_CHECKING:
    from .bitmaps import Stripe, Words
    from .windows import Past


SEEN_BEFORE = Period.containing(TimeGroup.DAYS, date.min)._replace(last_day=date.min)
"""Stands for all periods of an event that were deleted: who was there is kept in one
bitmap, when is not.  No period of the calendar equals it."""


class Cut(NamedTuple):
    """What of an event's past was deleted."""

    before: date
    """Periods that ended before this day are deleted."""
    unseen: date | None = None
    """Of who did it before this day nothing at all is kept; None where all that were
    there are known."""


class Source(NamedTuple):
    """One bitmap: the users of an event in a period, or a flag without a date."""

    event: str
    period: Period | None
    """None for a unique event (a flag), which has no date; :data:`SEEN_BEFORE` for
    those who did it at a time that was deleted."""

    def parts(self) -> tuple[Source, ...]:
        """Return the stored bitmaps of which this one is the union."""
        period = self.period
        if period is None or period.is_stored:
            return (self,)
        if period == SEEN_BEFORE:
            return (self,)
        return tuple(Source(self.event, part) for part in period.parts())


def smaller(source: Source) -> list[Source]:
    """Return the days of a month, or the hours of a day, of the same event."""
    period = source.period
    assert period is not None
    if period.group is not TimeGroup.DAYS:
        return [Source(source.event, day) for day in period.days()]
    return [
        Source(source.event, Period(TimeGroup.HOURS, period.start.replace(hour=hour)))
        for hour in range(24)
    ]


@kept_while_few(lambda event, periods: len(periods))
def sources_of(event: str, periods: tuple[Period, ...]) -> tuple[Source, ...]:
    """Return the bitmaps of an event in each of *periods*."""
    return tuple([Source(event, period) for period in periods])


class Expression:
    """A set of users that depends on the period.  Combine with ``&``, ``|``, ``~``."""

    __slots__ = ()

    def __and__(self, other: Expression) -> Expression:
        return And((self, other))

    def __or__(self, other: Expression) -> Expression:
        return Or((self, other))

    def __invert__(self) -> Expression:
        return Not(self)

    @property
    def bounded(self) -> bool:
        """Whether the expression says by itself among whom it looks.

        ``~Event("a")`` does not: everyone who never came here did not do a.
        """
        return True

    @property
    def dated(self) -> bool:
        """Whether the answer depends on the period."""
        return True

    @property
    def spreads(self) -> bool:
        """Whether holding in a period is the same as holding in any part of it.

        It is for an event: who did it in March did it on some day of March.  It is
        not for ``a & b``, which may be done on different days of March.
        """
        return True

    @property
    def lasts(self) -> bool:
        """Whether it holds from then on for whom it has once held, as a flag does."""
        return False

    def bound(self, past: Past) -> Expression:
        """Return the same expression, whose windows know what they look back at.

        Only such a one can be evaluated where there are windows in it.

        Args:
            past: What windows know of the answer that they are in.
        """
        return self

    def sources(self, period: Period) -> Iterator[Source]:
        """Yield the bitmaps that answer this expression for *period*."""
        for union in self.unions(period):
            yield from union

    def unions(self, period: Period) -> Iterator[tuple[Source, ...]]:
        """Yield the same bitmaps in tuples, of each of which the union is taken."""
        raise NotImplementedError

    def evaluate(self, stripe: Stripe, period: Period) -> Words:
        """Return the users of *period* in *stripe*, not to be written to.

        An expression that is not bounded gives a complement within the stripe:
        intersect it with a bounded one before counting.
        """
        raise NotImplementedError

    def leaves(self) -> Iterator[Event | Flag]:
        """Yield the events and flags that are mentioned."""
        raise NotImplementedError

    def events(self) -> Iterator[str]:
        """Yield the names of the events and flags that are mentioned."""
        return (leaf.name for leaf in self.leaves())

    def bare(self) -> Iterator[Event]:
        """Yield the events of which the expression does not say when they happened."""
        return iter(())

    def endless(self) -> Iterator[Expression]:
        """Yield the windows that look back at all that ever was."""
        return iter(())

    def _nested(self) -> str:
        """Text of the expression as an operand of another."""
        return str(self)


@dataclass(frozen=True)
class Event(Expression):
    """The users who did something in the period.

    Args:
        name: The event's name, as it is marked.
    """

    name: str

    def unions(self, period: Period) -> Iterator[tuple[Source, ...]]:
        yield (Source(self.name, period),)

    def evaluate(self, stripe: Stripe, period: Period) -> Words:
        return stripe.words(Source(self.name, period))

    def leaves(self) -> Iterator[Event | Flag]:
        yield self

    def bare(self) -> Iterator[Event]:
        yield self

    def __str__(self) -> str:
        return quote(self.name)


@dataclass(frozen=True)
class Flag(Expression):
    """The users who carry a unique event, whatever the period.

    Args:
        name: The unique event's name, as given to ``mark_unique``.
    """

    name: str

    @property
    def dated(self) -> bool:
        return False

    @property
    def lasts(self) -> bool:
        return True

    def unions(self, period: Period) -> Iterator[tuple[Source, ...]]:
        yield (Source(self.name, None),)

    def evaluate(self, stripe: Stripe, period: Period) -> Words:
        return stripe.words(Source(self.name, None))

    def leaves(self) -> Iterator[Event | Flag]:
        yield self

    def __str__(self) -> str:
        return f"flag({quote(self.name)})"


@dataclass(frozen=True)
class _Operation(Expression):
    operands: tuple[Expression, ...]

    word = ""

    def __post_init__(self) -> None:
        # a & b & c is one operation of three, however it was put together.
        flat: list[Expression] = []
        for operand in self.operands:
            flat.extend(
                operand.operands
                if isinstance(operand, type(self)) and isinstance(operand, _Operation)
                else (operand,)
            )
        object.__setattr__(self, "operands", tuple(flat))

    @property
    def dated(self) -> bool:
        return any(operand.dated for operand in self.operands)

    @property
    def lasts(self) -> bool:
        return all(operand.lasts for operand in self.operands)

    def bound(self, past: Past) -> Expression:
        return type(self)(tuple(operand.bound(past) for operand in self.operands))

    def unions(self, period: Period) -> Iterator[tuple[Source, ...]]:
        for operand in self.operands:
            yield from operand.unions(period)

    def leaves(self) -> Iterator[Event | Flag]:
        for operand in self.operands:
            yield from operand.leaves()

    def bare(self) -> Iterator[Event]:
        for operand in self.operands:
            yield from operand.bare()

    def endless(self) -> Iterator[Expression]:
        for operand in self.operands:
            yield from operand.endless()

    def __str__(self) -> str:
        return f" {self.word} ".join(operand._nested() for operand in self.operands)

    def _nested(self) -> str:
        return f"({self})"


@dataclass(frozen=True)
class And(_Operation):
    """The users for whom every operand holds."""

    word = "and"

    @property
    def bounded(self) -> bool:
        return any(operand.bounded for operand in self.operands)

    @property
    def spreads(self) -> bool:
        return all(operand.spreads for operand in self.operands) and (
            sum(operand.dated for operand in self.operands) <= 1
        )

    def evaluate(self, stripe: Stripe, period: Period) -> Words:
        return reduce(and_, (each.evaluate(stripe, period) for each in self.operands))


@dataclass(frozen=True)
class Or(_Operation):
    """The users for whom at least one operand holds."""

    word = "or"

    @property
    def bounded(self) -> bool:
        return all(operand.bounded for operand in self.operands)

    @property
    def spreads(self) -> bool:
        return all(operand.spreads for operand in self.operands)

    def evaluate(self, stripe: Stripe, period: Period) -> Words:
        return reduce(or_, (each.evaluate(stripe, period) for each in self.operands))


@dataclass(frozen=True)
class Not(Expression):
    """The users for whom the operand does not hold.

    Args:
        operand: What must not hold.
        within: Among whom to look.  May be left out where the surroundings say it,
            as in ``Event("a") & ~Event("b")``.
    """

    operand: Expression
    within: Expression | None = None

    @property
    def bounded(self) -> bool:
        return self.within is not None and self.within.bounded

    @property
    def dated(self) -> bool:
        within_dated = self.within is not None and self.within.dated
        return self.operand.dated or within_dated

    @property
    def spreads(self) -> bool:
        return not self.operand.dated and (self.within is None or self.within.spreads)

    @property
    def lasts(self) -> bool:
        return not self.operand.dated and (self.within is None or self.within.lasts)

    def bound(self, past: Past) -> Expression:
        within = None if self.within is None else self.within.bound(past)
        return Not(self.operand.bound(past), within)

    def unions(self, period: Period) -> Iterator[tuple[Source, ...]]:
        yield from self.operand.unions(period)
        if self.within is not None:
            yield from self.within.unions(period)

    def evaluate(self, stripe: Stripe, period: Period) -> Words:
        others = ~self.operand.evaluate(stripe, period)
        if self.within is None:
            return others
        return others & self.within.evaluate(stripe, period)

    def leaves(self) -> Iterator[Event | Flag]:
        yield from self.operand.leaves()
        if self.within is not None:
            yield from self.within.leaves()

    def bare(self) -> Iterator[Event]:
        yield from self.operand.bare()
        if self.within is not None:
            yield from self.within.bare()

    def endless(self) -> Iterator[Expression]:
        yield from self.operand.endless()
        if self.within is not None:
            yield from self.within.endless()

    def __str__(self) -> str:
        text = f"not {_in_parentheses(self.operand)}"
        if self.within is None:
            return text
        return f"{text} within {_in_parentheses(self.within)}"

    def _nested(self) -> str:
        return str(self) if self.within is None else f"({self})"


def _in_parentheses(operand: Expression) -> str:
    compound = isinstance(operand, (_Operation, Not))
    return f"({operand})" if compound else str(operand)


@dataclass(frozen=True)
class Named(Expression):
    """An expression that the app has given a name of its own.

    Args:
        name: The name under which it stands beside the events.
        meaning: What it stands for.
    """

    name: str
    meaning: Expression

    @property
    def bounded(self) -> bool:
        return self.meaning.bounded

    @property
    def dated(self) -> bool:
        return self.meaning.dated

    @property
    def spreads(self) -> bool:
        return self.meaning.spreads

    @property
    def lasts(self) -> bool:
        return self.meaning.lasts

    def bound(self, past: Past) -> Expression:
        return Named(self.name, self.meaning.bound(past))

    def unions(self, period: Period) -> Iterator[tuple[Source, ...]]:
        return self.meaning.unions(period)

    def evaluate(self, stripe: Stripe, period: Period) -> Words:
        return self.meaning.evaluate(stripe, period)

    def leaves(self) -> Iterator[Event | Flag]:
        return self.meaning.leaves()

    def bare(self) -> Iterator[Event]:
        return self.meaning.bare()

    def endless(self) -> Iterator[Expression]:
        return self.meaning.endless()

    def __str__(self) -> str:
        return quote(self.name)


def as_expression(value: str | Expression) -> Expression:
    """Return *value* if it is an expression, else the event of that name.

    Raises:
        QueryError: *value* is neither, or an empty name.
    """
    if isinstance(value, Expression):
        return value
    if isinstance(value, str) and value:
        return Event(value)
    raise QueryError(
        Text(
            "%(given)s is neither the name of an event nor an expression",
            given=shorten(repr(value)),
        )
    )


def sources_over(
    expression: Expression, periods: tuple[Period, ...]
) -> Iterable[Source]:
    """Return the bitmaps that :func:`evaluate_each` needs, repeated ones too."""
    if isinstance(expression, Event):
        return sources_of(expression.name, periods)
    return (each for period in periods for each in expression.sources(period))


def evaluate_each(
    expression: Expression, periods: Sequence[Period], stripe: Stripe
) -> Words:
    """Return the users of each of *periods* in *stripe*, a row each.

    The result is not to be written to.
    """
    if isinstance(expression, Event):
        # The common case: rows that lie side by side are taken without a copy.
        return stripe.stack(sources_of(expression.name, tuple(periods)))
    return stripe.pile([expression.evaluate(stripe, period) for period in periods])


def require_bounded(expression: Expression, field: str) -> None:
    """Refuse an expression that would count everyone who never came here.

    Raises:
        QueryError: The expression is a NOT without a universe.
    """
    if not expression.bounded:
        raise QueryError(
            Text(
                "%(expression)s has nothing to exclude users from; write for "
                "example 'active and not paid' or 'not paid within active'",
                expression=repr(shorten(expression)),
            ),
            field=field,
        )


def chain(
    base: str | Expression,
    additional: Iterable[Mapping[str, str]],
    read: Callable[[str | Expression], Expression] = as_expression,
) -> Expression:
    """Chain additional events to a base event.

    An OR binds to its immediate predecessor alone: A and B or C and D is
    A and (B or C) and D.

    Args:
        base: The first event.
        additional: Mappings with ``name`` and ``op``, which is ``"and"`` or
            ``"or"``, in capitals too.  They are only read.
        read: Gives the expression for a name.

    Returns:
        One expression.

    Raises:
        QueryError: An entry has no name, or an op that is neither and nor or.

    Example:
        >>> print(chain("a", [{"name": "b", "op": "and"}, {"name": "c", "op": "or"}]))
        a and (b or c)
    """
    groups: list[list[Expression]] = [[read(base)]]
    for number, entry in enumerate(additional, start=1):
        if not isinstance(entry, Mapping) or not entry.get("name"):
            raise QueryError(
                f"additional event {number} needs a name", field="additional_events"
            )
        operator, term = entry.get("op"), read(entry["name"])
        word = operator.lower() if isinstance(operator, str) else operator
        if word == "and":
            groups.append([term])
        elif word == "or":
            groups[-1].append(term)
        else:
            raise QueryError(
                f"additional event {number} has the operator {shorten(operator)!r}; "
                "use 'and' or 'or'",
                field="additional_events",
            )
    return reduce(and_, (reduce(or_, group) for group in groups))


def meaning_of(expression: Expression) -> Expression:
    """Return what an expression stands for, where it is a name for another."""
    while isinstance(expression, Named):
        expression = expression.meaning
    return expression


def shown_name(expression: Expression) -> str:
    """Return an expression as text; one that has a name by just that.

    Example:
        >>> print(shown_name(Event("Order Completed")), Event("Order Completed"))
        Order Completed "Order Completed"
    """
    return expression.name if isinstance(expression, Event | Named) else str(expression)


_PLAIN_NAME = re.compile(r"[^\s()\"\\]+")
_KEYWORDS = frozenset({"and", "or", "not", "within", "flag"})


def is_plain_name(text: str) -> bool:
    """Return whether *text* can stand in an expression as a name, without quotes."""
    return bool(_PLAIN_NAME.fullmatch(text)) and text.lower() not in _KEYWORDS


def quote(name: str) -> str:
    """Return an event's name as it stands in the text of an expression."""
    if is_plain_name(name):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
