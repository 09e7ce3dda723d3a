"""Who visits: users register, log in and log out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, session
from flask import url_for as url
from werkzeug.security import check_password_hash, generate_password_hash

from flask_bitmapist import mark_event  # bitmapist

from .db import get_db

bp = Blueprint("auth", __name__, url_prefix="/auth")


@bp.before_app_request
def load_user() -> None:
    g.user = (
        get_db()
        .execute("SELECT * FROM user WHERE id = ?", (session.get("user_id"),))
        .fetchone()
    )


def login_required(view: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(view)
    def wrapped(**values: Any) -> Any:
        return view(**values) if g.user else redirect(url("auth.login"))

    return wrapped


@bp.route("/register", methods=("GET", "POST"))
def register() -> Any:
    if request.method == "POST":
        name, password = request.form["username"], request.form["password"]
        db = get_db()
        if not name or not password:
            flash("A name and a password are required.")
        elif db.execute("SELECT 1 FROM user WHERE username = ?", (name,)).fetchone():
            flash(f"{name} is registered already.")
        else:
            db.execute(
                "INSERT INTO user (username, password) VALUES (?, ?)",
                (name, generate_password_hash(password, "pbkdf2:sha256:1")),
            )
            db.commit()
            return redirect(url("auth.login"))
    return render_template("form.html", title="Register", fields=WHO)


@bp.route("/login", methods=("GET", "POST"))
def login() -> Any:
    if request.method == "POST":
        name, password = request.form["username"], request.form["password"]
        user = (
            get_db()
            .execute("SELECT * FROM user WHERE username = ?", (name,))
            .fetchone()
        )
        if user is not None and check_password_hash(user["password"], password):
            session.clear()
            session["user_id"] = user["id"]
            mark_event("user:logged_in", user["id"])  # bitmapist
            return redirect(url("index"))
        flash("Wrong name or password.")
    return render_template("form.html", title="Log in", fields=WHO)


@bp.get("/logout")
def logout() -> Any:
    session.clear()
    return redirect(url("index"))


WHO = {"username": "", "password": ""}
