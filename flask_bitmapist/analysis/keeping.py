"""What is made of a question's periods and bitmaps, kept for when it is asked again."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar, cast

_MOST = 1000

P = ParamSpec("P")
R = TypeVar("R")


def kept_while_few(
    number: Callable[P, int],
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Keep what a function makes of a question's periods or bitmaps, if they are few.

    To make it anew for many of them takes little beside reading them, and kept for
    question after question it would take memory by the megabyte.

    Args:
        number: Tells of the function's arguments how many there are.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        kept = cast("Callable[P, R]", lru_cache(maxsize=64)(function))

        @wraps(function)
        def made(*args: P.args, **kwargs: P.kwargs) -> R:
            few = number(*args, **kwargs) <= _MOST
            return (kept if few else function)(*args, **kwargs)

        return made

    return decorate
