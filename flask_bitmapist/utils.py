"""The functions of version 0.1, on the engine of this one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from functools import partial
from typing import Any, cast

from .analysis.expressions import (
    Event,
    Expression,
    Named,
    Or,
    as_expression,
    chain,
)
from .analysis.periods import TimeGroup
from .query import Query, as_of
from .questions.asking import Names
from .questions.declare import Group
from .questions.who import Users
from .state import WITHOUT_APP, current_state
from .store.reader import BitmapReader
from .store.userset import UserSet
from .store.zones import Zones


def get_event_data(
    event_name: str,
    time_group: str = "days",
    now: datetime | None = None,
    system: Any = "default",
) -> UserSet:
    """Return the users of an event in the period that contains *now*.

    Args:
        event_name: The event, or the name of an expression that the app has defined;
            an unknown one is nobody.
        time_group: ``hours``, ``days``, ``weeks``, ``months`` or ``years``, also in
            the singular.
        now: A moment in the period; the current one by default.
        system: Name of a Redis system, or a redis-py client.

    Returns:
        The users, as a set to ask for ``len`` and ``in``, or to iterate over.

    Raises:
        QueryError: There is no such time group.
    """
    return chain_events(event_name, None, now, time_group, system)


def chain_events(
    base_event_name: str,
    events_to_chain: Iterable[Mapping[str, str]] | None,
    now: datetime | None,
    time_group: str,
    system: Any = "default",
) -> UserSet:
    """Return the users of a chain of events in the period that contains *now*.

    An OR binds to its immediate predecessor alone: A and B or C and D is
    A and (B or C) and D.

    Args:
        base_event_name: The first event; names are as in :func:`get_event_data`.
        events_to_chain: Entries such as ``{"name": "song:played", "op": "and"}``.
        now: A moment in the period; None for the current one.
        time_group: As in :func:`get_event_data`.
        system: Name of a Redis system, or a redis-py client.

    Returns:
        The users, as a set to ask for ``len`` and ``in``, or to iterate over.

    Raises:
        QueryError: A time group or an operator that does not exist.
    """
    query = _query(system)
    group = TimeGroup.parse(time_group)
    asked = Users(
        chain(base_event_name, events_to_chain or (), partial(_named, query)),
        cast("Group", group.value),
        as_of=_whole(query, group, now),
        allow_unknown=True,
    )
    return query(asked).everyone


def get_cohort(
    primary_event_name: str,
    secondary_event_name: str,
    additional_events: Iterable[Mapping[str, str]] | None = None,
    time_group: str = "days",
    num_rows: int = 10,
    num_cols: int = 10,
    system: Any = "default",
    with_replacement: bool = False,
    now: datetime | None = None,
) -> tuple[list[list[int | None]], list[datetime], list[int]]:
    """Return how many of each period's users did something in the periods after.

    Args:
        primary_event_name: The event that puts a user into a row.
        secondary_event_name: The event that is looked for.
        additional_events: More events chained to the secondary one, as in
            :func:`chain_events`.
        time_group: As in :func:`get_event_data`.
        num_rows: The last so many periods, the one containing *now* included.
        num_cols: The row's own period and those after it.
        system: Name of a Redis system, or a redis-py client.
        with_replacement: Count a user in every column where they match, not only in
            the first.
        now: The moment whose period is the last row; the current one by default.

    Returns:
        Rows of counts, None where a period has not begun or a row has no users; the
        rows' first moments by the app's calendar; and the number of users in each row.

    Raises:
        QueryError: Something asked for is not allowed.
    """
    query = _query(system)
    named = partial(_named, query)
    secondary = chain(secondary_event_name, additional_events or (), named)
    if isinstance(secondary, (Event, Named)):
        # Said twice, the same event is another one to the question: here who does it
        # at once counts in column 0 and in no later one, as they always did.
        secondary = Or((secondary, secondary))
    group = TimeGroup.parse(time_group)
    answer = query.cohort(
        named(primary_event_name),
        secondary,
        time_group=cast("Group", group.value),
        num_rows=num_rows,
        num_cols=num_cols,
        returned="each" if with_replacement else "first",
        as_of=_whole(query, group, now),
        allow_unknown=True,
    )
    rows = [list(row) for row in answer.counts]
    sizes = [size or 0 for size in answer.sizes]
    return rows, [period.start for period in answer.periods], sizes


def _named(query: Query, name: str | Expression) -> Expression:
    """Return what a name stands for as version 0.1 took it: never as an expression."""
    if isinstance(name, str) and name in query.names.defined:
        return Named(name, query.names.defined[name])
    return as_expression(name)


def _query(system: Any) -> Query:
    """Return where questions to *system* are asked: the app's own if it is that."""
    state = current_state()
    if state is None:
        return Query(BitmapReader(WITHOUT_APP.client(system)))
    client = state.globals.client(system)
    if client == state.store.client:
        return state.query
    names = Names(None, state.named, state.settings.everyone)
    zones = Zones(state.settings.calendar)
    return Query(
        *(BitmapReader(client), names, state.query.identity),
        clock=lambda: (zones.calendar(client), None, zones.ahead),
    )


def _whole(query: Query, group: TimeGroup, now: datetime | None) -> date | datetime:
    """Return the day as of which the whole period that contains *now* is read."""
    calendar = query.calendar
    moment = as_of(now, calendar).moment
    if group is TimeGroup.HOURS:
        return moment.replace(tzinfo=None)
    return calendar.period(group, moment).last
