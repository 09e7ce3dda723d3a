"""Short posts among followers, in the shape of microblog.

A factory, Flask-Login, Flask-SQLAlchemy, Flask-Babel, an API with tokens, and jobs.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask import Flask, request
from flask_babel import Babel
from flask_login import LoginManager
from flask_sqlalchemy import SQLAlchemy

from flask_bitmapist import FlaskBitmapist  # bitmapist

LANGUAGES = ["en", "es"]

db = SQLAlchemy()
login = LoginManager()
babel = Babel()


class Config:
    SECRET_KEY = "change me"
    SQLALCHEMY_DATABASE_URI = "sqlite:///circle.sqlite"
    POSTS_PER_PAGE = 25


def create_app(config: type[Config] = Config) -> Flask:
    app = Flask(__name__)
    app.config.from_object(config)
    db.init_app(app)
    login.init_app(app)
    login.login_view = "main.enter"
    babel.init_app(app, locale_selector=best_language)
    from . import api, main

    app.register_blueprint(main.bp)
    app.register_blueprint(api.bp, url_prefix="/api")
    # Another process takes its place in production.
    app.extensions["jobs"] = ThreadPoolExecutor(1)
    FlaskBitmapist(app)  # bitmapist
    return app


def best_language() -> str | None:
    return request.accept_languages.best_match(LANGUAGES)


def enqueue(app: Flask, job: Any, *arguments: Any) -> None:
    app.extensions["jobs"].submit(job, app, *arguments)
