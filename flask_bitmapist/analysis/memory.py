"""Memory that is used again, for what every question needs anew.

The system gives memory page by page, as each is touched first, and takes larger pieces
back as soon as they are freed.  For bitmaps of a hundred thousand users that takes
longer than to count them.  So a few pieces are kept: one is lent out until nothing is
left that looks at it, and then the next question gets it.
"""

from __future__ import annotations

from math import prod
from sys import getrefcount
from threading import Lock

import numpy as np
from numpy.typing import NDArray

PIECE = 1024 * 1024
"""Bytes of one piece; more than that at once is asked of the system."""

# What is smaller than this comes from the allocator's own reserves.
_SMALL = 32 * 1024

# As many as some questions at once need.
_MOST_PIECES = 16

_pieces: list[NDArray[np.uint8]] = []
_lock = Lock()

# How often something is referred to that is in a list, and nowhere else.
_listed = [object()]
_UNSEEN = getrefcount(_listed[0])


def uninitialised(size: int) -> NDArray[np.uint8]:
    """Return *size* bytes with anything in them.

    They are the caller's, and of everything that is made from them as a view.
    """
    if not _SMALL <= size <= PIECE:
        return np.empty(size, dtype=np.uint8)
    with _lock:
        for number in range(len(_pieces)):
            # Every view of a piece refers to it, and so do views of views.
            if getrefcount(_pieces[number]) <= _UNSEEN:
                return _pieces[number][:size]
        # Pages of it that are never touched take nothing.
        piece = np.empty(PIECE, dtype=np.uint8)
        if len(_pieces) < _MOST_PIECES:
            _pieces.append(piece)
        return piece[:size]


def words(*shape: int) -> NDArray[np.uint64]:
    """Return bitmaps of this shape with anybody in them."""
    memory = uninitialised(8 * prod(shape))
    return memory.view(np.uint64).reshape(shape)
