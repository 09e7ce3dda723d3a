"""Flask-Security: marks are of the user's number, although sessions know another name.

pip install flask-bitmapist "Flask-Security-Too[common,fsqla]"
"""

from __future__ import annotations

from flask import Flask
from flask_login import current_user
from flask_security import Security, SQLAlchemyUserDatastore, auth_required
from flask_security.models import fsqla_v3
from flask_sqlalchemy import SQLAlchemy

from flask_bitmapist import FlaskBitmapist, mark

db = SQLAlchemy()
fsqla_v3.FsModels.set_db_info(db)


class Role(db.Model, fsqla_v3.FsRoleMixin):
    """What a user may do."""


class User(db.Model, fsqla_v3.FsUserMixin):
    """A user; the primary key is what is marked, not ``fs_uniquifier``."""


users = SQLAlchemyUserDatastore(db, User, Role)
bitmapist = FlaskBitmapist()


@bitmapist.access
def only_analysts() -> bool:
    """Say who may see the pages."""
    return current_user.is_authenticated and current_user.has_role("analyst")


def create_app(**config: object) -> Flask:
    """Make the app."""
    app = Flask(__name__)
    app.config.from_mapping(
        SECRET_KEY="change me",
        SECURITY_PASSWORD_SALT="change me too",
        SQLALCHEMY_DATABASE_URI="sqlite://",
        **config,
    )
    db.init_app(app)
    app.extensions["users"] = Security(app, users)
    bitmapist.init_app(app)
    with app.app_context():
        db.create_all()

    @app.get("/orders")
    @auth_required("session")
    @mark("orders:seen", current_user)
    def orders() -> str:
        return "Your orders."

    return app
