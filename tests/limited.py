"""A store that knows the commands of bitmapist-server, and no others."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import BinaryIO

from .servers import RedisProcess, free_port

COMMANDS = frozenset(
    [
        "keys",
        "scan",
        "setbit",
        "getbit",
        "bitcount",
        "bitop",
        "exists",
        "del",
        "get",
        "set",
        "rename",
        "expire",
        "ttl",
        "pttl",
        "select",
        "info",
        "ping",
        "multi",
        "exec",
        "discard",
    ]
)


class LimitedStore:
    """Passes known commands on to a real Redis, and refuses all others.

    As bitmapist-server does, it takes EXISTS with one key only, SCAN only in the form
    ``SCAN 0 MATCH pattern COUNT number``, and its patterns do not match a slash.

    Args:
        server: The Redis behind it.
    """

    def __init__(self, server: RedisProcess) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", free_port()))
        self._open: list[socket.socket] = [self._listener]
        self.refused: set[str] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> LimitedStore:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(client)
            threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        behind = socket.create_connection(("127.0.0.1", self._server.port))
        self._open.append(behind)
        with contextlib.suppress(OSError, ValueError):
            asked, answered = client.makefile("rb"), behind.makefile("rb")
            while words := _command(asked):
                if self._is_known(words):
                    behind.sendall(_packed(words))
                    client.sendall(_without_slashes(words, _reply(answered)))
                else:
                    self.refused.add(words[0].decode().lower())
                    client.sendall(b"-ERR unknown command\r\n")
        for each in (client, behind):
            each.close()

    def _is_known(self, words: list[bytes]) -> bool:
        name = words[0].decode().lower()
        shape: dict[str, Callable[[], bool]] = {
            "exists": lambda: len(words) == 2,
            "scan": lambda: (
                len(words) == 6
                and words[1] == b"0"
                and (words[2].lower(), words[4].lower()) == (b"match", b"count")
            ),
        }
        return name in COMMANDS and shape.get(name, lambda: True)()


def _command(stream: BinaryIO) -> list[bytes]:
    head = stream.readline()
    if not head:
        return []
    words = []
    for _ in range(int(head[1:])):
        length = int(stream.readline()[1:])
        words.append(stream.read(length + 2)[:-2])
    return words


def _packed(words: list[bytes]) -> bytes:
    if words[0].lower() == b"scan":
        # Everything at once.
        words = [*words[:5], b"1000000"]
    return b"*%d\r\n" % len(words) + b"".join(
        b"$%d\r\n%b\r\n" % (len(word), word) for word in words
    )


def _reply(stream: BinaryIO) -> list[bytes]:
    """Return one reply in pieces: a head for each value, and its bytes."""
    head = stream.readline()
    pieces = [head]
    if head[:1] == b"$" and head != b"$-1\r\n":
        pieces.append(stream.read(int(head[1:]) + 2))
    elif head[:1] == b"*":
        for _ in range(int(head[1:])):
            pieces += _reply(stream)
    return pieces


def _without_slashes(words: list[bytes], pieces: list[bytes]) -> bytes:
    if words[0].lower() != b"scan":
        return b"".join(pieces)
    # [*2, $n, cursor, *n, ($n, key) ...]; a star stands for no slash.
    slashes = words[3].count(b"/")
    keys = [key for key in pieces[5::2] if key.count(b"/") == slashes]
    return b"*2\r\n$1\r\n0\r\n*%d\r\n" % len(keys) + b"".join(
        b"$%d\r\n%b" % (len(key) - 2, key) for key in keys
    )
