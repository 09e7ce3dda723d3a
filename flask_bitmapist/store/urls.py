"""URLs of stores: what they say, what is wrong with them, and how to show them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

SCHEMES = (
    "redis",
    "rediss",
    "unix",
    "redis+cluster",
    "rediss+cluster",
    "redis+sentinel",
    "rediss+sentinel",
    "memory",
)
DEFAULT_PORT = 6379
DEFAULT_SENTINEL_PORT = 26379

_ENCODE = "a password with any of / ? # @ [ ] in it must be percent-encoded"
# Options that are read here, or are for a pool or a cluster: not for a connection.
_NOT_OF_CONNECTIONS = {"max_connections", "timeout", "connection_class"}
_OF_SENTINEL = {"role", "sentinel_username", "sentinel_password"}
_OF_CLUSTERS = {"read_from_replicas", "require_full_coverage", "dynamic_startup_nodes"}


@dataclass(frozen=True)
class Address:
    """What a URL says.  It may hold a password: keep it from pages and logs."""

    kind: str
    """``server``, ``cluster``, ``sentinel`` or ``memory``."""
    hosts: tuple[tuple[str, int], ...] = ()
    """The servers to ask first, of a cluster or of Sentinel."""
    service: str = ""
    """What Sentinel calls the servers."""
    tls: bool = False
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Options of redis-py's connections, and of its pools and clusters."""


def check_url(url: str) -> str | None:
    """Return what is wrong with a Redis URL, or None if it can be opened.

    The message never repeats the URL: it may hold a password.
    """
    try:
        parse_url(url)
    except ValueError as error:
        return str(error)
    return None


def parse_url(url: str) -> Address:
    """Return what *url* says.

    Raises:
        ValueError: It cannot be used.  The message says why, without any part of the
            URL that might be secret.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in SCHEMES:
        allowed = ", ".join(f"{each}://" for each in SCHEMES)
        raise ValueError(f"it must begin with one of {allowed}")
    if scheme == "memory":
        return Address("memory")
    try:
        parts = _split(url)
    except ValueError:
        # The reasons of urlsplit quote the URL.
        raise ValueError(f"it is not a URL; {_ENCODE}") from None
    if parts.fragment:
        raise ValueError(f"it contains a #; {_ENCODE}")
    protocol, _, kind = scheme.partition("+")
    address = _PARSERS[kind](parts, protocol)
    # With an @ in the query, what looks like an option may be half a password.
    _check_options(address, tell_name="@" not in parts.query)
    return address


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        # Some versions of Python take an IPv6 address among several hosts amiss.
        scheme, _, rest = url.partition("://")
        hosts = re.split("[/?#]", rest, maxsplit=1)[0]
        if "," not in hosts:
            raise
        return urlsplit(f"{scheme}://{rest[len(hosts) :]}")._replace(netloc=hosts)


def _server(parts: SplitResult, protocol: str) -> Address:
    if protocol == "unix":
        if not parts.path.strip("/"):
            raise ValueError(
                "the path of the socket is missing: unix:///path/to/socket"
            )
        return Address("server", options=_options(parts, "unix", parts.path))
    hosts = _hosts(parts, DEFAULT_PORT)
    if len(hosts) > 1:
        raise ValueError(
            "it has several hosts; for a cluster write "
            "redis+cluster://host:port,host:port, for Sentinel "
            "redis+sentinel://host:port,host:port/service"
        )
    return Address("server", options=_options(parts, protocol, parts.path))


def _cluster(parts: SplitResult, protocol: str) -> Address:
    if parts.path not in ("", "/", "/0"):
        raise ValueError("a cluster has only database 0, so leave out the number")
    options = _options(parts, protocol, "")
    for name in _OF_CLUSTERS & options.keys():
        options[name] = str(options[name]).lower() in ("1", "true", "yes", "y", "on")
    if options.pop("db", 0):
        raise ValueError("a cluster has only database 0, so leave out the number")
    return Address(
        "cluster",
        _hosts(parts, DEFAULT_PORT),
        tls=protocol == "rediss",
        options=options,
    )


def _sentinel(parts: SplitResult, protocol: str) -> Address:
    service, _, database = parts.path.removeprefix("/").partition("/")
    if not service:
        raise ValueError(
            "the name of Sentinel's service is missing: "
            "redis+sentinel://host:port,host:port/service"
        )
    options = _options(parts, protocol, f"/{database}")
    if options.get("role", "master") not in ("master", "replica"):
        raise ValueError("its role must be 'master' or 'replica'")
    return Address(
        "sentinel",
        _hosts(parts, DEFAULT_SENTINEL_PORT),
        service=unquote(service),
        tls=protocol == "rediss",
        options=options,
    )


_PARSERS = {"": _server, "cluster": _cluster, "sentinel": _sentinel}


def _hosts(parts: SplitResult, default_port: int) -> tuple[tuple[str, int], ...]:
    hosts = parts.netloc.rpartition("@")[2].split(",")
    if len(hosts) > 1 and not all(hosts):
        raise ValueError("it has a comma without a host next to it")
    return tuple(_host_and_port(host, default_port) for host in hosts)


def _host_and_port(text: str, default_port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = unquote(parts.hostname or "localhost"), parts.port or default_port
    except ValueError:
        raise ValueError(
            "its port is not a number from 1 to 65535; if that is not a port, "
            f"{_ENCODE}"
        ) from None
    try:
        # As Python does when it looks the host up, where nobody expects this to fail.
        host.encode("idna")
    except UnicodeError:
        raise ValueError(
            f"its host is not a valid host name; if that is not a host, {_ENCODE}"
        ) from None
    return host, port


def _options(parts: SplitResult, protocol: str, path: str) -> dict[str, Any]:
    """Return what redis-py reads from a URL, with several hosts cut to the first."""
    from redis.connection import parse_url as redis_parse_url

    if protocol != "unix" and not re.fullmatch(r"/?\d*", path):
        raise ValueError("its path must be a database number, as in /0")
    user, at, hosts = parts.netloc.rpartition("@")
    host = hosts.split(",")[0]
    options: dict[str, Any] = redis_parse_url(  # type: ignore[no-untyped-call]
        f"{protocol}://{user}{at}{host}{path}?{parts.query}"
    )
    # Bitmaps are bytes: text decoding, which a URL can switch on, breaks them.
    options.pop("decode_responses", None)
    return options


def _check_options(address: Address, tell_name: bool) -> None:
    """Make a connection, which connects to nothing yet, to see if it can be made."""
    from redis.connection import Connection

    left_out = set(_NOT_OF_CONNECTIONS)
    if address.kind == "sentinel":
        left_out |= _OF_SENTINEL
    if address.kind == "cluster":
        left_out |= _OF_CLUSTERS
    wanted = {
        name: value for name, value in address.options.items() if name not in left_out
    }
    connection_class = address.options.get("connection_class", Connection)
    try:
        connection_class(**wanted)
    except TypeError as error:
        name = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if name is None:
            raise ValueError(
                "one of its options has a value of the wrong type"
            ) from None
        shown = f" {name[1]!r}" if tell_name else ""
        raise ValueError(f"it has an unknown option{shown}") from None
    except Exception as error:
        raise ValueError(
            f"one of its options cannot be used ({type(error).__name__})"
        ) from None


def redact(url: str) -> str:
    """Return *url* without its password, fit for a page, a log or an error.

    Options go too, since a password may stand there; and where it is not sure which
    part is the password, nothing but the scheme is left.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in SCHEMES:
        return "(unreadable URL)"
    credentials, at, place = rest.rpartition("@")
    place = re.split("[?#]", place, maxsplit=1)[0]
    if re.search("[/?#@]", credentials) or not _is_place(scheme, place):
        return f"{scheme}://***"
    user, colon, _ = credentials.partition(":")
    # Without a colon it may be a password that was put where the user belongs.
    shown = (f"{user}@" if user and colon else "***@") if at else ""
    return f"{scheme}://{shown}{place}"


def _is_place(scheme: str, place: str) -> bool:
    if scheme in ("unix", "memory"):
        return True
    try:
        for host in place.partition("/")[0].split(","):
            _host_and_port(host, DEFAULT_PORT)
    except ValueError:
        return False
    return True
