"""From what an app has at hand of a user to their bit, and back.

An app has a number, a text, a UUID, or the user's object at hand.  Marks, imports,
questions, sets of users and commands all come through here, so that they mean the same
person: first :meth:`Identity.key`, which asks nobody; then the bit, for which the store
is asked what it holds, numbers or keys.
"""

from __future__ import annotations

import logging
import operator
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from itertools import islice
from numbers import Number
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from werkzeug.local import LocalProxy

from .analysis.errors import BadMarkError, QueryError, Text, is_printable, printable
from .analysis.periods import shorten
from .analysis.results import User

if TYPE_CHECKING:
    from .store.idmap import IdMap

LARGEST_ID = 2**32 - 1
"""The last bit of the longest string that Redis keeps."""
USUAL_LARGEST_ID = 2**27
"""The largest id unless an app says otherwise: a bitmap then takes 16 MiB."""

LONGEST_KEY = 1024
"""Most characters of a key."""

NUMBERS = "numbers"
"""A store in which the number of a user is the number of the bit."""
KEYS = "keys"
"""A store in which keys of users have numbers, which are the bits."""

TRUSTED_FOR = 1.0
"""Seconds for which a store that holds numbers is not asked again whether it does."""

_AT_ONCE = 1000

_VALUES = (
    *(str, Number, bytes, bytearray),
    *(list, tuple, dict, set, Enum, UUID),
)

# 007 is no number: an app that writes ids so has another user with the id 7.
_WRITTEN_NUMBER = re.compile(r"0|-?[1-9][0-9]*")
_BIT_OF_NOBODY = re.compile(r"#(0|[1-9][0-9]{0,9})")
_INTEGERS = range(-(2**63), 2**63)
"""What is kept as a whole number; longer ones, which no database has, as text."""

_TURN_ON = (
    "'flask bitmapist id-map on', with all of its apps stopped, lets it take them"
)

_logger = logging.getLogger("flask_bitmapist")
SWITCHING = "switching"
"""A store of numbers on its way to one of keys; marks wait meanwhile."""


class Stamp(NamedTuple):
    """What a store holds, as it is written into the store."""

    holds: str | None
    """:data:`NUMBERS`, :data:`KEYS` or :data:`SWITCHING`; None where there is nothing
    yet."""
    is_written: bool = True
    """Whether the store says so itself."""
    above: int = -1
    """In a store of keys: whole numbers up to this one are bits themselves."""
    next: int | None = None
    """In a store of keys: the next number to be given; None if that is gone."""
    has_hashes: bool = True
    """Whether the store can keep keys at all."""


class UserBits(NamedTuple):
    """Whose bits are which."""

    found: dict[User, int]
    """The bit of each user who has one."""
    refused: dict[User, BadMarkError]
    """Why the others can have none in this store."""


def plain_id(given: Any) -> User:
    """Return an id as a whole number, or as text if it is none.

    5, "5", numpy's 5 and an enum's member of that value are the same id.

    Args:
        given: A whole number of any kind, a text, a UUID, or a member of an enum with
            such a value.

    Raises:
        BadMarkError: It cannot be an id.
    """
    if type(given) is int:
        return given if given in _INTEGERS else _digits(given)
    if isinstance(given, Enum):
        return plain_id(given.value)
    if isinstance(given, str):
        return _plain_text(str.__str__(given))
    if isinstance(given, UUID):
        return str(given)
    # numpy has a bool of its own, which older versions take for a number.
    if type(given).__name__ not in ("bool", "bool_"):
        try:
            return plain_id(operator.index(given))
        except TypeError:
            pass
    raise BadMarkError(
        "not an id",
        f"a user id is a whole number, a text or a UUID, not {_show(given)} "
        f"({type(given).__name__})",
    )


def object_id(given: Any) -> User | None:
    """Return the id of an object of the app's, or None for nobody.

    That is the primary key of an object that SQLAlchemy maps, several columns joined
    by colons; else its ``id``; else what its ``get_id()`` gives, which comes last as it
    names a session where an app has alternative ids.

    Args:
        given: The object.

    Raises:
        BadMarkError: It has none, or one that cannot be an id.

    Example:
        >>> class Account:
        ...     id = 7
        >>> object_id(Account())
        7
    """
    columns = _primary_key(given)
    if columns is not None:
        if any(each is None for each in columns):
            raise BadMarkError(
                "not saved",
                f"a {type(given).__name__} has no user id before it is saved",
            )
        ids = [_id_of_value(each) for each in columns]
        return ids[0] if len(ids) == 1 else _plain_text(":".join(map(_escaped, ids)))
    if not isinstance(given, type):
        own = getattr(given, "id", None)
        if own is not None and not callable(own):
            return _id_of_value(own)
        get_id = getattr(given, "get_id", None)
        if callable(get_id):
            named = get_id()
            return None if named is None else _id_of_value(named)
    raise BadMarkError(
        "not an id",
        f"a user id is a whole number, a text or a UUID, not {_show(given)} "
        f"({type(given).__name__}); of an object BITMAPIST_USER_ID tells the id",
    )


def is_saved(given: Any) -> bool:
    """Return whether a user has an id yet: what SQLAlchemy maps gets it when saved.

    Args:
        given: An id or an object, as in :func:`object_id`.
    """
    if isinstance(given, LocalProxy):
        given = given._get_current_object()
    columns = _primary_key(given)
    return columns is None or all(each is not None for each in columns)


class Identity:
    """Knows which bit is whose in one store.

    Args:
        id_map: The store's map; None where there is none, and users are numbers.
        setting: ``BITMAPIST_ID_MAP``: what a store becomes with its first mark.
        largest: ``BITMAPIST_MAX_ID``.
        user_id: ``BITMAPIST_USER_ID``: takes a user's object and returns their id.
        warn_bytes: Warn once of a bit that makes bitmaps longer than this; 0 to never.
    """

    def __init__(
        self,
        id_map: IdMap | None = None,
        *,
        setting: bool | str = "auto",
        largest: int = LARGEST_ID,
        user_id: Callable[..., Any] | None = None,
        warn_bytes: int = 0,
    ) -> None:
        self.id_map = id_map
        self._setting = setting
        self._largest = largest
        self._user_id = user_id
        self._warn_above = warn_bytes * 8 - 1 if warn_bytes else LARGEST_ID
        self._numbers_until = 0.0

    def key(self, user: Any) -> User | None:
        """Return what tells a user apart, without asking the store.

        Args:
            user: An id, see :func:`plain_id`; a user's object, which
                ``BITMAPIST_USER_ID`` is asked about first, then :func:`object_id`; or a
                proxy for either, such as ``current_user``.

        Returns:
            A whole number, or a text.  None for None and for an anonymous user.

        Raises:
            BadMarkError: Nobody can be called so.
        """
        key = plain_id(user) if type(user) is int else self._key(user)
        if type(key) is int and key < 0 and self._setting is not True:
            raise _negative(key)
        if self._setting is False and key is not None:
            self._check_number(key)
        return key

    def _key(self, user: Any) -> User | None:
        try:
            if isinstance(user, LocalProxy):
                user = user._get_current_object()
            if user is None or getattr(user, "is_anonymous", False) is True:
                return None
            if self._user_id is not None and not is_value(user):
                user = self._user_id(user)
            if user is None:
                return None
            return plain_id(user) if is_value(user) else object_id(user)
        except BadMarkError:
            raise
        except Exception as error:
            # The app's own code, which says more about it than we can.
            raise BadMarkError(
                "user without id",
                f"the user's id cannot be told ({type(error).__name__}: {error})",
            ) from error

    # --- Writing

    def bits(self, keys: Iterable[User]) -> UserBits:
        """Return the bits of users who are about to be marked.

        A store of keys gives those their numbers who have none, and the first mark of
        an empty store decides what it holds.

        Args:
            keys: As :meth:`key` gives them.

        Raises:
            DamagedIdMapError: The store does not know any more which numbers are given.
            redis.RedisError: The store does not answer.
        """
        wanted = dict.fromkeys(keys)
        bits = UserBits({}, {})
        if self._holds_numbers_still(wanted):
            bits.found.update((key, int(key)) for key in wanted)
        else:
            left = iter(wanted)
            while some := list(islice(left, _AT_ONCE)):
                self._find(some, bits)
        self.warn_of_large(max(bits.found.values(), default=0))
        return bits

    def _holds_numbers_still(self, keys: Iterable[User]) -> bool:
        """Return whether these are bits themselves, as the store said lately."""
        is_fresh = time.monotonic() < self._numbers_until
        return is_fresh and all(map(self._is_number, keys))

    def _find(self, keys: Sequence[User], bits: UserBits) -> None:
        stamp, numbers = self._look(keys)
        while not stamp.is_written or stamp.holds is None:
            if not self._map.decide(self._first(keys)):
                stamp = _NO_MAP
                break
            stamp, numbers = self._look(keys)
        if stamp.holds == SWITCHING:
            raise self._map.interrupted()
        if stamp.holds != KEYS:
            if stamp.holds == NUMBERS:
                # Each mark of a number would ask again, else.
                self._numbers_until = time.monotonic() + TRUSTED_FOR
            self._take_numbers(keys, stamp, bits)
            return
        unknown = []
        for key, number in zip(keys, numbers):
            if _stands_for_itself(key, stamp):
                number = int(key)
            if number is None:
                unknown.append(key)
            else:
                self._take(key, number, bits)
        if unknown:
            given = self._map.give([str(key) for key in unknown], stamp, self._largest)
            for key, number in zip(unknown, given):
                self._take(key, number, bits)

    def _first(self, keys: Sequence[User]) -> str:
        """Return what a store without marks becomes with these."""
        if self._setting == "auto":
            return NUMBERS if self._is_number(keys[0]) else KEYS
        return KEYS if self._setting else NUMBERS

    def _take_numbers(self, keys: Iterable[User], stamp: Stamp, bits: UserBits) -> None:
        for key in keys:
            try:
                bits.found[key] = self._check_number(key, stamp.has_hashes)
            except BadMarkError as error:
                bits.refused[key] = error

    def _take(self, key: User, number: int | None, bits: UserBits) -> None:
        if number is not None and 0 <= number <= self._largest:
            bits.found[key] = number
            return
        bits.refused[key] = BadMarkError(
            "no number left",
            f"the user id {_show(key)} has no number up to BITMAPIST_MAX_ID "
            f"({self._largest}); raise that",
        )

    def _is_number(self, key: User) -> bool:
        return type(key) is int and 0 <= key <= self._largest

    def _check_number(self, key: User, has_hashes: bool = True) -> int:
        """Return a key as the bit that it is in a store of numbers.

        Raises:
            BadMarkError: It is none.
        """
        if isinstance(key, int) and self._is_number(key):
            return key
        advice = f"this store holds numbers; {_TURN_ON}"
        if self._setting is False:
            advice = "BITMAPIST_ID_MAP is False"
        elif not has_hashes or self.id_map is None:
            advice = "this store has no hashes, or refuses them, to keep other ids in"
        if isinstance(key, str) and not _WRITTEN_NUMBER.fullmatch(key):
            raise BadMarkError(
                "id not a number",
                f"the user id {_show(key)} is not a whole number: {advice}",
            )
        if str(key).startswith("-"):
            raise _negative(key)
        raise BadMarkError(
            "id too large",
            f"the user id {_show(key)} is larger than BITMAPIST_MAX_ID "
            f"({self._largest}), and a bitmap is as long as its largest id: {advice}",
        )

    def are_bits(self, largest: int) -> bool:
        """Return whether whole numbers are known to be bits themselves in this store.

        That spares whoever has millions of them the look at each.

        Args:
            largest: The largest of them.

        Raises:
            DamagedIdMapError: What the store says of itself cannot be right.
            redis.RedisError: The store does not answer.
        """
        stamp, _ = self._look(())
        if stamp.holds == KEYS:
            return largest <= stamp.above
        return stamp.holds == NUMBERS and stamp.is_written and self._is_number(largest)

    def warn_of_large(self, largest: int) -> None:
        """Log once that a bit makes bitmaps longer than ``BITMAPIST_WARN_BYTES``.

        Args:
            largest: The bit.
        """
        if largest > self._warn_above:
            self._warn_above = LARGEST_ID
            _logger.warning(
                "user ID %d makes Redis allocate %d bytes for each bitmap, more "
                "than BITMAPIST_WARN_BYTES; smaller IDs take less",
                largest,
                largest // 8 + 1,
            )

    # --- Asking

    def bit_of(self, user: Any) -> int | None:
        """Return a user's bit, or None if they were never marked.

        Args:
            user: As for :meth:`key`.

        Raises:
            QueryError: Nobody can be called so.
            redis.RedisError: The store does not answer.
        """
        key = self.known(user)
        stamp, numbers = self._look([key])
        if stamp.holds == KEYS:
            if _stands_for_itself(key, stamp):
                return int(key)
            return self._bit_of_nobody(key, stamp) if numbers[0] is None else numbers[0]
        if stamp.holds is None and self._may_be_key(key) and not self._map.has_marks():
            return None
        return _asked_number(key)

    def _bit_of_nobody(self, key: User, stamp: Stamp) -> int | None:
        """Return the bit that :meth:`users_of` calls so, as it was given to nobody."""
        written = _BIT_OF_NOBODY.fullmatch(str(key))
        if written is None or not stamp.above < int(written[1]) <= LARGEST_ID:
            return None
        bit = int(written[1])
        return bit if self._map.keys_of([bit]) == [None] else None

    def number_given(self, key: User) -> int | None:
        """Return the number that a key was given; None if it has none, or is its bit.

        Args:
            key: As :meth:`key` gives it.

        Raises:
            redis.RedisError: The store does not answer.
        """
        stamp, numbers = self._look([key])
        if stamp.holds != KEYS or _stands_for_itself(key, stamp):
            return None
        return numbers[0]

    def release(self, key: User, number: int) -> None:
        """Let a key have no number; that number is not given again.

        Args:
            key: As :meth:`key` gives it.
            number: The number that it has.

        Raises:
            redis.RedisError: The store does not answer, or refuses.
        """
        self._map.remove(str(key), number)

    def _may_be_key(self, key: User) -> bool:
        """Return whether an empty store may become one in which a user is called so."""
        if isinstance(key, int) and key <= LARGEST_ID:
            return self._setting is True
        return self._setting is not False

    def known(self, user: Any) -> User:
        """Return a user as a question has them: :meth:`key`, but never None.

        Raises:
            QueryError: Nobody can be called so.
        """
        try:
            key = self._key(user)
        except BadMarkError as error:
            raise QueryError(_nobody(user), field="user") from error
        if key is None:
            raise QueryError(_nobody(user), field="user")
        return key

    def users_of(self, bits: Iterable[int]) -> list[User]:
        """Return the user of each bit as the app knows them.

        In a store of keys a bit that was given to nobody, since it was not marked
        through this package, is a number sign and the bit: ``"#17"``.

        Raises:
            redis.RedisError: The store does not answer.
        """
        numbers = list(bits)
        stamp = self._look(())[0] if numbers else _NO_MAP
        if stamp.holds != KEYS:
            return [*numbers]
        mapped = [number for number in numbers if number > stamp.above]
        keys = dict(zip(mapped, self._map.keys_of(mapped)))
        return [_known_as(each, keys.get(each), stamp) for each in numbers]

    @property
    def _map(self) -> IdMap:
        assert self.id_map is not None
        return self.id_map

    def _look(self, keys: Sequence[User]) -> tuple[Stamp, list[int | None]]:
        if self.id_map is None:
            return _NO_MAP, []
        return self.id_map.look([str(key) for key in keys])


_NO_MAP = Stamp(NUMBERS, has_hashes=False)


def _known_as(bit: int, key: str | None, stamp: Stamp) -> User:
    if bit <= stamp.above:
        return bit
    return f"#{bit}" if key is None else _number_or(key)


def _stands_for_itself(key: User, stamp: Stamp) -> bool:
    return type(key) is int and 0 <= key <= stamp.above


def _asked_number(key: User) -> int:
    if type(key) is int and 0 <= key <= LARGEST_ID:
        return key
    raise QueryError(
        Text(
            "%(given)s is not a user ID; use a whole number from 0 to %(most)s.",
            given=repr(shorten(key)),
            most=LARGEST_ID,
        ),
        field="user",
    )


def _nobody(given: Any) -> Text:
    shown = shorten(f"{type(given).__name__} {given!r}")
    return Text("This is not a user: %(given)s.", given=shown)


def _number_or(text: str) -> User:
    if len(text) <= 20 and _WRITTEN_NUMBER.fullmatch(text):
        number = int(text)
        return number if number in _INTEGERS else text
    return text


def _plain_text(text: str) -> User:
    known = _number_or(text)
    if isinstance(known, int):
        return known
    if not text or len(text) > LONGEST_KEY:
        raise BadMarkError(
            "bad key", f"a user id as text has 1 to {LONGEST_KEY} characters"
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadMarkError(
            "bad key", f"the user id {_show(text)} is not valid Unicode"
        ) from None
    if not is_printable(text):
        raise BadMarkError(
            "bad key",
            f"the user id '{printable(text[:40])}' has a control character, which "
            "would break the lines and tables that it is printed in",
        )
    return text


def _digits(number: int) -> str:
    if number.bit_length() > LONGEST_KEY * 3:
        raise BadMarkError("id too large", f"the user id is {_show(number)}")
    return str(number)


def _negative(key: User) -> BadMarkError:
    return BadMarkError("negative id", f"a user id must not be negative: {_show(key)}")


def is_value(given: Any) -> bool:
    """Return whether something is plain data, and no object that has an id."""
    kind = type(given)
    # Numbers of numpy are none of these.
    return (
        isinstance(given, _VALUES)
        or hasattr(kind, "__index__")
        or hasattr(kind, "__array__")
    )


def _id_of_value(value: Any) -> User:
    """Return the id that an object or a column holds, which may be of its own type."""
    try:
        return plain_id(value)
    except BadMarkError:
        kind: Any = type(value)
        if is_value(value) or kind.__str__ is object.__str__:
            raise
    return _plain_text(str(value))


def _escaped(part: User) -> str:
    return str(part).replace("\\", "\\\\").replace(":", "\\:")


def _primary_key(given: Any) -> Sequence[Any] | None:
    """Return the values of a mapped object's primary key; None for other objects."""
    sqlalchemy = sys.modules.get("sqlalchemy")
    if sqlalchemy is None or not hasattr(type(given), "_sa_class_manager"):
        return None
    state = sqlalchemy.inspect(given, raiseerr=False)
    mapper = getattr(state, "mapper", None)
    if mapper is None or isinstance(given, type):
        return None
    # What is known of an object without looking into its database, or gone from it.
    identity: Sequence[Any] | None = state.identity
    return identity or mapper.primary_key_from_instance(given)


def _show(key: Any) -> str:
    if isinstance(key, int) and key.bit_length() > 100:
        return f"a number of {key.bit_length()} bits"
    text = repr(key)
    return text if len(text) <= 60 else text[:59] + "…"
