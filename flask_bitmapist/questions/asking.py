"""What a question may look at while it is answered: names, days, bitmaps, users."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

from ..analysis.bitmaps import Bitmaps, Stripe
from ..analysis.errors import QueryError, Text
from ..analysis.expressions import (
    Event,
    Expression,
    Flag,
    Named,
    Source,
    is_plain_name,
    quote,
    require_bounded,
)
from ..analysis.history import EPOCH, Earlier, dated_events
from ..analysis.kept import NO_HOURS, Unkept, find_unkept, unkept_sources
from ..analysis.parsing import Place, parse, places
from ..analysis.periods import AsOf, Period, TimeGroup, shorten
from ..analysis.windows import Past

if TYPE_CHECKING:
    from ..analysis.results import User
    from ..analysis.users import Selection
    from ..identity import Identity
    from ..store.catalogue import Catalogue, Known, Scan
    from ..store.userset import UserSet
    from .declare import A, Question, Who

MOST_IN_RANGE = 36_600
"""Most days of a range, a hundred years."""

UNKNOWN_USER = Text("No activity recorded for this user.")
"""What to say of a user who was never marked."""


class Names:
    """What can be named: events and flags of the store, and what the app has defined.

    Args:
        catalogue: Knows the events and flags; None where any name will do.
        defined: Expressions that the app has given names.
        everyone: Among whom ``not`` and ``never`` look where they stand alone, as the
            text of an expression; empty where they may not.
    """

    def __init__(
        self,
        catalogue: Catalogue | None = None,
        defined: Mapping[str, Expression] | None = None,
        everyone: str = "",
    ) -> None:
        self._catalogue = catalogue
        self.defined = {} if defined is None else defined
        self.everyone = everyone
        self._patience: float | None = None
        self._kept: Known | None = None

    def events(self) -> Sequence[str]:
        """Return the names of all events, sorted."""
        known = self._known()
        return sorted(known.events) if known else ()

    def flags(self) -> Sequence[str]:
        """Return the names of all flags, sorted."""
        known = self._known()
        return sorted(known.flags) if known else ()

    def _known(self) -> Known | None:
        if self._catalogue is None or self._kept is not None:
            return self._kept
        known = self._catalogue.known(patience=self._patience)
        if self._patience is not None:
            self._kept = known  # a page reads them once
        return known

    @property
    def scan(self) -> Scan | None:
        """The latest walk over all keys of the store, None before the first."""
        return None if self._catalogue is None else self._catalogue.scan

    def refresh(self) -> bool:
        """Look through all keys of the store again; return whether that was allowed."""
        if self._catalogue is None:
            return True
        if self._patience is not None:
            self._kept = None
            return self._catalogue.refresh(self._patience)
        self._catalogue.known(refresh=True)
        return True

    def within(self, patience: float) -> Names:
        """Return the same names, for a page, which may not look for them at any time.

        Args:
            patience: Seconds that it waits while all keys are looked through.
        """
        names = copy(self)
        names._patience = patience
        return names

    def defining(self, defined: Mapping[str, Expression]) -> Names:
        """Return the same names with more expressions among those that are defined."""
        names = copy(self)
        names.defined = {**self.defined, **defined}
        return names

    def expression(self, who: Who) -> Expression:
        """Return whom *who* means: the one way from a text to an expression.

        Args:
            who: An expression; the name of one that the app has defined; the name of
                an event, also where it has spaces or parentheses in it; or the text
                of an expression.

        Raises:
            QueryError: The text cannot be read, or in two ways: as a name with blanks
                in it, and as an expression.
        """
        if isinstance(who, Expression):
            return who
        named: Expression | None = None
        if who in self.defined:
            named = Named(who, self.defined[who])
        elif is_plain_name(who) or (self._catalogue and self._has(who)):
            named = Event(who)
        if named is not None and is_plain_name(who):
            return named
        try:
            read = parse(who, self.defined)
        except QueryError:
            if named is not None:
                return named
            if self._catalogue and self._has(who, flag=True):
                raise QueryError(self._no_event(who)) from None
            raise
        if named is None:
            return read
        if isinstance(read, Event) and not self._has(read.name):
            # The same name without blanks or quotes around it, which nobody tracked.
            return named
        raise QueryError(
            Text(
                "%(name)s is a name, and can be read as an expression; write "
                "%(quoted)s for the name, (%(expression)s) for the expression",
                name=_quoted(who),
                quoted=quote(who),
                expression=str(read),
            )
        )

    def places(self, who: str) -> list[Place]:
        """Return where in a text each name stands, as :meth:`expression` reads it.

        Raises:
            QueryError: As for :meth:`expression`.
        """
        expression = self.expression(who)
        if isinstance(expression, Event | Named) and expression.name == who:
            return [Place(expression, 0, len(who))]
        return places(who, self.defined)

    def unknown(self, expression: Expression) -> Text | None:
        """Return what to say of the first name that nobody has ever tracked."""
        for name, is_flag in _names(expression):
            if not self._has(name, is_flag) and not self._is_looking():
                return self._no_flag(name) if is_flag else self._no_event(name)
        return None

    def has_events(self) -> bool:
        """Return whether there is any event or flag."""
        return self._catalogue is None or any(self._known() or ())

    def _has(self, name: str, flag: bool = False) -> bool:
        if self._catalogue is None or self._catalogue.keeps(name, flag):
            return True
        known = self._known()
        return known is not None and name in known[flag]

    def _is_looking(self) -> bool:
        """Return whether nobody has looked through all keys to the end yet."""
        return self._catalogue is not None and self._catalogue.scan is None

    def _no_event(self, name: str) -> Text:
        if self._has(name, flag=True):
            return Text(
                "%(name)s is a flag; write %(flag)s.",
                name=_quoted(name),
                flag=str(Flag(name)),
            )
        near = _nearest(name, [*self.defined, *self.events()])
        if near is None:
            return Text("Unknown event %(name)s.", name=_quoted(name))
        return Text(
            "Unknown event %(name)s. Did you mean %(near)s?",
            name=_quoted(name),
            near=_quoted(near),
        )

    def _no_flag(self, name: str) -> Text:
        near = _nearest(name, self.flags())
        if near is None:
            return Text("Unknown flag %(name)s.", name=_quoted(name))
        return Text(
            "Unknown flag %(name)s. Did you mean %(near)s?",
            name=_quoted(name),
            near=_quoted(near),
        )


class Ask:
    """One question while it is answered.

    Args:
        question: What is asked.
        bitmaps: Where the bitmaps come from.
        as_of: As of when.
        names: What can be named.
        select: Makes a set of users of a selection, and of where bitmaps come from.
        identity: Tells which bit is whose.
    """

    def __init__(
        self,
        question: Question[Any],
        bitmaps: Bitmaps,
        as_of: AsOf,
        names: Names,
        select: Callable[..., UserSet],
        identity: Identity,
    ) -> None:
        self.question = question
        self.bitmaps = bitmaps
        self.as_of = as_of
        self.names = names
        self.select: Callable[..., UserSet] = select
        self.identity = identity
        self.warnings: list[Text] = []
        self.notes: list[Text] = []
        """What is said beside the numbers of any question."""
        self.segment: str | None = None
        """Whose answer it is, where segments were asked for."""
        self.excluded: str | None = None
        """Who is left out, where anybody is."""
        self._past = Past(
            Period.containing(TimeGroup.DAYS, as_of.day),
            as_of.calendar,
            self._first_year,
            bitmaps.cuts,
        )

    def __getstate__(self) -> dict[str, Any]:
        # An answer may be kept elsewhere, or sent: its numbers go with it, the app's
        # connections stay.
        return {
            "question": self.question,
            "as_of": self.as_of,
            "warnings": self.warnings,
            "notes": self.notes,
            "segment": self.segment,
            "excluded": self.excluded,
        }

    def __setstate__(self, kept: dict[str, Any]) -> None:
        lost: Any = _Lost()
        self.bitmaps = self.names = self.select = self.identity = lost
        self.__dict__.update(kept)

    def another(
        self,
        question: Question[A],
        defined: Mapping[str, Expression] | None = None,
        bitmaps: Bitmaps | None = None,
    ) -> A:
        """Answer another question, as of the same moment.

        Args:
            question: What is asked; its own ``as_of`` does not count.
            defined: More expressions that it can name.
            bitmaps: Where its bitmaps come from, if not from where this one's do.

        Raises:
            QueryError: It cannot be answered.
        """
        ask = Ask(
            question,
            self.bitmaps if bitmaps is None else bitmaps,
            self.as_of,
            self.names.defining(defined) if defined else self.names,
            self.select,
            self.identity,
        )
        return question.answer(ask)

    def among_users(self, bitmaps: Bitmaps, segment: str | None) -> Ask:
        """Return the same ask, which looks at some users alone.

        Args:
            bitmaps: Where their bitmaps come from.
            segment: What they are called; None where they are no segment.
        """

        def selected(selection: Selection) -> UserSet:
            text = selection.text
            if segment:
                text = Text("%(who)s, among %(segment)s", who=text, segment=segment)
            if self.excluded:
                text = Text("%(who)s, without %(other)s", who=text, other=self.excluded)
            # No bitmap that is stored has these users alone.
            return self.select(replace(selection, bitmap=None, text=text), bitmaps)

        ask = Ask(
            self.question, bitmaps, self.as_of, self.names, selected, self.identity
        )
        ask.warnings, ask.notes = [*self.warnings], [*self.notes]
        ask.segment, ask.excluded = segment, self.excluded
        return ask

    def who(self, given: Who, field: str) -> Expression:
        """Return whom a parameter means.

        Args:
            given: The parameter's value.
            field: The parameter's name, beside which it is told what is wrong.

        Raises:
            QueryError: It cannot be read, or names what nobody has ever tracked.
        """
        try:
            expression = self.names.expression(given)
        except QueryError as error:
            raise QueryError(error.message, field=field) from None
        self._check(expression, field)
        return self.bound(expression)

    def bound(self, expression: Expression) -> Expression:
        """Return an expression whose windows are taken as of the answer's day."""
        bound = expression.bound(self._past)
        for window in bound.endless():
            self.tell_since(window)
        return bound

    def among(self, given: Who, field: str) -> Expression:
        """Return whom a parameter means, where that says by itself who can be meant.

        ``not x`` alone is taken within BITMAPIST_EVERYONE.

        Raises:
            QueryError: As for :meth:`who`; also for ``not x`` alone without that
                setting.
        """
        expression = self.among_everyone(self.who(given, field), field)
        require_bounded(expression, field)
        return expression

    def among_everyone(self, expression: Expression, field: str) -> Expression:
        """Return an expression within BITMAPIST_EVERYONE, where it needs that.

        Without the setting it stays as it is.
        """
        if not expression.bounded and self.names.everyone:
            expression &= self._everyone(field)
        return expression

    def _everyone(self, field: str) -> Expression:
        try:
            return self.who(self.names.everyone, field)
        except QueryError as error:
            problem = Text("BITMAPIST_EVERYONE: %(problem)s", problem=error.message)
            raise QueryError(problem, field=field) from None

    def _first_year(self, events: Sequence[str]) -> int | None:
        found = self.bitmaps.years(events, self.as_of.day.year)
        return min((year for years in found.values() for year in years), default=None)

    def bit_of(self, user: User) -> int | None:
        """Return the bit of a user; None, and a warning, if they are not known.

        Raises:
            QueryError: Nobody can be called so.
        """
        bit = self.identity.bit_of(user)
        if bit is None:
            self.warnings.append(UNKNOWN_USER)
        return bit

    def known_as(self, user: User, bit: int | None) -> User:
        """Return a user as the app knows them, who may have been given otherwise."""
        return user if bit is None else self.identity.users_of([bit])[0]

    def period(self, group: str) -> Period:
        """Return the period that contains the day."""
        period = self.as_of.period(TimeGroup.parse(group))
        self._tell_of_zones(period.start.date(), period.last)
        return period

    def periods(self, group: str, count: int) -> tuple[Period, ...]:
        """Return the last *count* periods, oldest first."""
        periods = self.as_of.periods(TimeGroup.parse(group), count)
        self._tell_of_zones(periods[0].start.date(), periods[-1].last)
        return periods

    def days_between(self, first: date, last: date | None) -> Period:
        """Return a range of days, of which nothing after the day counts.

        Args:
            first: Its first day.
            last: Its last one; the day asked about by default.

        Raises:
            QueryError: All of it is after the day, or it is too long.
        """
        day = self.as_of.day
        if first > day:
            raise QueryError(
                Text("Nothing after %(day)s counts.", day=day), field="since"
            )
        if last is not None and last > day:
            self.warnings.append(Text("Nothing after %(day)s counts.", day=day))
        last = min(last or day, day)
        if (last - first).days >= MOST_IN_RANGE:
            raise QueryError(
                Text("At most %(most)s days can be looked at.", most=MOST_IN_RANGE),
                field="since",
            )
        self._tell_of_zones(first, last)
        return Period.between(first, last)

    def _tell_of_zones(self, first: date, last: date) -> None:
        """Say so if not all of the days from the first to the last are of one zone."""
        for day, before, zone in self.as_of.calendar.changes(first, last):
            said = Text(
                "Days before %(day)s are those of %(before)s, from then on those of "
                "%(zone)s.",
                day=day,
                before=before,
                zone=zone,
            )
            if said not in self.warnings:
                self.warnings.append(said)

    def stripes(self, sources: Iterable[Source], passes: int) -> Iterator[Stripe]:
        """Read bitmaps, a range of users at a time.

        Args:
            sources: Which bitmaps, as often as the expressions name them; each is
                read once.
            passes: How many operations on whole bitmaps the answer makes of them,
                beside those of the expressions.

        Raises:
            QueryError: It is more work than is allowed.
        """
        named = list(sources)
        again = len(named) - len(set(named))
        return self.bitmaps.stripes(named, passes + again)

    def complete(self, periods: Iterable[Period]) -> tuple[bool, ...]:
        """Return for each of *periods* whether it has ended."""
        horizon = self.as_of.horizon
        return tuple([period.end <= horizon for period in periods])

    def unkept(
        self,
        expressions: Iterable[Expression],
        periods: Iterable[Period],
        refuse: bool = True,
    ) -> Unkept[Period]:
        """Return which periods are not kept, of which nothing can be said.

        Why not is told with the answer, see
        :attr:`~flask_bitmapist.questions.declare.Answer.warnings`.

        Args:
            expressions: Whom it is about.
            periods: Of one group or several.
            refuse: Refuse hours that are never kept.

        Raises:
            QueryError: They are hours, and none of the days on which anything happened
                has any.
        """
        found = find_unkept(expressions, periods, self.bitmaps)
        if found.never and refuse:
            raise QueryError(NO_HOURS, field="time_group")
        self._warn(found.reasons)
        return found

    def unkept_sources(self, sources: Iterable[Source]) -> Unkept[Source]:
        """Return which events in a period are not kept, as :meth:`unkept`."""
        found = unkept_sources(sources, self.bitmaps)
        self._warn(found.reasons)
        return found

    def _warn(self, reasons: Iterable[Text]) -> None:
        self.warnings += [each for each in reasons if each not in self.warnings]

    def earlier(self, expression: Expression, periods: Sequence[Period]) -> Earlier:
        """Return who was there before each of *periods*, and since when that is known.

        Raises:
            QueryError: It cannot be looked up.
        """
        found = Earlier(expression, periods, self.bitmaps)
        self._warn(found.reasons)
        self.tell_since(expression)
        return found

    def require_kept(
        self, expressions: Iterable[Expression], periods: Iterable[Period], field: str
    ) -> None:
        """Refuse what needs periods that are not kept.

        Args:
            expressions: Whom it is about.
            periods: What is needed.
            field: The parameter beside which it is told.

        Raises:
            QueryError: Any of them is not kept; the message says why.
        """
        found = self.unkept(expressions, periods)
        if found:
            raise QueryError(found.reasons[0], field=field)

    def tell_since(self, expression: Expression, reach: Period | None = None) -> None:
        """Note since when events are tracked, where an answer reaches beyond that.

        Args:
            expression: Whom the answer is about.
            reach: The first period that it looks at; None for all that ever was.
        """
        events = dated_events(expression, self.periods("days", 1)[0], self.bitmaps)
        days = self.bitmaps.first_days(events, self.as_of)
        cuts = self.bitmaps.cuts(events)
        for event, day in days.items():
            if reach is not None and reach.start.date() >= day:
                continue
            said = Text(
                "%(event)s: tracked since %(day)s.", event=shorten(event), day=day
            )
            if event in cuts and cuts[event].unseen != cuts[event].before:
                said = Text(
                    "%(event)s: days are kept since %(day)s; who was active before is "
                    "known.",
                    event=shorten(event),
                    day=day,
                )
            if said not in self.notes:
                self.notes.append(said)

    def _check(self, expression: Expression, field: str) -> None:
        if self.question.allow_unknown:
            return
        problem = self.names.unknown(expression)
        if problem is None:
            return
        if self.names.has_events():
            raise QueryError(problem, field=field)
        if not self.warnings:
            self.warnings.append(Text("No events have been tracked yet."))


class _Lost:
    """Stands in an answer that was pickled for all that it could look at."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(
            "this answer was pickled and has no connection to a store any more; ask "
            "the question again, query(answer.question), to see who is behind a number"
        )


def _names(expression: Expression) -> Iterable[tuple[str, bool]]:
    """Yield the names in an expression, and whether each is a flag's."""
    return dict.fromkeys(
        (leaf.name, isinstance(leaf, Flag)) for leaf in expression.leaves()
    )


_ANY_DAY = Period.containing(TimeGroup.DAYS, EPOCH)


def _quoted(name: str) -> str:
    return f"'{shorten(name)}'"


def _nearest(name: str, known: Iterable[str]) -> str | None:
    near = difflib.get_close_matches(name, list(known), n=1)
    return near[0] if near else None
