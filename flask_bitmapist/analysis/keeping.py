"""What is made of a question's periods and bitmaps, kept for when it is asked again."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import Lock
from typing import Any, ParamSpec, TypeVar, cast

_MOST = 1000
_MOST_RESULTS = 64

P = ParamSpec("P")
R = TypeVar("R")


def kept_while_few(
    number: Callable[P, int],
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Keep what a function makes of a question's periods or bitmaps, if they are few.

    To make it anew for many of them takes little beside reading them, and kept for
    question after question it would take memory by the megabyte.  Of each function the
    last few dozen results are kept, by its arguments, which are given by position.

    Args:
        number: Tells of the function's arguments how many there are.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        # Not lru_cache: it would have to be told before each call whether to keep
        # anything, and that takes longer than to find what is kept.
        kept: dict[tuple[Any, ...], R] = {}
        lock = Lock()

        @wraps(function)
        def made(*args: Any) -> R:
            result = kept.get(args)
            if result is None:
                result = cast("Callable[..., R]", function)(*args)
                if cast("Callable[..., int]", number)(*args) <= _MOST:
                    with lock:
                        kept[args] = result
                        if len(kept) > _MOST_RESULTS:
                            del kept[next(iter(kept))]
            return result

        return cast("Callable[P, R]", made)

    return decorate
