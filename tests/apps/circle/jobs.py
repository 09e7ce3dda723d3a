"""What takes long, and is done outside requests."""

from __future__ import annotations

import json

from flask import Flask

from flask_bitmapist import mark_event  # bitmapist

from . import db
from .models import User


def export_posts(app: Flask, user_id: int) -> None:
    """Keep all posts of a user as JSON, for the user to fetch."""
    with app.app_context():
        user = db.get_or_404(User, user_id)
        posts = db.session.scalars(user.posts.select())
        user.export = json.dumps([post.body for post in posts])
        db.session.commit()
        mark_event("export:made", user_id)  # bitmapist
