"""The same history and the same questions, for every kind of server."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from flask import Flask

from flask_bitmapist import Event, Flag, mark_event, mark_unique
from flask_bitmapist.query import Query

from .inside import import_rows
from .reference import utc

AS_OF = utc("2026-01-05T10:00")  # a Monday, soon after a New Year
EVENTS = ("a", "b", "with/slash")


def mark_history(app: Flask) -> None:
    """Mark some weeks of events: by a function, and by an import."""
    rows = [
        (user, event, AS_OF - timedelta(days=ago))
        for number, event in enumerate(EVENTS)
        for ago in range(12)
        for user in range(ago % 3, 70_000, 997 + 31 * number + ago)
    ]
    with app.app_context():
        import_rows(app.extensions["bitmapist"], rows)
        for user in (3, 500_000):
            mark_event("a", user, now=AS_OF)
            mark_unique("premium", user)


def answers_when_marked(app: Flask) -> dict[str, Any]:
    """Mark the history, and ask every kind of question."""
    mark_history(app)
    return answers(app)


def findings(app: Flask) -> dict[str, dict[str, Any]]:
    """Return what the doctor finds, by topic."""
    told = app.test_cli_runner().invoke(args=["bitmapist", "doctor", "--json"])
    return {each["topic"]: each for each in json.loads(told.stdout)["findings"]}


def answers(app: Flask) -> dict[str, Any]:
    """Ask every kind of question."""
    with app.app_context():
        state = app.extensions["bitmapist"]
        query: Query = state.query
        both = Event("a") & ~Event("b")
        premium = Event("a") & Flag("premium")
        return {
            "day": query.count("a", "days", as_of=AS_OF),
            "count": query.count("a", "months", as_of=AS_OF),
            "year": query.count("a", "years", as_of=AS_OF),
            "has": [query.has(user, "a", "weeks", as_of=AS_OF) for user in (3, 4)],
            "has expression": query.has(3, premium, "days", as_of=AS_OF),
            "users": list(query.users(both, "days", as_of=AS_OF)),
            "premium": list(query.users(premium, "weeks", as_of=AS_OF)),
            "page": query.users("a", "weeks", as_of=AS_OF).page(2, 50),
            "cohort": query.cohort(
                "a", "b", time_group="days", num_rows=9, first_time=True, as_of=AS_OF
            ).to_dict(),
            "years": query.cohort("a", "b", time_group="years", as_of=AS_OF).to_dict(),
            "trend": query.trend(["a", "b"], rolling=[7], as_of=AS_OF).to_dict(),
            "stickiness": query.stickiness("a", as_of=AS_OF).to_dict(),
            "lifecycle": query.lifecycle("a", as_of=AS_OF).to_dict(),
            "funnel": query.funnel(["a", "with/slash"], as_of=AS_OF).to_dict(),
            "membership": query.membership(3, as_of=AS_OF).to_dict(),
            "overview": unscanned(query.overview(as_of=AS_OF).to_dict()),
            "events": unscanned(query.events(as_of=AS_OF).to_dict()),
            "names": state.catalogue.names(),
            "flags": state.catalogue.flags(),
        }


def unscanned(told: Any) -> Any:
    """Return what is told, but for when the names of the store were looked for."""
    notes = [note for note in told["notes"] if "refreshed" not in note]
    kept = {name: value for name, value in told.items() if name != "scanned_at"}
    return {**kept, "notes": notes}
