"""Flask-Login: logins mark themselves, views mark current_user, staff see the pages.

flask --app examples.login run
"""

from __future__ import annotations

from flask import Flask
from flask_login import LoginManager, UserMixin, current_user, login_user

from flask_bitmapist import FlaskBitmapist, mark

STAFF = {1}
login_manager = LoginManager()
bitmapist = FlaskBitmapist()


class User(UserMixin):
    """A user; yours is a model."""

    def __init__(self, id: int) -> None:
        self.id = id


@login_manager.user_loader
def load(user_id: str) -> User:
    """Return the user of a session."""
    return User(int(user_id))


@bitmapist.access
def only_staff() -> bool:
    """Say who may see the pages: nobody else."""
    return current_user.is_authenticated and current_user.id in STAFF


def create_app(**config: object) -> Flask:
    """Make the app."""
    app = Flask(__name__)
    app.config.from_mapping(SECRET_KEY="change me", **config)
    login_manager.init_app(app)
    bitmapist.init_app(app)

    @app.post("/login/<int:user_id>")
    def log_in(user_id: int) -> str:
        # Marks user:logged_in by itself.  Your app asks for a password first.
        login_user(User(user_id))
        return "Welcome."

    @app.get("/")
    @mark("home:seen", current_user)
    def home() -> str:
        return "Home."

    return app
