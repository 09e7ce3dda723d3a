"""From a URL to a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from redis import Redis

SCHEMES = ("redis", "rediss", "unix", "memory")


def check_url(url: str) -> str | None:
    """Return what is wrong with a Redis URL, or None if it can be opened.

    The message never repeats the URL: it may hold a password.
    """
    scheme = url.partition("://")[0] if "://" in url else None
    if scheme not in SCHEMES:
        allowed = ", ".join(f"{each}://" for each in SCHEMES)
        return f"it must begin with one of {allowed}"
    if scheme == "memory":
        return None
    try:
        _connection_pool(url, {})
    except (ValueError, TypeError) as error:
        return str(error).replace(url, redact(url))
    return None


def open_client(url: str, *, connect_timeout: float, timeout: float) -> Redis:
    """Open a client for *url*; nothing is sent until it is used.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://`` as redis-py takes them, or
            ``memory://`` for a store inside this process.
        connect_timeout: Seconds to wait for a connection.
        timeout: Seconds to wait for a reply.

    Raises:
        RuntimeError: ``memory://`` is asked for and fakeredis is not installed.
    """
    if url.startswith("memory://"):
        return _embedded_store()
    from redis import Redis

    options = {"socket_connect_timeout": connect_timeout, "socket_timeout": timeout}
    return Redis(connection_pool=_connection_pool(url, options))


def redact(url: str) -> str:
    """Return *url* without its password, fit for a page, a log or an error."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(unreadable URL)"
    address = parts.netloc.rpartition("@")[2]
    user = parts.netloc.rpartition("@")[0].partition(":")[0]
    # A password may also stand in the query (?password=...), so that goes too.
    return urlunsplit(
        (parts.scheme, f"{user}@{address}" if user else address, parts.path, "", "")
    )


def _connection_pool(url: str, options: dict[str, Any]) -> Any:
    from redis import ConnectionPool

    pool = ConnectionPool.from_url(url, **options)
    # Bitmaps are bytes: text decoding, which a URL can switch on, breaks them.
    pool.connection_kwargs["decode_responses"] = False
    return pool


def _embedded_store() -> Redis:
    try:
        import fakeredis
    except ImportError:
        raise RuntimeError(
            "BITMAPIST_REDIS_URL is 'memory://', which needs fakeredis: "
            "pip install 'flask-bitmapist[memory]'"
        ) from None
    # A server of its own for each app, so that apps do not share events.
    return fakeredis.FakeRedis(server=fakeredis.FakeServer())
