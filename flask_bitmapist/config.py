"""Every setting: its name, type, default and check."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from keyword import iskeyword
from pathlib import Path
from typing import Any, NamedTuple

from .analysis.errors import QueryError
from .analysis.parsing import parse
from .analysis.periods import WEEK_STARTS, Calendar
from .identity import LARGEST_ID, USUAL_LARGEST_ID
from .store.connect import check_url

PREFIX = "BITMAPIST_"

DEFAULT_URL = "redis://localhost:6379"
"""Where events are stored where nothing says it, outside of tests."""

NUMBERS, PEOPLE = SCOPES = ("numbers", "people")
"""What a program may ask about; people includes numbers."""

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)

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


def _url(value: Any) -> str | None:
    return None if value is None else check_url(value)


def _read_url(value: Any) -> str | None:
    if value is not None and value.startswith("memory://"):
        return "each memory:// store is separate and starts empty"
    return _url(value)


def _url_prefix(value: Any) -> str | None:
    if value.startswith("/") and not value.endswith("/") and "<" not in value:
        return None
    return "it must begin with a slash and not end with one, as in '/analytics'"


def _access(value: Any) -> str | None:
    if callable(value) or value in ("local", "public"):
        return None
    return "it must be 'local', 'public' or a callable"


def _jinja_name(value: Any) -> str | None:
    if not value or (value.isidentifier() and not iskeyword(value)):
        return None
    return "it must be a name as templates have them, or empty"


def _api_tokens(value: Any) -> str | None:
    """Check that all are hashes: whoever reads the settings shall not get in."""
    for scope, hashes in (value or {}).items():
        if scope not in SCOPES or not isinstance(hashes, (list, tuple, set, frozenset)):
            return f"it must hold lists under {' and '.join(map(repr, SCOPES))}"
        if not all(
            isinstance(each, str) and _SHA256.fullmatch(each) for each in hashes
        ):
            return (
                "it holds SHA-256 hashes, of 64 digits 0-9 and a-f; "
                "'flask bitmapist token' makes a token and prints its hash"
            )
    return None


def _user_url(value: Any) -> str | None:
    if callable(value) or not value:
        return None
    try:
        value.format(id=1)
    except (LookupError, ValueError, AttributeError):
        return "it must contain {id} for the user's ID, as in '/users/{id}'"
    return None


def _id_map(value: Any) -> str | None:
    if value in (True, False, "auto"):
        return None
    return "it must be 'auto', True or False"


def _timezone(value: Any) -> str | None:
    try:
        Calendar(value)
    except (LookupError, ValueError, OSError):
        return (
            "this system knows no such time zone; use an IANA name such as "
            "'Europe/Berlin', and install the package tzdata where there are none"
        )
    return None


def _everyone(value: Any) -> str | None:
    try:
        bounded = not value or parse(value).bounded
    except QueryError as error:
        return str(error)
    return (
        None if bounded else "it must say by itself who is in it, as in 'signup ever'"
    )


def _exclude(value: Any) -> str | None:
    return None if callable(value) else _everyone(value)


def _in_a_folder(value: Any) -> str | None:
    if not value or Path(value).absolute().parent.is_dir():
        return None
    return "the folder does not exist"


def setting(
    default: Any,
    help: str,
    check: Check | None = None,
    secret: bool = False,
    none: Any = None,
) -> Any:
    """Declare one setting of :class:`Settings`.

    Args:
        default: Its value where the app sets none.
        help: What it does, in a sentence for the reference.
        check: Returns what is wrong with a value of the right type, or None.
        secret: Whether the value must never be repeated in a message.
        none: What None stands for, where it is not a value of its own.
    """
    return field(
        default=default,
        repr=not secret,
        metadata={"help": help, "check": check, "secret": secret, "none": none},
    )


@dataclass(frozen=True)
class Settings:
    """The settings of one app; ``redis_url`` is ``BITMAPIST_REDIS_URL``, and so on."""

    redis_system: str = setting(
        "system",
        "Name the connection is registered under, in addition to 'default'.",
        _not_empty,
        none="default",
    )
    redis_url: str | None = setting(
        None,
        "Where events are stored: a redis://, rediss:// or unix:// URL, "
        "redis+cluster:// or redis+sentinel:// with several hosts, or memory:// for a "
        "store inside this process.  None is redis://localhost:6379, and memory:// "
        "while TESTING is set.",
        _url,
        secret=True,
    )
    redis_read_url: str | None = setting(
        None,
        "Where reports read from, for example a replica; None for BITMAPIST_REDIS_URL.",
        _read_url,
        secret=True,
    )
    timezone: str = setting(
        "UTC",
        "Time zone whose days and hours are counted, by its IANA name, such as "
        "'Europe/Berlin'.  The first event writes it into the store, and what stands "
        "there holds.",
        _timezone,
    )
    week_start: str = setting(
        "monday",
        "First day of a week: 'monday' (ISO 8601), 'sunday' or 'saturday'.",
        _one_of(*WEEK_STARTS),
    )
    track_hourly: bool = setting(
        False, "Record the hour of each event as well, unless a mark says otherwise."
    )
    disable_blueprint: bool = setting(False, "Turn the standalone pages off.")
    connect_timeout: float = setting(
        1.0, "Seconds to wait for a connection to Redis.", _at_least(0.001)
    )
    read_timeout: float = setting(
        10.0,
        "Seconds to wait for each reply of Redis when a report is read.",
        _at_least(0.001),
    )
    max_id: int = setting(
        USUAL_LARGEST_ID,
        "Largest user ID that is tracked as it is.  A bitmap is as long as its largest "
        "ID: at 134217728 it takes 16 MiB, at 4294967295, the most, 512 MiB.",
        _between(0, LARGEST_ID),
    )
    warn_bytes: int = setting(
        64 * 1024 * 1024,
        "Warn when an ID makes Redis allocate more than this many bytes per bitmap; 0 "
        "to never warn.",
        _at_least(0),
    )
    id_map: bool | str = setting(
        "auto",
        "What an empty store becomes: 'auto' leaves it to the first event (a store of "
        "numbers if its user ID is a whole number up to BITMAPIST_MAX_ID, else a store "
        "of keys, which gives each user a small number), True makes it a store of "
        "keys, False one of numbers.",
        _id_map,
    )
    user_id: Callable[..., Any] | None = setting(
        None,
        "Callable that takes a user object and returns its ID, or None for nobody; by "
        "default its primary key, its id or its get_id().",
    )
    on_error: str = setting(
        "buffer",
        "What to do when Redis rejects or cannot receive an event: 'buffer' keeps it "
        "for later, 'ignore' drops it, 'raise' raises the error.",
        _one_of("buffer", "ignore", "raise"),
    )
    mark_mode: str = setting(
        "sync",
        "'sync' writes each event before the view runs, 'background' writes those of "
        "requests in batches from a thread.",
        _one_of("sync", "background"),
    )
    mark_timeout: float = setting(
        0.5,
        "Seconds to wait for a connection, and for a reply, when an event is written.",
        _at_least(0.001),
    )
    retry_first: float = setting(
        0.1,
        "Seconds before the first retry after a failure; doubles with each one.",
        _at_least(0.001),
    )
    retry_max: float = setting(
        5.0, "Maximum number of seconds between retries.", _at_least(0.001)
    )
    buffer_size: int = setting(
        100_000,
        "Maximum number of events buffered per process; further events are dropped.",
        _at_least(1),
    )
    batch_size: int = setting(
        1000, "Maximum number of buffered events written in one pipeline.", _at_least(1)
    )
    flush_interval: float = setting(
        0.2,
        "Seconds to collect events in background mode before writing them.",
        _at_least(0.001),
    )
    spool_file: str = setting(
        "",
        "File that also keeps buffered events, so that a restart loses none; empty for "
        "no file.",
        _in_a_folder,
    )
    login_events: bool = setting(
        True,
        "Track user:logged_in and user:logged_out on Flask-Login's signals.",
    )
    everyone: str = setting(
        "",
        "Among whom 'not paid' and 'paid never' look where they stand alone: an "
        "expression such as 'signup ever'; empty to refuse them.",
        _everyone,
    )
    exclude: str | Callable[..., Any] = setting(
        "",
        "Users to leave out of every answer but those about a single user: an "
        "expression that says when, such as 'flag(staff)', or a callable that returns "
        "their IDs and is run at most once a minute.",
        _exclude,
    )
    exclude_locked: bool = setting(
        True, "Whether nobody may ask for answers with these users in them."
    )
    max_work: int = setting(
        # Some two to four seconds.  What people look at daily is far below: 31 x 13
        # days of 10 million users are 0.6 GiB.
        16 * 1024 * 1024 * 1024,
        "Maximum work of one report on a page, in bytes of bitmaps processed; a report "
        "that needs more is refused before anything is read.  0 for no limit.  Python "
        "and the command line are not limited.",
        _at_least(0),
    )
    url_prefix: str = setting(
        "/bitmapist", "URL prefix of the standalone pages.", _url_prefix
    )
    access: str | Callable[..., Any] = setting(
        "local",
        "Who may see the pages: 'local' for requests from localhost to the development "
        "server, 'public' for everybody, or a callable that returns True, False or a "
        "response.  In Flask-Admin, an index view with its own is_accessible comes "
        "before 'local' and 'public'.",
        _access,
    )
    api_tokens: dict[str, Any] | None = setting(
        None,
        "Tokens with which programs may ask: a dict of lists of SHA-256 hashes, under "
        "'numbers' and 'people' (who may also ask about single users).  'flask "
        "bitmapist token' makes one.",
        _api_tokens,
        secret=True,
    )
    allow_delete: bool = setting(
        False,
        "Allow deleting events on the Events page, and erasing people on the People "
        "page, if a callable in BITMAPIST_ACCESS or a restricted Flask-Admin decides "
        "who sees them.",
    )
    csp_nonce: Callable[..., Any] | None = setting(
        None,
        "Callable that returns the nonce for script and style tags of the standalone "
        "pages.  (Flask-Admin has its own csp_nonce_generator.)",
    )
    user_url: str | Callable[..., Any] = setting(
        "",
        "Your app's page for a user: a URL with {id} in it, or a callable that takes "
        "the ID and returns a URL or None.",
        _user_url,
    )
    admin_user_view: str = setting(
        "",
        "Endpoint of the Flask-Admin ModelView of users that IDs link to inside "
        "Flask-Admin.",
    )
    jinja_name: str = setting(
        "bitmapist",
        "Name under which templates have the extension, as in "
        "{{ bitmapist.query.count('song:played', 'day') }}; empty for none.  Whatever "
        "the app itself calls so comes first.",
        _jinja_name,
    )
    user_name: Callable[..., Any] | None = setting(
        None,
        "Callable that takes a user's ID and returns the name to show, or None.",
    )

    @property
    def calendar(self) -> Calendar:
        """The calendar of these settings."""
        return Calendar(self.timezone, self.week_start)


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
        ConfigError: A value is of the wrong type or not allowed, or there is no
            setting of that name.  The message names the setting.  A name in the app's
            configuration that is like no other is let pass: it may be of a later
            version, which the app has been set back from, or of an earlier one.
    """
    known = _known()
    for name in overrides:
        if name not in known:
            raise ConfigError(_unknown(name))
    for name in unknown(app_config):
        if nearest(name) is not None:
            raise ConfigError(_unknown(name))
    values = {}
    for name, each in known.items():
        value = overrides.get(name, app_config.get(name, each.default))
        values[each.name] = _checked(name, value, each)
    return Settings(**values)


def is_ours(name: Any) -> bool:
    """Return whether a name in a configuration is meant for this package."""
    return isinstance(name, str) and name.startswith(PREFIX)


def unknown(app_config: Mapping[str, Any]) -> list[str]:
    """Return the names in an app's configuration that are meant for no setting."""
    known = _known()
    return [name for name in app_config if is_ours(name) and name not in known]


def nearest(name: str) -> str | None:
    """Return the setting that a wrong name is nearly called like, if any."""
    # What all begin with would make all alike.
    rest = {known.removeprefix(PREFIX): known for known in _known()}
    close = difflib.get_close_matches(str(name).upper().removeprefix(PREFIX), rest, n=1)
    return rest[close[0]] if close else None


def _known() -> dict[str, Any]:
    return {PREFIX + each.name.upper(): each for each in fields(Settings)}


def _unknown(name: str) -> str:
    close = nearest(name)
    hint = f"; did you mean {close}?" if close else ""
    return f"{name!r} is not a setting of Flask-Bitmapist{hint}"


def _checked(name: str, value: Any, each: Any) -> Any:
    allowed = str(each.type).split(" | ")
    if value is None and each.metadata["none"] is not None:
        value = each.metadata["none"]
    if type(value) is int and allowed == ["float"]:
        value = float(value)
    if type(value) is int and allowed == ["bool"] and value in (0, 1):
        value = bool(value)  # a variable of the environment may say 1
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
    "dict[str, Any]": _Type("a dict", lambda value: type(value) is dict),
    "Callable[..., Any]": _Type("a callable", callable),
}
"""By the words of a setting's annotation: its name for people, and a check."""
