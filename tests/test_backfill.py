"""Events out of an app's own database: the same as of the same rows in a file."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import Result
from flask import Flask

from flask_bitmapist import FlaskBitmapist

from .marks import keys, users
from .servers import find_postgres, postgres

sqlalchemy = pytest.importorskip("sqlalchemy")
flask_sqlalchemy = pytest.importorskip("flask_sqlalchemy")
flask_sqlalchemy_lite = pytest.importorskip("flask_sqlalchemy_lite")
pytest.importorskip("psycopg")

MakeApp = Callable[..., Flask]
COLUMNS = ("--user", "customer_id", "--time", "created_at")
# No connection outlives its use.
UNPOOLED = {"poolclass": sqlalchemy.NullPool}


def dump(client: redis.Redis) -> dict[str, Any]:
    return {key: client.get(f"trackist_{key}") for key in keys(client)}


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    if find_postgres() is None:
        pytest.skip("PostgreSQL is not installed")
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'app.sqlite'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def orders(database_url: str) -> Iterator[Any]:
    """A table of orders in the app's database, and its engine as ``bind``."""
    metadata = sqlalchemy.MetaData()
    table = sqlalchemy.Table(
        "orders",
        metadata,
        sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True),
        sqlalchemy.Column("customer_id", sqlalchemy.Integer),
        sqlalchemy.Column("created_at", sqlalchemy.DateTime(timezone=True)),
        sqlalchemy.Column("paid", sqlalchemy.Boolean, nullable=False, default=True),
    )
    engine = sqlalchemy.create_engine(database_url, **UNPOOLED)
    metadata.create_all(engine)
    table.bind = engine
    yield table
    metadata.drop_all(engine)


def fill(orders: Any, count: int = 20_000) -> list[tuple[int | None, datetime | None]]:
    """Put orders into the table, some of them of nobody or of no time."""
    chance = random.Random(1)
    first = datetime(2026, 1, 1, tzinfo=timezone.utc)
    rows = [
        (
            None if number % 1000 == 7 else chance.randrange(3000),
            None
            if number % 1000 == 8
            else first + timedelta(minutes=chance.randrange(60_000)),
        )
        for number in range(count)
    ]
    with orders.bind.begin() as connection:
        connection.execute(
            orders.insert(),
            [{"customer_id": user, "created_at": when} for user, when in rows],
        )
    return rows


@pytest.fixture
def flask_app(make_app: MakeApp, database_url: str) -> Flask:
    """An app whose database Flask-SQLAlchemy knows."""
    app = make_app(
        SQLALCHEMY_DATABASE_URI=database_url, SQLALCHEMY_ENGINE_OPTIONS=UNPOOLED
    )
    flask_sqlalchemy.SQLAlchemy(app)
    return app


def test_a_backfill_is_the_import_of_the_same_rows_and_twice_is_once(
    flask_app: Flask, orders: Any, redis_client: redis.Redis, tmp_path: Path
) -> None:
    rows = fill(orders)
    path = tmp_path / "orders.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["customer_id", "created_at"])
        writer.writerows(rows)
    told = flask_app.test_cli_runner().invoke(
        args=["bitmapist", "import", str(path), "--always", "purchase", *COLUMNS]
    )
    assert told.exit_code == 0, told.output
    imported = dump(redis_client)
    redis_client.flushall()

    bitmapist = FlaskBitmapist(flask_app)
    statement = sqlalchemy.select(orders.c.customer_id, orders.c.created_at)
    first = bitmapist.backfill("purchase", statement)
    assert dump(redis_client) == imported
    again = bitmapist.backfill("purchase", statement)

    assert dump(redis_client) == imported
    assert (first.rows, first.written, first.rejected) == (20_000, 19_960, 40)
    assert first.to_dict()["reasons"] == {"no user": 20, "bad timestamp": 20}
    assert (first.bits > 0, again.bits) == (True, 0)


def test_a_backfill_is_what_plain_sets_say(
    flask_app: Flask, orders: Any, redis_client: redis.Redis
) -> None:
    rows = fill(orders, 500)
    statement = sqlalchemy.select(orders.c.customer_id, orders.c.created_at)
    FlaskBitmapist(flask_app).backfill("purchase", statement)

    for day in (date(2026, 1, 1) + timedelta(days=each) for each in range(45)):
        key = f"purchase_{day.year}-{day.month}-{day.day}"
        assert users(redis_client, key) == {
            user
            for user, when in rows
            if user is not None and when and when.date() == day
        }


@pytest.fixture
def run(flask_app: Flask) -> Callable[..., Result]:
    def run(*arguments: str) -> Result:
        runner = flask_app.test_cli_runner()
        return runner.invoke(args=["bitmapist", "backfill", *arguments])

    return run


def test_the_command_backfills_a_table(
    run: Callable[..., Result], orders: Any, redis_client: redis.Redis, tmp_path: Path
) -> None:
    fill(orders, 1000)
    rejects = tmp_path / "rejects.csv"
    result = run("purchase", "orders", *COLUMNS, "--rejects", str(rejects))

    assert result.exit_code == 0, result.output
    assert "1,000 rows read, 998 imported: 1 event of" in result.stdout
    assert "  row 8: the row has no user" in result.stderr
    lines = rejects.read_text().splitlines()
    assert lines[0] == "row,reason,customer_id,event,created_at"
    assert [line.split(",")[0] for line in lines[1:]] == ["8", "9"]
    assert "purchase_2026-1" in keys(redis_client)


def test_the_command_takes_a_condition_and_another_database(
    make_app: MakeApp, database_url: str, orders: Any, redis_client: redis.Redis
) -> None:
    fill(orders, 300)
    result = (
        make_app()
        .test_cli_runner()
        .invoke(
            args=[
                *("bitmapist", "backfill", "purchase", "orders", *COLUMNS),
                *("--where", "customer_id = 5 or id <= 3", "--database", database_url),
            ]
        )
    )

    assert result.exit_code == 0, result.output
    with orders.bind.connect() as connection:
        found = connection.execute(
            sqlalchemy.select(orders.c.customer_id).where(
                (orders.c.customer_id == 5) | (orders.c.id <= 3)
            )
        )
        expected = set(found.scalars())
    month = users(redis_client, "purchase_2026-1")
    assert month | users(redis_client, "purchase_2026-2") == expected


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("purchase", "missing", *COLUMNS), 1, "the database says: "),
        (("purchase", "orders", "--user", "who", "--time", "created_at"), 1, "who"),
        (("bitop_x", "orders", *COLUMNS), 2, "bitop_"),
        (("purchase", "orders", *COLUMNS, "--where", "1 = 0"), 1, "no row could"),
        (("purchase", "orders", *COLUMNS, "--database", "no url"), 1, "URL"),
        (("purchase", "orders", *COLUMNS, "--time-format", "x"), 2, "epoch-ms"),
    ],
)
def test_the_command_says_what_is_wrong(
    run: Callable[..., Result],
    orders: Any,
    arguments: tuple[str, ...],
    status: int,
    told: str,
) -> None:
    result = run(*arguments)

    assert result.exit_code == status
    assert told in result.stderr
    assert "Traceback" not in result.output


def test_numbers_may_be_times(
    make_app: MakeApp, database_url: str, redis_client: redis.Redis
) -> None:
    engine = sqlalchemy.create_engine(database_url, **UNPOOLED)
    statement = sqlalchemy.text("select 5, 1767225600123")
    bitmapist = FlaskBitmapist(make_app())
    summary = bitmapist.backfill("x", statement, engine=engine, time_format="epoch-ms")

    assert summary.written == 1
    assert users(redis_client, "x_2026-1-1") == {5}


def test_the_app_may_have_flask_sqlalchemy_lite(
    make_app: MakeApp, database_url: str, orders: Any, redis_client: redis.Redis
) -> None:
    fill(orders, 300)
    app = make_app(SQLALCHEMY_ENGINES={"default": {"url": database_url, **UNPOOLED}})
    flask_sqlalchemy_lite.SQLAlchemy(app)
    statement = sqlalchemy.select(orders.c.customer_id, orders.c.created_at)
    summary = FlaskBitmapist(app).backfill("purchase", statement)

    assert summary.written == 298
    assert "purchase_2026-1" in keys(redis_client)


def test_a_model_of_another_database_is_read_there(
    make_app: MakeApp, tmp_path: Path, redis_client: redis.Redis
) -> None:
    app = make_app(
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path / 'app.sqlite'}",
        SQLALCHEMY_BINDS={"shop": f"sqlite:///{tmp_path / 'shop.sqlite'}"},
        SQLALCHEMY_ENGINE_OPTIONS=UNPOOLED,
    )
    database = flask_sqlalchemy.SQLAlchemy(app)

    class Order(database.Model):  # type: ignore[name-defined,misc]
        __bind_key__ = "shop"
        id = sqlalchemy.Column(sqlalchemy.Integer, primary_key=True)
        at = sqlalchemy.Column(sqlalchemy.Date)

    with app.app_context():
        database.create_all()
        database.session.add(Order(id=7, at=date(2026, 1, 1)))
        database.session.commit()
    FlaskBitmapist(app).backfill("x", sqlalchemy.select(Order.id, Order.at))

    assert users(redis_client, "x_2026-1-1") == {7}


def test_what_cannot_be_a_backfill_is_an_error(
    app: Flask, database_url: str, orders: Any
) -> None:
    bitmapist = FlaskBitmapist(app)
    two = sqlalchemy.select(orders.c.customer_id, orders.c.created_at)
    with pytest.raises(RuntimeError, match="initialise Flask-SQLAlchemy"):
        bitmapist.backfill("x", two)
    with pytest.raises(ValueError, match="two columns, the user and the time, not 3"):
        bitmapist.backfill("x", two.add_columns(orders.c.id), engine=orders.bind)
    with pytest.raises(ValueError, match="bitop_"):
        bitmapist.backfill("bitop_x", two, engine=orders.bind)
    with pytest.raises(RuntimeError, match="no app is initialised"):
        FlaskBitmapist().backfill("x", two, engine=orders.bind)
