"""Whether a view answered with a success."""

from __future__ import annotations

from typing import Any

from werkzeug.exceptions import HTTPException

FIRST_ERROR = 400


def is_success(answer: Any) -> bool:
    """Return whether what a view returned has a status below 400."""
    return _status(answer) < FIRST_ERROR


def _status(answer: Any) -> int:
    if isinstance(answer, tuple) and answer:
        # (body, status), (body, headers) or (body, status, headers)
        for part in answer[1:2]:
            if isinstance(part, int):
                return int(part)
            if isinstance(part, str) and part[:3].isdigit():
                return int(part[:3])
        return _status(answer[0])
    if isinstance(answer, HTTPException):
        return answer.code or 500
    status = getattr(answer, "status_code", 200)
    return status if isinstance(status, int) else 200
