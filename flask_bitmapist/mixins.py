"""Marks for what happens to the rows of SQLAlchemy models."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from .analysis.errors import BadMarkError
from .identity import object_id
from .marking import recorder_for

try:
    from sqlalchemy import event
    from sqlalchemy.orm import Mapper, Session, SessionTransaction, object_session
except ImportError as error:
    raise ImportError(
        "flask_bitmapist.mixins needs SQLAlchemy: "
        "pip install 'flask-bitmapist[sqlalchemy]'"
    ) from error

logger = logging.getLogger("flask_bitmapist")

_INFO_KEY = "flask_bitmapist"


class Bitmapistable:
    """Marks that rows of a model were created, updated and deleted.

    The events are ``<model>:created``, ``<model>:updated`` and ``<model>:deleted``,
    with the model's name in lower case and the row's id in place of a user's.  They
    are marked when the transaction commits, all in one round trip; what is rolled
    back, to a savepoint as well, marks nothing.  Statements that go past the objects
    of a session, such as ``session.execute(update(...))``, are not noticed.
    A model that overrides one of the three hooks decides by itself what is marked.

    Attributes:
        __bitmapist_prefix__: What stands for the model's name in the events.
        __bitmapist_id__: The attribute that holds the id; by default it is the primary
            key, several columns joined as :func:`~flask_bitmapist.identity.object_id`
            does.

    Example:
        >>> class Song(Bitmapistable, db.Model):
        ...     __bitmapist_prefix__ = "track"
        ...     id: Mapped[int] = mapped_column(primary_key=True)
    """

    __bitmapist_prefix__: str | None = None
    __bitmapist_id__: str | None = None

    @staticmethod
    def bitmapist_after_insert(
        mapper: Mapper[Any], connection: Any, target: Bitmapistable
    ) -> None:
        """Mark that a row was created; a model may do something else, or nothing.

        Called by SQLAlchemy's event ``after_insert``, as the other two are by theirs.

        Args:
            mapper: The model's mapper.
            connection: The connection that the row is written with.
            target: The row's object.
        """
        _remember(target, "created")

    @staticmethod
    def bitmapist_before_update(
        mapper: Mapper[Any], connection: Any, target: Bitmapistable
    ) -> None:
        """Mark that a row was updated, see :meth:`bitmapist_after_insert`."""
        session = object_session(target)
        # SQLAlchemy tells of all objects that were touched, also of those that are as
        # they were.
        if session is not None and session.is_modified(
            target, include_collections=False
        ):
            _remember(target, "updated")

    @staticmethod
    def bitmapist_before_delete(
        mapper: Mapper[Any], connection: Any, target: Bitmapistable
    ) -> None:
        """Mark that a row was deleted, see :meth:`bitmapist_after_insert`."""
        _remember(target, "deleted")

    @classmethod
    def __declare_last__(cls) -> None:
        """Do nothing; models of version 0.1 may call it from one of their own."""


class _Pending(NamedTuple):
    """A mark that will be made if its transaction commits."""

    transaction: SessionTransaction | None
    event_name: str
    row_id: Any
    """The row's id, or why it has none."""


def _hook(name: str) -> Callable[[Mapper[Any], Any, Any], None]:
    """Return a listener that calls the row's own hook, whichever class has it."""

    def listener(mapper: Mapper[Any], connection: Any, target: Any) -> None:
        getattr(target, name)(mapper, connection, target)

    return listener


def _remember(target: Bitmapistable, what: str) -> None:
    session = object_session(target)
    if session is None:
        return
    transaction = session.get_nested_transaction() or session.get_transaction()
    prefix = target.__bitmapist_prefix__ or type(target).__name__.lower()
    pending = _Pending(transaction, f"{prefix}:{what}", _row_id(target))
    session.info.setdefault(_INFO_KEY, []).append(pending)


def _row_id(target: Bitmapistable) -> Any:
    attribute = target.__bitmapist_id__
    if attribute is not None:
        return getattr(target, attribute)
    try:
        return object_id(target)
    except BadMarkError as error:
        # Within a flush nothing may be raised; it is told when the row is committed.
        return error


def _after_commit(session: Session) -> None:
    pending: list[_Pending] = session.info.get(_INFO_KEY, [])
    if not pending:
        return
    savepoint = session.get_nested_transaction()
    if savepoint is not None:
        # What was done since the savepoint now depends on the transaction around it.
        session.info[_INFO_KEY] = [
            each._replace(transaction=savepoint.parent)
            if each.transaction is savepoint
            else each
            for each in pending
        ]
        return
    del session.info[_INFO_KEY]
    _mark(pending)


def _after_end(session: Session, transaction: SessionTransaction) -> None:
    """Forget what a transaction did that has ended without a commit."""
    pending: list[_Pending] = session.info.get(_INFO_KEY, [])
    if pending:
        session.info[_INFO_KEY] = [
            each for each in pending if each.transaction is not transaction
        ]


def _mark(pending: list[_Pending]) -> None:
    try:
        recorder = recorder_for("default")
    except RuntimeError as error:
        # The rows are committed; nothing that comes after may look like a failure.
        logger.error("row changes are not tracked: %s", error)
        return
    marked = []
    for each in pending:
        if isinstance(each.row_id, BadMarkError):
            recorder.reports.rejected(each.row_id, each.event_name)
        else:
            marked.append((each.event_name, each.row_id))
    recorder.note(marked)


for happens in ("after_insert", "before_update", "before_delete"):
    event.listen(Bitmapistable, happens, _hook(f"bitmapist_{happens}"), propagate=True)
event.listen(Session, "after_commit", _after_commit)
event.listen(Session, "after_transaction_end", _after_end)
