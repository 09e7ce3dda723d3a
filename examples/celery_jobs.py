"""Celery: tasks mark, in the app's context, and nothing is lost when workers end.

BROKER_URL=redis://localhost:6379/1 celery -A examples.celery_jobs.jobs worker
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, Task
from flask import Flask

from flask_bitmapist import FlaskBitmapist, mark_event

app = Flask(__name__)
app.config.from_prefixed_env()  # FLASK_BITMAPIST_REDIS_URL
bitmapist = FlaskBitmapist(app)


class InAppContext(Task):
    """A task that knows the app."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it in the app's context."""
        with app.app_context():
            return self.run(*args, **kwargs)


jobs = Celery(__name__, broker=os.environ["BROKER_URL"], task_cls=InAppContext)


@jobs.task
def send_newsletter(user_id: int) -> None:
    """Send it, and mark who got it.

    A job marks whom it is told of: nobody is logged in here.
    """
    mark_event("newsletter:sent", user_id)
