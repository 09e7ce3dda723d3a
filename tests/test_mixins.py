"""Rows that are created, updated and deleted, marked when they are committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from flask import Flask

from .marks import keys, today, users
from .servers import RedisProcess

pytest.importorskip("flask_sqlalchemy")

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import create_engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from flask_bitmapist import mark_event
from flask_bitmapist.mixins import Bitmapistable


class Base(DeclarativeBase):
    pass


class Song(Bitmapistable, Base):
    __tablename__ = "songs"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


class Play(Bitmapistable, Base):
    __tablename__ = "plays"
    __bitmapist_prefix__ = "listen"
    __bitmapist_id__ = "user_id"
    play_id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int | None]


class Draft(Bitmapistable, Base):
    """A model as of version 0.1, which overrides two hooks and calls the third."""

    __tablename__ = "drafts"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[int]

    @staticmethod
    def bitmapist_after_insert(mapper: Any, connection: Any, target: Any) -> None:
        mark_event("draft:begun", target.owner)

    @staticmethod
    def bitmapist_before_update(mapper: Any, connection: Any, target: Any) -> None:
        pass

    @staticmethod
    def bitmapist_before_delete(mapper: Any, connection: Any, target: Any) -> None:
        Bitmapistable.bitmapist_before_delete(mapper, connection, target)
        mark_event("draft:given up", target.owner)

    @classmethod
    def __declare_last__(cls) -> None:
        super().__declare_last__()


class Letter(Draft):
    """Inherits the hooks of its model."""


class Label(Bitmapistable, Base):
    __tablename__ = "labels"
    number: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture
def session(app: Flask) -> Iterator[Session]:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with app.app_context(), Session(engine) as session:
        yield session
    engine.dispose()


@pytest.fixture
def marked(redis_client: redis.Redis) -> Callable[[str], set[int]]:
    return lambda event: users(redis_client, today(event))


Marked = Callable[[str], set[int]]


def test_a_committed_row_is_marked_as_created(session: Session, marked: Marked) -> None:
    session.add(Song(id=5, name="a"))
    session.flush()
    assert marked("song:created") == set(), "not before the commit"
    session.commit()

    assert marked("song:created") == {5}


def test_an_id_that_the_database_gives_is_known(
    session: Session, marked: Marked
) -> None:
    songs = [Song(name=name) for name in "abc"]
    session.add_all(songs)
    session.commit()

    assert marked("song:created") == {song.id for song in songs}


def test_changes_and_deletions_are_marked(session: Session, marked: Marked) -> None:
    session.add_all([Song(id=1, name="a"), Song(id=2, name="b")])
    session.commit()
    session.get(Song, 1).name = "c"
    session.delete(session.get(Song, 2))
    session.commit()

    assert marked("song:updated") == {1}
    assert marked("song:deleted") == {2}


def test_a_value_that_stays_the_same_is_no_change(
    session: Session, marked: Marked
) -> None:
    session.add(Song(id=1, name="a"))
    session.commit()
    session.get(Song, 1).name = "a"
    session.commit()

    assert marked("song:updated") == set()


def test_a_rollback_marks_nothing(
    session: Session, marked: Marked, redis_client: redis.Redis
) -> None:
    session.add(Song(id=1, name="a"))
    session.flush()
    session.rollback()
    session.commit()
    session.add(Song(id=2, name="b"))
    session.flush()
    session.close()
    session.commit()

    assert keys(redis_client) == set()


def test_a_failed_flush_marks_nothing(session: Session, marked: Marked) -> None:
    session.add(Song(id=1, name="a"))
    session.commit()
    session.add(Song(id=2, name="b"))
    session.flush()
    session.add(Song(id=3, name="a"))
    with pytest.raises(IntegrityError):
        session.commit()
    session.rollback()
    session.add(Song(id=4, name="d"))
    session.commit()

    assert marked("song:created") == {1, 4}


def test_a_savepoint_that_is_rolled_back_marks_nothing(
    session: Session, marked: Marked
) -> None:
    session.add(Song(id=1, name="a"))
    with session.begin_nested():
        session.add(Song(id=2, name="b"))
    savepoint = session.begin_nested()
    session.add(Song(id=3, name="c"))
    session.flush()
    inner = session.begin_nested()
    session.add(Song(id=4, name="d"))
    inner.commit()
    savepoint.rollback()
    assert marked("song:created") == set()
    session.commit()

    assert marked("song:created") == {1, 2}


def test_a_savepoint_in_a_transaction_that_is_rolled_back_marks_nothing(
    session: Session, redis_client: redis.Redis
) -> None:
    with session.begin_nested():
        session.add(Song(id=2, name="b"))
    session.rollback()
    session.commit()

    assert keys(redis_client) == set()


def test_the_prefix_and_the_id_can_be_chosen(session: Session, marked: Marked) -> None:
    session.add(Play(play_id=1, user_id=77))
    session.add(Play(play_id=2, user_id=None))
    session.commit()

    assert marked("listen:created") == {77}


def test_the_primary_key_serves_where_there_is_no_id(
    session: Session, marked: Marked
) -> None:
    session.add(Label(number=9))
    session.commit()

    assert marked("label:created") == {9}


@pytest.mark.parametrize("model", [Draft, Letter])
def test_a_model_decides_by_its_hooks_what_is_marked(
    model: type[Draft], session: Session, redis_client: redis.Redis
) -> None:
    draft = model(id=3, owner=8)
    session.add(draft)
    session.commit()
    draft.owner = 9
    session.commit()
    session.delete(draft)
    session.commit()

    found = {key.rpartition("_")[0] for key in keys(redis_client)}
    name = model.__name__.lower()
    assert found == {"draft:begun", "draft:given up", f"{name}:deleted"}
    assert users(redis_client, today("draft:begun")) == {8}
    assert users(redis_client, today(f"{name}:deleted")) == {3}


def test_what_a_hook_changes_is_written_with_the_row(session: Session) -> None:
    class Counted(Bitmapistable, Base):
        __tablename__ = "counted"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        changes: Mapped[int] = mapped_column(default=0)

        @staticmethod
        def bitmapist_before_update(mapper: Any, connection: Any, target: Any) -> None:
            target.changes += 1

    Base.metadata.create_all(session.get_bind())
    counted = Counted(id=1, name="a")
    session.add(counted)
    session.commit()
    counted.name = "b"
    session.commit()

    session.expire_all()
    assert counted.changes == 1


def test_it_works_with_flask_sqlalchemy(app: Flask, marked: Marked) -> None:
    class OwnBase(DeclarativeBase):
        pass

    db = SQLAlchemy(model_class=OwnBase)

    class Album(Bitmapistable, db.Model):  # type: ignore[name-defined,misc]
        id: Mapped[int] = mapped_column(primary_key=True)

    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    db.init_app(app)
    with app.app_context():
        db.create_all()
        db.session.add(Album(id=3))
        db.session.commit()
        db.session.add(Album(id=4))
        db.session.rollback()
        db.session.remove()
        db.engine.dispose()

    assert marked("album:created") == {3}


def test_a_commit_succeeds_while_redis_is_gone(
    make_app: Callable[..., Flask], redis_process: RedisProcess
) -> None:
    app = make_app(BITMAPIST_REDIS_URL=redis_process.url)
    redis_process.kill()
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with app.app_context(), Session(engine) as session:
        session.add(Song(id=1, name="a"))
        session.commit()
    engine.dispose()
    redis_process.start()
    state: Any = app.extensions["bitmapist"]
    assert state.recorder.flush()

    assert users(redis_process.client(), today("song:created")) == {1}


def test_a_commit_outside_any_app_succeeds(
    make_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    apps = [make_app(), make_app()]
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Song(id=1, name="a"))
        session.commit()
    engine.dispose()

    assert len(apps) == 2, "both are still there"
    assert "row changes are not tracked" in caplog.text
