"""Whose mark it is: from what an app has at hand to a user's id."""

from __future__ import annotations

import operator
import re
from typing import Any

from werkzeug.local import LocalProxy

from ..analysis.errors import BadMarkError
from ..config import LARGEST_ID

_MOST_DIGITS = 30
_DIGITS = re.compile(r"-?[0-9]+")


def user_key(user: Any) -> Any:
    """Return what tells a user apart, or None for nobody.

    Args:
        user: An id, a user object as Flask-Login has it (with ``get_id()``), or a
            proxy for either such as ``current_user``.

    Returns:
        The id as the app has it.  None for None and for an anonymous user.
    """
    if type(user) is int:
        return user
    if isinstance(user, LocalProxy):
        user = user._get_current_object()
    if getattr(user, "is_anonymous", False) is True:
        return None
    get_id = getattr(user, "get_id", None)
    return get_id() if callable(get_id) else user


def check_id(key: Any, largest: int = LARGEST_ID) -> int:
    """Return a user's key as the number of a bit.

    Args:
        key: A whole number, or a string of its digits, as ``get_id()`` gives it.
        largest: The largest id allowed.

    Raises:
        BadMarkError: It is none, or out of bounds.
    """
    if type(key) is not int:
        key = _whole_number(key)
    if key < 0:
        raise BadMarkError(
            "negative id", f"a user id must not be negative: {_show(key)}"
        )
    if key > largest:
        raise BadMarkError(
            "id too large",
            f"the user id {_show(key)} is larger than BITMAPIST_MAX_ID ({largest}); "
            "a bitmap is as long as its largest id, so use smaller ids, or "
            "BITMAPIST_ID_MAP",
        )
    number: int = key
    return number


def _whole_number(key: Any) -> int:
    if isinstance(key, str):
        if _DIGITS.fullmatch(key):
            # Python refuses to read thousands of digits; all of these are too large.
            return int(key[:_MOST_DIGITS])
    elif not isinstance(key, bool):
        try:
            return operator.index(key)
        except TypeError:
            pass
    raise BadMarkError(
        "id not a number",
        f"a user id is a whole number, not {_show(key)} ({type(key).__name__}); "
        "to use other keys, set BITMAPIST_ID_MAP",
    )


def _show(key: Any) -> str:
    if isinstance(key, int) and key.bit_length() > 100:
        return f"a number of {key.bit_length()} bits"
    text = repr(key)
    return text if len(text) <= 60 else text[:59] + "…"
