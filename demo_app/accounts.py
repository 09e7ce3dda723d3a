"""Customers, and who of them is logged in."""

from __future__ import annotations

from flask_login import LoginManager, UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import insert
from sqlalchemy.orm import Mapped, mapped_column

from flask_bitmapist.capture.sample import CUSTOMERS

PASSWORD = "demo"
VISITORS = ("Ada", "Grace", "Linus")

db = SQLAlchemy()
login_manager = LoginManager()
login_manager.login_view = "shop.login"


class User(UserMixin, db.Model):  # type: ignore[name-defined,misc]
    """A customer; the id is that of the marks."""

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str] = mapped_column(unique=True)


@login_manager.user_loader
def load_user(user_id: str) -> User | None:
    """Return the customer of a session."""
    return db.session.get(User, int(user_id))


def name_of(user_id: int) -> str | None:
    """Return the name of the customer with an id, for the pages to show."""
    user = db.session.get(User, user_id)
    return user.name if user else None


def create_accounts() -> None:
    """Make the table, the customers of the sample, and a few to log in as."""
    db.create_all()
    names = [f"Customer {number}" for number in range(1, CUSTOMERS + 1)]
    rows = [
        {"id": number, "name": name, "email": f"{_address(name)}@example.com"}
        for number, name in enumerate([*names, *VISITORS], start=1)
    ]
    db.session.execute(insert(User), rows)
    db.session.commit()


def _address(name: str) -> str:
    return name.lower().replace(" ", "-")
