"""Users as other people's apps have them: Flask-Login, SQLAlchemy, and their ids."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from flask_bitmapist import mark, mark_event

from .inside import BadMarkError, object_id
from .marks import recorder_of

pytest.importorskip("flask_login")
pytest.importorskip("sqlalchemy")

from flask_login import LoginManager, UserMixin, current_user, login_user
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from flask_bitmapist.mixins import Bitmapistable

MakeApp = Callable[..., Flask]
TOKEN = "a6c1f0de"


class Base(DeclarativeBase):
    pass


class Numbered(UserMixin, Base):
    __tablename__ = "numbered"
    id: Mapped[int] = mapped_column(primary_key=True)


class Alternative(UserMixin, Base):
    """The session knows the user by another id, so that it can be ended."""

    __tablename__ = "alternative"
    id: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[str]

    def get_id(self) -> str:
        return self.token


class Unique(UserMixin, Base):
    __tablename__ = "unique"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)


class Mailed(UserMixin, Base):
    __tablename__ = "mailed"
    address: Mapped[str] = mapped_column(primary_key=True)

    def get_id(self) -> str:
        return self.address


class Regional(UserMixin, Base):
    __tablename__ = "regional"
    region: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)

    def get_id(self) -> str:
        return f"{self.region}/{self.number}"


class Plain(Base):
    """A user of an app without Flask-Login."""

    __tablename__ = "plain"
    number: Mapped[int] = mapped_column(primary_key=True)


class Row(Bitmapistable, Base):
    __tablename__ = "rows"
    region: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)


class Simple(UserMixin):
    """A user that no database maps."""

    def __init__(self, user_id: Any) -> None:
        self.id = user_id


class OnlySession(UserMixin):
    """A user that has nothing but what the session needs."""

    def __init__(self, named: Any) -> None:
        self._named = named

    def get_id(self) -> Any:
        return self._named


class Nameless(UserMixin):
    """A user without an id, whose get_id() raises."""


class ObjectId:
    """An id of a type of its own, as MongoDB has it."""

    def __str__(self) -> str:
        return "507f1f77bcf86cd799439011"


@pytest.fixture
def session() -> Iterator[Session]:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        yield session
    engine.dispose()


HEX = uuid.UUID(int=7)
CASES: dict[str, tuple[Callable[[], Any], Any]] = {
    "whole number": (lambda: Numbered(id=5), 5),
    "alternative id in hex": (lambda: Alternative(id=5, token=TOKEN), 5),
    "alternative id of digits": (lambda: Alternative(id=5, token="8812"), 5),
    "UUID": (lambda: Unique(id=HEX), str(HEX)),
    "e-mail address": (lambda: Mailed(address="ada@example.org"), "ada@example.org"),
    "several columns": (lambda: Regional(region="eu", number=5), "eu:5"),
    "columns with colons": (lambda: Regional(region="e:u\\", number=5), r"e\:u\\:5"),
    "id of no database": (lambda: Simple(5), 5),
    "id as text": (lambda: Simple("ada"), "ada"),
    "digits with zeros": (lambda: Simple("007"), "007"),
    "snowflake": (lambda: Simple(2**53), 2**53),
    "type of its own": (lambda: Simple(ObjectId()), str(ObjectId())),
    "session's id alone": (lambda: OnlySession("17"), 17),
}


@pytest.mark.parametrize("case", CASES)
def test_a_signed_in_user_is_marked_as_the_app_knows_them(
    make_app: MakeApp, case: str
) -> None:
    make, known = CASES[case]
    app = make_app()
    manager = LoginManager(app)
    manager.user_loader(lambda named: make())

    @app.get("/login")
    def login() -> str:
        login_user(make())
        return "in"

    @app.get("/")
    @mark("decorated", current_user)
    def view() -> str:
        mark_event("called", current_user)
        mark_event("called by id", known)
        return "seen"

    client = app.test_client()
    assert client.get("/login").text == "in"
    assert client.get("/").text == "seen"
    query = app.extensions["bitmapist"].query
    with app.app_context():
        for event in ("user:logged_in", "decorated", "called", "called by id"):
            assert list(query.users(event)) == [known]
        assert query.has(make(), "decorated")
        assert make() in query.users("decorated")
    counters = recorder_of(app).counters
    assert (counters.written, counters.rejected) == (4, 0)


def test_a_mapped_object_is_a_user_without_flask_login(app: Flask) -> None:
    with app.app_context():
        mark_event("e", Plain(number=5))
        assert list(app.extensions["bitmapist"].query.users("e")) == [5]


def test_a_new_session_id_makes_no_new_user(make_app: MakeApp) -> None:
    app = make_app()
    with app.app_context():
        for token in (TOKEN, "b7d2e1cf"):
            mark_event("e", Alternative(id=5, token=token))
        assert list(app.extensions["bitmapist"].query.users("e")) == [5]


NOBODY: dict[str, Callable[[], Any]] = {
    "empty id of a session": lambda: OnlySession(""),
    "no id at all": Nameless,
    "float": lambda: Simple(1.5),
    "bytes": lambda: Simple(b"5"),
    "object without an id": object,
    "class": lambda: Simple,
    "mapped class": lambda: Numbered,
    "not saved yet": Numbered,
    "one column missing": lambda: Regional(region="eu"),
}


@pytest.mark.parametrize("case", NOBODY)
def test_who_has_no_id_is_an_error_that_says_so(app: Flask, case: str) -> None:
    user = NOBODY[case]()
    with app.app_context(), pytest.raises(ValueError, match="user"):
        mark_event("e", user)
    with app.test_request_context():
        mark_event("e", user)
        mark("e", lambda: user)(lambda: "seen")()
    assert recorder_of(app).counters.rejected == 2


def test_a_session_of_nobody_marks_nobody(app: Flask) -> None:
    with app.app_context():
        mark_event("e", OnlySession(None))
    counters = recorder_of(app).counters
    assert (counters.anonymous, counters.rejected) == (1, 0)


def test_an_object_that_left_its_session_keeps_its_id(session: Session) -> None:
    user = Alternative(id=5, token=TOKEN)
    session.add(user)
    session.commit()  # which lets all of its attributes expire
    session.expunge(user)
    assert object_id(user) == 5


def test_no_database_is_asked_for_an_id(session: Session) -> None:
    user = Numbered(id=5)
    session.add(user)
    session.commit()
    session.get_bind().dispose()  # type: ignore[union-attr]
    session.close()
    assert object_id(user) == 5


def test_different_keys_of_several_columns_stay_different() -> None:
    pairs = [("a:b", "c"), ("a", "b:c"), ("a\\", ":c"), ("a", "\\:c"), ("a\\:", "c")]

    class Pair(Base):
        __tablename__ = "pairs"
        one: Mapped[str] = mapped_column(primary_key=True)
        other: Mapped[str] = mapped_column(primary_key=True)

    made = {object_id(Pair(one=one, other=other)) for one, other in pairs}
    assert len(made) == len(pairs)


def test_rows_of_several_columns_are_told_apart(app: Flask, session: Session) -> None:
    with app.app_context():
        session.add_all([Row(region="eu", number=each) for each in range(5)])
        session.commit()
        found = list(app.extensions["bitmapist"].query.users("row:created"))
    assert found == [f"eu:{number}" for number in range(5)]


# --- What the app says


@pytest.mark.parametrize(
    ("told", "known"), [(7, 7), ("ada", "ada"), (HEX, str(HEX)), (None, None)]
)
def test_the_app_may_say_what_the_id_is(
    make_app: MakeApp, told: Any, known: Any
) -> None:
    app = make_app(BITMAPIST_USER_ID=lambda user: told)
    with app.app_context():
        mark_event("e", Alternative(id=5, token=TOKEN))
        query = app.extensions["bitmapist"].query
        found = list(query.users("e", allow_unknown=True))
    assert found == ([] if known is None else [known])


def test_the_app_may_say_whose_object_it_is(make_app: MakeApp) -> None:
    app = make_app(BITMAPIST_USER_ID=lambda user: Numbered(id=user.id + 100))
    with app.app_context():
        mark_event("e", Simple(5))
        mark_event("e", 6)  # an id is one already
        assert list(app.extensions["bitmapist"].query.users("e")) == [6, 105]


def test_rows_are_not_asked_about_as_if_they_were_users(
    make_app: MakeApp, session: Session
) -> None:
    app = make_app(BITMAPIST_USER_ID=lambda user: user.account)
    with app.app_context():
        session.add(Row(region="eu", number=5))
        session.commit()
        found = list(app.extensions["bitmapist"].query.users("row:created"))
    assert found == ["eu:5"]


@pytest.mark.parametrize(
    "told", [1.5, b"5", True, object()], ids=["float", "bytes", "bool", "object"]
)
def test_what_the_app_says_has_to_be_an_id(make_app: MakeApp, told: Any) -> None:
    app = make_app(BITMAPIST_USER_ID=lambda user: told)
    with app.app_context(), pytest.raises(BadMarkError, match="user id"):
        mark_event("e", Simple(5))


def test_an_error_of_the_app_leaves_the_view_alone_and_is_told(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(BITMAPIST_USER_ID=lambda user: user.account)
    with app.test_request_context():
        mark_event("e", Simple(5))
    (record,) = caplog.records
    assert "AttributeError" in record.message
    assert record.exc_info is not None
