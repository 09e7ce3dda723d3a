"""Grafana: a token for programs, and a dashboard made of the app's own OpenAPI.

    ANALYTICS_TOKEN=… flask --app examples.grafana run
    flask --app examples.grafana dashboard song:played > dashboard.json

The dashboard wants Grafana's data source "Infinity", told the address of the app and to
send the header ``Authorization: Bearer …``.
"""

from __future__ import annotations

import json
import os
from hmac import compare_digest

import click
from flask import Flask, request, url_for

from flask_bitmapist import FlaskBitmapist

app = Flask(__name__)
app.config.from_prefixed_env()
bitmapist = FlaskBitmapist(app)


@bitmapist.access
def knows_the_token() -> bool:
    """Let programs in that send the token, and nobody else."""
    wanted = f"Bearer {os.environ['ANALYTICS_TOKEN']}"
    return compare_digest(request.headers.get("Authorization", ""), wanted)


@app.cli.command("dashboard")
@click.argument("event")
def dashboard(event: str) -> None:
    """Print a Grafana dashboard with a panel of the users of EVENT by day."""
    with app.test_request_context():
        url = url_for("bitmapist.trends", events=event, format="csv", num_periods=90)
    columns = [
        {"selector": "day", "text": "Day", "type": "timestamp"},
        {"selector": event, "text": "Users", "type": "number"},
    ]
    target = {"type": "csv", "source": "url", "url": url, "columns": columns}
    panel = {"type": "timeseries", "title": f"Users of {event}", "targets": [target]}
    print(json.dumps({"title": "Analytics", "panels": [panel]}, indent=2))
