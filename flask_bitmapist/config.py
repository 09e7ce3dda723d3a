"""Every setting: its name, type, default and check."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from .store.connect import check_url

PREFIX = "BITMAPIST_"
LARGEST_ID = 2**32 - 1
"""The last bit of the longest string that Redis keeps."""

Check = Callable[[Any], "str | None"]
"""Takes a value and returns what is wrong with it, or None."""


def _one_of(*allowed: str) -> Check:
    def check(value: Any) -> str | None:
        if value in allowed:
            return None
        return f"it must be one of {', '.join(map(repr, allowed))}"

    return check


def _at_least(least: float) -> Check:
    def check(value: Any) -> str | None:
        return None if value >= least else f"it must be at least {least}"

    return check


def _between(least: int, most: int) -> Check:
    def check(value: Any) -> str | None:
        return None if least <= value <= most else f"it must be {least} to {most}"

    return check


def _not_empty(value: Any) -> str | None:
    return None if value else "it must not be empty"


def _read_url(value: Any) -> str | None:
    if value is not None and value.startswith("memory://"):
        return "memory:// is a store of its own each time, with no events in it"
    return None if value is None else check_url(value)


def _url_prefix(value: Any) -> str | None:
    if value.startswith("/") and not value.endswith("/") and "<" not in value:
        return None
    return "it must begin with a slash and not end with one, as in '/analytics'"


def _access(value: Any) -> str | None:
    if callable(value) or value in ("local", "public"):
        return None
    return "it must be 'local', 'public', or something to call"


def _user_url(value: Any) -> str | None:
    if callable(value) or not value:
        return None
    try:
        value.format(id=1)
    except (LookupError, ValueError, AttributeError):
        return "in it {id} stands for the user's id, as in '/users/{id}'"
    return None


def _in_a_folder(value: Any) -> str | None:
    if not value or Path(value).absolute().parent.is_dir():
        return None
    return "the folder does not exist"


def setting(
    default: Any, help: str, check: Check | None = None, secret: bool = False
) -> Any:
    """Declare one setting of :class:`Settings`.

    Args:
        default: Its value where the app sets none.
        help: What it does, in a sentence for the reference.
        check: Returns what is wrong with a value of the right type, or None.
        secret: Whether the value must never be repeated in a message.
    """
    return field(
        default=default,
        repr=not secret,
        metadata={"help": help, "check": check, "secret": secret},
    )


@dataclass(frozen=True)
class Settings:
    """The settings of one app; ``redis_url`` is ``BITMAPIST_REDIS_URL``, and so on."""

    redis_system: str = setting(
        "system",
        "Name under which the connection serves, beside bitmapist's own 'default'.",
        _not_empty,
    )
    redis_url: str = setting(
        "redis://localhost:6379",
        "Where events are kept: a redis://, rediss:// or unix:// URL, several hosts "
        "as redis+cluster:// or redis+sentinel://, or memory:// for a store inside "
        "this process.",
        check_url,
        secret=True,
    )
    redis_read_url: str | None = setting(
        None,
        "Where questions are read, for example at a replica; None for where events "
        "are kept.",
        _read_url,
        secret=True,
    )
    track_hourly: bool = setting(
        False, "Keep a bitmap for each hour as well, unless a mark says otherwise."
    )
    disable_blueprint: bool = setting(
        False, "Do not register the standalone pages under /bitmapist/."
    )
    connect_timeout: float = setting(
        1.0, "Seconds to wait for a connection to Redis.", _at_least(0.001)
    )
    read_timeout: float = setting(
        10.0,
        "Seconds to wait for each reply when a question is read.",
        _at_least(0.001),
    )
    max_id: int = setting(
        LARGEST_ID,
        "Largest user id that is marked.  A bitmap is as long as its largest id: at "
        "4294967295 each takes 512 MiB.",
        _between(0, LARGEST_ID),
    )
    warn_bytes: int = setting(
        64 * 1024 * 1024,
        "Warn when an id makes Redis allocate more than so many bytes for each "
        "bitmap; 0 for never.",
        _at_least(0),
    )
    id_map: bool = setting(
        False,
        "Give each user key (a UUID, a string, a number) a dense integer in Redis and "
        "mark under that.",
    )
    on_error: str = setting(
        "buffer",
        "What becomes of a mark that Redis does not take: 'buffer' keeps it for "
        "later, 'ignore' drops it, 'raise' lets the error through.",
        _one_of("buffer", "ignore", "raise"),
    )
    mark_mode: str = setting(
        "sync",
        "'sync' writes a mark before the view runs, 'background' in batches from a "
        "thread.",
        _one_of("sync", "background"),
    )
    mark_timeout: float = setting(
        0.5,
        "Seconds that a mark waits for a connection, and for a reply of Redis.",
        _at_least(0.001),
    )
    retry_first: float = setting(
        0.1,
        "Seconds until Redis is tried again after a failure; doubled each time.",
        _at_least(0.001),
    )
    retry_max: float = setting(
        5.0, "Most seconds between two tries of a failing Redis.", _at_least(0.001)
    )
    buffer_size: int = setting(
        100_000,
        "Most marks of a process that wait for Redis; further ones are dropped.",
        _at_least(1),
    )
    batch_size: int = setting(
        1000, "Most waiting marks that are written in one pipeline.", _at_least(1)
    )
    flush_interval: float = setting(
        0.2,
        "Seconds that marks are gathered in background mode before they are written.",
        _at_least(0.001),
    )
    spool_file: str = setting(
        "",
        "File in which marks that wait for Redis are kept as well, so that a restart "
        "loses none; empty for no file.",
        _in_a_folder,
    )
    login_events: bool = setting(
        True,
        "Mark user:logged_in and user:logged_out when Flask-Login tells of them.",
    )
    max_work: int = setting(
        # Some two to four seconds.  What people look at daily is far below: 31 x 13
        # days of 10 million users are 0.6 GiB.
        16 * 1024 * 1024 * 1024,
        "Most work that one page may make, in bytes of bitmaps that are walked over; "
        "a question that needs more is refused before it is read.  0 for any amount.  "
        "Python and the command line are not limited.",
        _at_least(0),
    )
    url_prefix: str = setting(
        "/bitmapist", "Where the standalone pages are.", _url_prefix
    )
    access: str | Callable[..., Any] = setting(
        "local",
        "Who may see the pages: 'local' for developers on their own machine, 'public' "
        "for everybody, or something that is called in the request and gives True, "
        "False or a response.  In Flask-Admin a word gives way to an index view with "
        "an is_accessible of its own.",
        _access,
    )
    allow_delete: bool = setting(
        False,
        "Let the Events page delete events, where a callable in BITMAPIST_ACCESS or a "
        "restricted Flask-Admin decides who sees it.",
    )
    csp_nonce: Callable[..., Any] | None = setting(
        None,
        "Called without arguments for the nonce that script and style tags of the "
        "standalone pages carry.  (Flask-Admin has its own csp_nonce_generator.)",
    )
    user_url: str | Callable[..., Any] = setting(
        "",
        "The app's own page of a user: a URL in which {id} stands for the id, or "
        "something that is called with the id and returns the URL, or None.",
        _user_url,
    )
    admin_user_view: str = setting(
        "",
        "Endpoint of the Flask-Admin ModelView of users, to which ids link within "
        "Flask-Admin.",
    )
    user_name: Callable[..., Any] | None = setting(
        None,
        "Called with a user's id; returns the name to show for it, or None.",
    )


class ConfigError(ValueError):
    """A setting has a value that cannot be used, or there is no such setting."""


def load(app_config: Mapping[str, Any], overrides: Mapping[str, Any]) -> Settings:
    """Read and check the settings.

    Args:
        app_config: The app's configuration; other names than ours are passed over.
        overrides: Settings given to the extension itself, which come first.

    Returns:
        Checked settings.

    Raises:
        ConfigError: A value is of the wrong type or not allowed, or *overrides* has
            a name that is no setting.  The message names the setting.
    """
    known = {PREFIX + each.name.upper(): each for each in fields(Settings)}
    for name in overrides:
        if name not in known:
            raise ConfigError(_unknown(name, known))
    values = {}
    for name, each in known.items():
        value = overrides.get(name, app_config.get(name, each.default))
        values[each.name] = _checked(name, value, each)
    if values["id_map"] and "+cluster://" in values["redis_url"]:
        raise ConfigError(
            "BITMAPIST_ID_MAP cannot be used with a cluster: numbers are given out in "
            "transactions over several keys"
        )
    return Settings(**values)


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(str(name).upper(), known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{name!r} is not a setting of Flask-Bitmapist{hint}"


def _checked(name: str, value: Any, each: Any) -> Any:
    allowed = str(each.type).split(" | ")
    if type(value) is int and allowed == ["float"]:
        value = float(value)
    if not any(_TYPES[word].fits(value) for word in allowed):
        expected = " or ".join(_TYPES[word].called for word in allowed)
        raise ConfigError(
            f"{name} must be {expected}, not {type(value).__name__}"
            + ("" if each.metadata["secret"] else f": {value!r}")
        )
    check: Check | None = each.metadata["check"]
    problem = check(value) if check else None
    if problem:
        shown = "" if each.metadata["secret"] else f" ({value!r})"
        raise ConfigError(f"{name}{shown} cannot be used: {problem}")
    return value


class _Type(NamedTuple):
    called: str
    fits: Callable[[Any], bool]


_TYPES = {
    "bool": _Type("True or False", lambda value: type(value) is bool),
    "int": _Type("a whole number", lambda value: type(value) is int),
    "float": _Type("a number", lambda value: type(value) is float),
    "str": _Type("a string", lambda value: type(value) is str),
    "None": _Type("None", lambda value: value is None),
    "Callable[..., Any]": _Type("a callable", callable),
}
"""By the words of a setting's annotation: its name for people, and a check."""
