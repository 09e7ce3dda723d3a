"""What people see."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, current_app, redirect, render_template_string, request
from flask import url_for as url
from flask_babel import format_date
from flask_login import current_user, login_required, login_user, logout_user

from . import db, enqueue
from .jobs import export_posts
from .models import Post, User

bp = Blueprint("main", __name__)

PAGE = """
<p>{{ current_user.name }}</p>
{% for post in posts %}
<p>{{ post.author.name }}, {{ format_date(post.at, "full") }}: {{ post.body }}</p>
{% endfor %}
"""


@bp.route("/", methods=["GET", "POST"])
@login_required
def index() -> Any:
    if request.method == "POST":
        db.session.add(Post(body=request.form["body"], author=current_user))
        db.session.commit()
        return redirect(url("main.index"))
    wanted = current_user.timeline().limit(current_app.config["POSTS_PER_PAGE"])
    posts = db.session.scalars(wanted).all()
    return render_template_string(PAGE, posts=posts, format_date=format_date)


@bp.post("/register")
def register() -> Any:
    user = User(name=request.form["name"])
    user.set_password(request.form["password"])
    db.session.add(user)
    db.session.commit()
    return redirect(url("main.enter"))


@bp.route("/login", methods=["GET", "POST"])
def enter() -> Any:
    if request.method == "GET":
        return '<form method="post"><input name="name"><input name="password"></form>'
    named = db.session.scalar(db.select(User).filter_by(name=request.form["name"]))
    if named is None or not named.check_password(request.form["password"]):
        return "Wrong name or password.", 401
    login_user(named)
    return redirect(url("main.index"))


@bp.get("/logout")
def leave() -> Any:
    logout_user()
    return redirect(url("main.enter"))


@bp.post("/<any(follow, unfollow):what>/<name>")
@login_required
def follow(what: str, name: str) -> Any:
    user = db.first_or_404(db.select(User).filter_by(name=name))
    getattr(current_user, what)(user)
    db.session.commit()
    return redirect(url("main.index"))


@bp.post("/export")
@login_required
def export() -> Any:
    enqueue(current_app._get_current_object(), export_posts, current_user.id)
    return "It is being made.", 202
