"""What runs in the processes whose ends are looked at: an app, its marks, its jobs.

The app marks in the background, and writes what waits after an hour: what is in its
Redis (``ENDS_REDIS_URL``) was written in the call that marked it, or at the end.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

from flask import Flask

from flask_bitmapist import FlaskBitmapist, mark, mark_event

# Not from another module of the tests: each of some sixty processes would import it.
NOON = datetime(2026, 1, 1, 12, 30, tzinfo=timezone.utc)

app = Flask("ends")
FlaskBitmapist(
    app,
    {
        "BITMAPIST_REDIS_URL": os.environ["ENDS_REDIS_URL"],
        "BITMAPIST_MARK_MODE": "background",
        "BITMAPIST_FLUSH_INTERVAL": 3600.0,
    },
)


@app.get("/<int:user>")
@mark("x", lambda user: user, now=NOON)
def page(user: int) -> str:
    # Long enough that some are being answered when a server is told to end.
    time.sleep(0.01)
    return "marked"


def mark_users(users: Iterable[int]) -> None:
    """Mark users where nobody waits for an answer, as scripts and jobs do."""
    with app.app_context():
        for user in users:
            mark_event("x", user, now=NOON)


def mark_in_requests(users: Iterable[int]) -> None:
    """Mark users in views, whose answers a server would be sending."""
    client = app.test_client()
    for user in users:
        assert client.get(f"/{user}").status_code == 200


def mark_everywhere() -> None:
    """Mark users 0 to 9 outside of requests, and 10 to 19 in some."""
    mark_users(range(10))
    mark_in_requests(range(10, 20))


def mark_one(user: int) -> int:
    """Mark one user: a job."""
    mark_users([user])
    return user


def end_by(number: int) -> None:
    """Get a signal, and fail if that ends nothing within a minute."""
    signal.alarm(60)
    os.kill(os.getpid(), number)
    while True:
        signal.pause()


def through_asgiref() -> Any:
    from asgiref.wsgi import WsgiToAsgi

    return WsgiToAsgi(app)


def through_a2wsgi() -> Any:
    from a2wsgi import WSGIMiddleware

    return WSGIMiddleware(app)


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]), threaded=False, processes=4)
