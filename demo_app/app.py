"""The app factory: a shop with login, an Admin, and analytics over both."""

from __future__ import annotations

import os
import secrets
from typing import Any

from flask import Flask
from flask_admin import Admin
from flask_admin.contrib.sqla import ModelView
from flask_admin.theme import Bootstrap4Theme
from flask_babel import Babel

from flask_bitmapist import FlaskBitmapist
from flask_bitmapist.capture import sample

from . import shop
from .accounts import User, create_accounts, db, login_manager, name_of

bitmapist = FlaskBitmapist()

# Names stand beside the events in every form; these say when, so they are segments.
bitmapist.define("big spenders", "big ever")
bitmapist.define("regulars", "purchase in at least 3 of last 12 months")


class CustomerView(ModelView):
    """The customers in the Admin, to look at."""

    can_create = can_edit = can_delete = False
    can_view_details = True
    column_list = ("id", "name", "email")
    column_searchable_list = ("name", "email")
    page_size = 25


def create_app(config: dict[str, Any] | None = None) -> Flask:
    """Make the demo, filled with the replayed purchases.

    Args:
        config: Settings that come before those of the environment.
    """
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=secrets.token_hex(),
        SESSION_COOKIE_SAMESITE="Lax",
        SQLALCHEMY_DATABASE_URI="sqlite://",
        BITMAPIST_REDIS_URL=os.environ.get("BITMAPIST_REDIS_URL", "memory://"),
        BITMAPIST_USER_NAME=name_of,
        BITMAPIST_EVERYONE="purchase ever",
        BITMAPIST_ADMIN_USER_VIEW="customers",
    )
    app.config.update(config or {})

    Babel(app)  # Flask-Admin wants it where Flask-Babel is installed
    db.init_app(app)
    login_manager.init_app(app)
    admin = Admin(app, name="Record shop", theme=Bootstrap4Theme())
    admin.add_view(CustomerView(User, db, name="Customers", endpoint="customers"))
    bitmapist.init_app(app, admin=admin)
    app.register_blueprint(shop.blueprint)

    with app.app_context():
        create_accounts()
        app.extensions["record_shop"] = sample.replay(app.extensions["bitmapist"])
    return app
