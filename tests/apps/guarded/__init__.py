"""An admin in the shape of Flask-Admin's example of Flask-Security.

Each view of a model is guarded by itself, and the index by nobody.
"""

from __future__ import annotations

from typing import Any

from flask import Flask, abort, redirect, request
from flask_admin import Admin
from flask_admin.contrib.sqla import ModelView
from flask_babel import Babel
from flask_security import (
    RoleMixin,
    Security,
    SQLAlchemyUserDatastore,
    UserMixin,
    current_user,
    hash_password,
    url_for_security,
)
from flask_sqlalchemy import SQLAlchemy

from flask_bitmapist import FlaskBitmapist, mark  # bitmapist

app = Flask(__name__)
app.config.update(
    SECRET_KEY="change me",
    SQLALCHEMY_DATABASE_URI="sqlite://",
    SECURITY_PASSWORD_HASH="pbkdf2_sha512",
    SECURITY_PASSWORD_SALT="change me too",
    # Whether mail can be sent there is asked of no name server.
    SECURITY_EMAIL_VALIDATOR_ARGS={"check_deliverability": False},
    SECURITY_REGISTERABLE=True,
    SECURITY_SEND_REGISTER_EMAIL=False,
    SECURITY_URL_PREFIX="/admin",
    SECURITY_POST_LOGIN_VIEW="/admin/",
    SECURITY_POST_REGISTER_VIEW="/admin/",
)
db = SQLAlchemy(app)

roles_users = db.Table(
    "roles_users",
    db.Column("user_id", db.Integer, db.ForeignKey("user.id")),
    db.Column("role_id", db.Integer, db.ForeignKey("role.id")),
)


class Role(db.Model, RoleMixin):
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(80), unique=True)

    def __str__(self) -> str:
        return str(self.name)


class User(db.Model, UserMixin):
    id = db.Column(db.Integer, primary_key=True)
    email = db.Column(db.String(255), unique=True)
    password = db.Column(db.String(255), nullable=False)
    active = db.Column(db.Boolean)
    fs_uniquifier = db.Column(db.String(64), unique=True, nullable=False)
    roles = db.relationship("Role", secondary=roles_users, backref="users")


users = SQLAlchemyUserDatastore(db, User, Role)
security = Security(app, users)


class Guarded(ModelView):
    column_exclude_list = ("password", "fs_uniquifier")

    def is_accessible(self) -> bool:
        return bool(current_user.is_active and current_user.has_role("superuser"))

    def inaccessible_callback(self, name: str, **values: Any) -> Any:
        if current_user.is_authenticated:
            abort(403)
        return redirect(url_for_security("login", next=request.url))


Babel(app)
admin = Admin(app, name="Back office")
admin.add_view(Guarded(Role, db))
admin.add_view(Guarded(User, db))
app.config["BITMAPIST_ACCESS"] = lambda: current_user.has_role("superuser")  # bitmapist
FlaskBitmapist(app, admin=admin)  # bitmapist


@app.get("/")
@mark("home:seen", current_user)  # bitmapist
def home() -> str:
    return f'Welcome. <a href="{url_for_security("login")}">Log in</a>'


def build_sample_db() -> None:
    db.drop_all()
    db.create_all()
    roles = [users.create_role(name=name) for name in ("user", "superuser")]
    for name, its in (("admin", roles), ("bob", roles[:1])):
        users.create_user(
            email=f"{name}@example.com", password=hash_password("secret-one"), roles=its
        )
    db.session.commit()
