"""Sees whoever goes to the usual port of Redis, in the process that loads it.

A plugin of pytest.  Nobody gets there: nothing is left in a Redis of this machine.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

PORT = 6379
SEEN = Path(os.environ["SEEN_BY_WATCH"])


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        address = arguments[1]
        if isinstance(address, tuple) and address[1] == PORT:
            with SEEN.open("a", encoding="utf-8") as seen:
                seen.write(f"{address[0]}:{address[1]}\n")
            raise ConnectionRefusedError(f"nobody goes to {address}")


sys.addaudithook(watch)
