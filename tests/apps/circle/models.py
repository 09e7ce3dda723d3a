"""Users, whom they follow, and what they post."""

from __future__ import annotations

import secrets
from datetime import datetime, timezone
from typing import Any

from flask_login import UserMixin
from sqlalchemy import ForeignKey, Select, or_, select
from sqlalchemy.orm import Mapped, WriteOnlyMapped, mapped_column, relationship
from werkzeug.security import check_password_hash, generate_password_hash

from flask_bitmapist.mixins import Bitmapistable  # bitmapist

from . import db, login

followers = db.Table(
    "followers",
    db.Column("follower_id", ForeignKey("user.id"), primary_key=True),
    db.Column("followed_id", ForeignKey("user.id"), primary_key=True),
)


class User(UserMixin, db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str | None]
    token: Mapped[str | None] = mapped_column(unique=True)
    export: Mapped[str | None]
    posts: WriteOnlyMapped[Post] = relationship(back_populates="author")
    following: WriteOnlyMapped[User] = relationship(
        secondary=followers,
        primaryjoin=followers.c.follower_id == id,
        secondaryjoin=followers.c.followed_id == id,
    )

    def set_password(self, password: str) -> None:
        self.password_hash = generate_password_hash(password, "pbkdf2:sha256:1")

    def check_password(self, password: str) -> bool:
        return check_password_hash(self.password_hash or "", password)

    def new_token(self) -> str:
        self.token = secrets.token_hex()
        return self.token

    def follows(self, user: User) -> bool:
        wanted = self.following.select().where(User.id == user.id)
        return db.session.scalar(wanted) is not None

    def follow(self, user: User) -> None:
        if not self.follows(user):
            self.following.add(user)

    def unfollow(self, user: User) -> None:
        if self.follows(user):
            self.following.remove(user)

    def timeline(self) -> Select[Any]:
        """Return the posts of those whom the user follows, and the user's own."""
        followed = self.following.select().with_only_columns(User.id)
        mine = or_(Post.user_id == self.id, Post.user_id.in_(followed))
        return select(Post).where(mine).order_by(Post.at.desc(), Post.id.desc())


class Post(Bitmapistable, db.Model):  # bitmapist, was: class Post(db.Model):
    __bitmapist_id__ = "user_id"  # bitmapist
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str]
    at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(timezone.utc))
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    author: Mapped[User] = relationship(back_populates="posts")


@login.user_loader
def load_user(user_id: str) -> User | None:
    return db.session.get(User, int(user_id))
