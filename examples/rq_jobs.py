"""RQ: jobs mark, in the app's context, and nothing is lost when their process ends.

python -m examples.rq_jobs 1 2 3
rq worker newsletters
"""

from __future__ import annotations

import os
import sys

from flask import Flask
from redis import Redis
from rq import Queue

from flask_bitmapist import FlaskBitmapist, mark_event

app = Flask(__name__)
app.config.from_prefixed_env()  # FLASK_BITMAPIST_REDIS_URL
bitmapist = FlaskBitmapist(app)
queue = Queue("newsletters", connection=Redis.from_url(os.environ["RQ_REDIS_URL"]))


def send_newsletter(user_id: int) -> None:
    """Send it, and mark who got it."""
    with app.app_context():
        mark_event("newsletter:sent", user_id)


if __name__ == "__main__":
    for each in sys.argv[1:]:
        queue.enqueue("examples.rq_jobs.send_newsletter", int(each))
