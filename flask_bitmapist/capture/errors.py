"""What can be wrong with a mark."""

from __future__ import annotations


class BadMarkError(ValueError):
    """A mark cannot be made of what was given.

    Args:
        kind: What is wrong, in a few words; the same for all of a kind.
        message: What is wrong with this one.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
