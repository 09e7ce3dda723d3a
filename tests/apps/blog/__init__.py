"""A blog in the shape of Flask's tutorial: a factory, blueprints, plain SQLite."""

from __future__ import annotations

from typing import Any

from flask import Flask

from flask_bitmapist import FlaskBitmapist  # bitmapist

from . import auth, db, posts


def create_app(config: dict[str, Any] | None = None) -> Flask:
    app = Flask(__name__, instance_relative_config=True)
    app.config.from_mapping(SECRET_KEY="dev", DATABASE="blog.sqlite")
    app.config.update(config or {})
    db.init_app(app)
    app.register_blueprint(auth.bp)
    app.register_blueprint(posts.bp)
    app.add_url_rule("/", endpoint="index")
    FlaskBitmapist(app)  # bitmapist
    return app
