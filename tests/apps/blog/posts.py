"""What they write: everybody reads posts, their authors change and delete them."""

from __future__ import annotations

import sqlite3
from typing import Any

from flask import Blueprint, abort, flash, g, redirect, render_template, request
from flask import url_for as url

from flask_bitmapist import mark, mark_event  # bitmapist

from .auth import login_required
from .db import get_db

bp = Blueprint("posts", __name__)


@bp.get("/")
@mark("blog:read", lambda: g.user and g.user["id"])  # bitmapist
def index() -> str:
    posts = get_db().execute(
        "SELECT post.*, username FROM post JOIN user ON user.id = author_id"
        " ORDER BY post.id DESC"
    )
    return render_template("index.html", posts=posts.fetchall())


@bp.route("/create", methods=("GET", "POST"))
@login_required
def create() -> Any:
    if request.method == "POST" and (post := posted()):
        get_db().execute(
            "INSERT INTO post (title, body, author_id) VALUES (?, ?, ?)",
            (*post, g.user["id"]),
        )
        get_db().commit()
        mark_event("post:created", g.user["id"])  # bitmapist
        return redirect(url("index"))
    fields = {"title": "", "body": ""}
    return render_template("form.html", title="New post", fields=fields)


@bp.route("/<int:post_id>/update", methods=("GET", "POST"))
@login_required
def update(post_id: int) -> Any:
    post = own_post(post_id)
    if request.method == "POST" and (new := posted()):
        get_db().execute(
            "UPDATE post SET title = ?, body = ? WHERE id = ?", (*new, post_id)
        )
        get_db().commit()
        return redirect(url("index"))
    fields = {"title": post["title"], "body": post["body"]}
    return render_template("form.html", title="Edit", fields=fields)


@bp.post("/<int:post_id>/delete")
@login_required
def delete(post_id: int) -> Any:
    own_post(post_id)
    get_db().execute("DELETE FROM post WHERE id = ?", (post_id,))
    get_db().commit()
    return redirect(url("index"))


def posted() -> tuple[str, str] | None:
    if not request.form["title"]:
        flash("A title is required.")
        return None
    return request.form["title"], request.form["body"]


def own_post(post_id: int) -> sqlite3.Row:
    post = get_db().execute("SELECT * FROM post WHERE id = ?", (post_id,)).fetchone()
    if post is None:
        abort(404)
    if post["author_id"] != g.user["id"]:
        abort(403)
    row: sqlite3.Row = post
    return row
