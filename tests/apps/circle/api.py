"""What programs see: a password buys a token, and that opens the rest."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, g, request

from . import db
from .models import Post, User

bp = Blueprint("api", __name__)


@bp.before_request
def authenticate() -> None:
    given = request.authorization
    user = None
    if given is not None and given.type == "bearer":
        user = db.session.scalar(db.select(User).filter_by(token=given.token))
    elif given is not None and request.endpoint == "api.token":
        user = db.session.scalar(db.select(User).filter_by(name=given.username))
        user = user if user and user.check_password(given.password or "") else None
    if user is None:
        abort(401)
    g.user = user


@bp.post("/tokens")
def token() -> Any:
    new = g.user.new_token()
    db.session.commit()
    return {"token": new}, 201


@bp.get("/users/<int:user_id>")
def user(user_id: int) -> Any:
    wanted = db.get_or_404(User, user_id)
    posts = [each.body for each in db.session.scalars(wanted.posts.select())]
    return {"id": wanted.id, "name": wanted.name, "posts": posts}


@bp.post("/posts")
def post() -> Any:
    new = Post(body=request.get_json()["body"], author=g.user)
    db.session.add(new)
    db.session.commit()
    return {"id": new.id}, 201
