"""What the store says of keys that cannot be read."""

from __future__ import annotations

from redis.exceptions import ResponseError

from ..analysis.errors import Text


class NotABitmapError(ResponseError):
    """A key with the name of an event's bitmap holds something else."""


class DamagedIdMapError(ResponseError):
    """What a store keeps of its users' numbers cannot be right.

    Two people would share a number if it were used; marks wait until it is repaired.
    """


def of_key(error: ResponseError, key: bytes) -> ResponseError:
    """Return *error*, saying which key it is about."""
    name = key.decode("utf-8", "backslashreplace")
    if str(error).startswith("WRONGTYPE"):
        return NotABitmapError(
            Text(
                "the Redis key %(key)s does not hold a bitmap; rename or delete "
                "it, because bitmapist stores an event under this name",
                key=repr(name),
            )
        )
    error.args = (f"{error} (when {name!r} was read)",)
    return error
