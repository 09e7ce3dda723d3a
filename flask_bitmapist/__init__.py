"""Flask-Bitmapist: a Flask app that knows its users' behaviour."""

from typing import TYPE_CHECKING, Any

from bitmapist import (
    BitOpAnd,
    BitOpNot,
    BitOpOr,
    BitOpXor,
    DayEvents,
    HourEvents,
    MonthEvents,
    UniqueEvents,
    WeekEvents,
    YearEvents,
    get_event_names,
)

from ._version import __version__
from .analysis.errors import QueryError
from .analysis.expressions import Event, Expression, Flag
from .analysis.periods import Period, TimeGroup
from .capture.reports import event_deleted, event_dropped, event_marked, events_flushed
from .config import ConfigError
from .extension import FlaskBitmapist
from .marking import mark, mark_event, mark_unique, unmark_event, unmark_unique

if TYPE_CHECKING:
    from .utils import chain_events, get_cohort, get_event_data

__all__ = [
    "BitOpAnd",
    "BitOpNot",
    "BitOpOr",
    "BitOpXor",
    "ConfigError",
    "DayEvents",
    "Event",
    "Expression",
    "Flag",
    "FlaskBitmapist",
    "HourEvents",
    "MonthEvents",
    "Period",
    "QueryError",
    "TimeGroup",
    "UniqueEvents",
    "WeekEvents",
    "YearEvents",
    "__version__",
    "chain_events",
    "event_deleted",
    "event_dropped",
    "event_marked",
    "events_flushed",
    "get_cohort",
    "get_event_data",
    "get_event_names",
    "mark",
    "mark_event",
    "mark_unique",
    "unmark_event",
    "unmark_unique",
]

__versionfull__ = __version__
"""The same, by a name of version 0.1."""

_OF_QUESTIONS = frozenset({"chain_events", "get_cohort", "get_event_data"})
_OF_LOGINS = frozenset({"mark_login", "mark_logout"})


def __getattr__(name: str) -> Any:
    """Load what needs more than a mark does when it is first used.

    Questions bring numpy.  Version 0.1 had the marks of logins here where Flask-Login
    was installed.
    """
    if name in _OF_QUESTIONS:
        from . import utils

        return getattr(utils, name)
    if name in _OF_LOGINS:
        from .extensions import flask_login

        return getattr(flask_login, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
