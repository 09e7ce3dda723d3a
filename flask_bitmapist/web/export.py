"""Answers as files: JSON and CSV."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from flask import Response, request, stream_with_context

from ..analysis.results import Table, to_csv
from ..store.userset import UserSet
from .door import bounded

_BATCH = 4096

_BYTE_ORDER_MARK = "\ufeff"
"""Tells a spreadsheet that a file is UTF-8; programs take it for part of a name."""


def json_response(content: Mapping[str, Any], status: int = 200) -> Response:
    """Return *content* as a JSON response.

    Raises:
        QueryError: It would be longer than an answer may be.
    """
    text = json.dumps(content, allow_nan=False, ensure_ascii=True)
    text = text.replace("<", "\\u003c")  # no tag, whatever takes it for HTML
    text = bounded([text])
    return Response(text, status, mimetype="application/json")


def csv_response(table: Table, name: str) -> Response:
    """Return *table* as a CSV file to download.

    Args:
        table: Its columns and rows.
        name: What the file is called, without its ending.
    """
    rows = chain([table.columns], table.rows)
    return _file(map(to_csv, _batches(rows)), name)


def users_csv(users: UserSet, name: str) -> Response:
    """Return all *users* as a CSV file, read and sent bit by bit.

    Args:
        users: Which users.
        name: What the file is called, without its ending.
    """
    head: Iterable[list[Any]] = [[["user_id"]]]
    lines = chain(head, ([[each] for each in some] for some in _batches(users)))
    parts = map(to_csv, lines)
    # The first ids are read at once, so that an error still becomes a clear page.
    return _file(
        chain([next(parts) + next(parts, "")], stream_with_context(parts)), name
    )


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _file(parts: Iterable[str], name: str) -> Response:
    if _is_for_people():
        parts = chain([_BYTE_ORDER_MARK], parts)
    # Only plain characters: a name may hold what a user typed.
    plain = re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-.") or "export"
    response = Response(parts, mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="{plain}.csv"'
    return response


def _is_for_people() -> bool:
    """Return whether a browser asks, whose downloads are opened in a spreadsheet."""
    return any(kind == "text/html" for kind, _ in request.accept_mimetypes)
