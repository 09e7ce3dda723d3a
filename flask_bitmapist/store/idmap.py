"""What a store holds of users, numbers or keys, and the numbers that keys have.

All of it is one hash of Redis, so that it is lost together or not at all, and stays in
one slot of a cluster; a second key tells if it was lost.  The fields of keys are the
keys themselves; the others begin with a byte that no text has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoPermissionError, ResponseError

from ..analysis.errors import Text
from ..identity import KEYS, LARGEST_ID, NUMBERS, SWITCHING, Identity, Stamp
from .catalogue import Catalogue
from .connect import send
from .errors import DamagedIdMapError

if TYPE_CHECKING:
    from redis import Redis

    from ..config import Settings
    from .keys import EventKey

HASH = "flask-bitmapist:ids"
"""Hash from a key to its number, and from a number back to its key."""
WITNESS = "flask-bitmapist:holds"
"""Says once more that a store holds keys: without its hash it would look like one of
numbers, in which whole numbers are the bits that others had."""

_HOLDS = b"\xffholds"
_ABOVE = b"\xffabove"
_NEXT = b"\xffnext"
_HEAD = (_HOLDS, _ABOVE, _NEXT)
_NUMBER = re.compile(r"[0-9]{1,10}")

MOST_AT_ONCE = 1000
"""Most fields in one command."""


_NO_HASHES = Stamp(NUMBERS, has_hashes=False)


class IdMap:
    """The numbers of an app's keys of its users, the same for all processes.

    A key gets its number once, also where several processes ask at the same moment:
    HINCRBY gives out the numbers, HSETNX decides whose each is, and whose loses takes
    the one that won.  Numbers of people who are gone are not given again.

    Args:
        client: A redis-py client, also of a cluster.
        other: Another client of the same store, asked where *client* may not be.
        is_needed: Whether it is an error if neither may be asked; by default the store
            is then taken for one of numbers.
    """

    def __init__(
        self, client: Redis, other: Redis | None = None, is_needed: bool = False
    ) -> None:
        self._client: Any = client
        self._other = other
        self._is_needed = is_needed

    def stamp(self) -> Stamp:
        """Return what the store holds.

        Raises:
            DamagedIdMapError: There is something else in its place.
            redis.RedisError: The store does not answer.
        """
        return self._read(())[0]

    def look(self, keys: Sequence[str]) -> tuple[Stamp, list[int | None]]:
        """Return what the store holds, and the numbers of some keys.

        Args:
            keys: The keys, at most :data:`MOST_AT_ONCE`.

        Returns:
            The stamp; and for each key its number, None where it has none.  Of a
            store that holds no keys only the stamp means anything.

        Raises:
            DamagedIdMapError: What stands there cannot be right.
            redis.RedisError: The store does not answer.
        """
        stamp, values = self._read(keys)
        if stamp.holds != KEYS:
            return stamp, []
        # Questions need no counter; who gives numbers out complains of it.
        above = _number("the highest number that is a bit itself", values[1])
        return stamp if above is None else stamp._replace(above=above), [
            _number(f"the number of {key!r}", value)
            for key, value in zip(keys, values[len(_HEAD) :])
        ]

    def _read(self, keys: Sequence[str]) -> tuple[Stamp, list[Any]]:
        try:
            values = self._client.hmget(HASH, [*_HEAD, *map(_field, keys)])
            holds = written = _text(values[0])
            if holds is None and self._has_held_keys():
                holds = KEYS
        except ResponseError as error:
            if isinstance(error, NoPermissionError) and self._other is not None:
                self._client, self._other = self._other, None
                return self._read(keys)
            if self._knows_no_hashes(error):
                return _NO_HASHES, []
            raise _damaged(error) from error
        return Stamp(holds, written is not None, next=_as_number(values[2])), values

    def _has_held_keys(self) -> bool:
        """Return whether this is a store of keys whose head is gone."""
        return bool(self._client.hlen(HASH)) or _text(self._client.get(WITNESS)) == KEYS

    def _knows_no_hashes(self, error: ResponseError) -> bool:
        if isinstance(error, NoPermissionError):
            return not self._is_needed
        return "unknown command" in str(error).lower()

    def has_marks(self) -> bool:
        """Return whether there is any bitmap.

        Raises:
            redis.RedisError: The store does not answer, or refuses.
        """
        return next(self._bitmaps(), None) is not None

    def decide(self, holds: str) -> bool:
        """Write into the store what it holds, unless that is decided.

        Args:
            holds: What its first mark makes it; a store with marks is one of numbers.

        Returns:
            Whether it may be written there.

        Raises:
            redis.RedisError: The store does not answer, or refuses.
        """
        begins = not self._has_held_keys()
        if not begins:
            holds = KEYS
        elif self.has_marks():
            holds = NUMBERS
        try:
            if begins and holds == KEYS:
                # Only where a hash begins: what others have lost stays lost.
                self._client.hsetnx(HASH, _NEXT, 0)
            # Whoever is first decides; the others look again.
            if self._client.hsetnx(HASH, _HOLDS, holds) and holds == KEYS:
                self._client.set(WITNESS, KEYS)
        except ResponseError as error:
            if self._knows_no_hashes(error):
                return False
            raise
        return True

    def give(self, keys: Sequence[str], stamp: Stamp, largest: int) -> list[int | None]:
        """Return the numbers of keys that had none.

        Args:
            keys: Different keys, at most :data:`MOST_AT_ONCE`.
            stamp: What :meth:`look` has said.
            largest: The largest number that may be given.

        Returns:
            For each key its number; None where there is none left.

        Raises:
            DamagedIdMapError: The counter is gone, is no number, or gives what is
                somebody's already.
            redis.RedisError: The store does not answer.
        """
        if stamp.next is None:
            raise DamagedIdMapError(_gone("the counter is gone or no number"))
        room = max(0, largest + 1 - stamp.next)
        lucky = keys[:room]
        if not lucky:
            return [None] * len(keys)
        end = self._client.hincrby(HASH, _NEXT, len(lucky))
        numbers = range(end - len(lucky), end)
        if numbers[0] < stamp.next:
            raise DamagedIdMapError(_gone("the counter has gone back"))
        # First whose the number is, then which number the key has: a key never has a
        # number that is another's, wherever this stops.
        owners = self._put([(b"\xff%d" % n, key) for n, key in zip(numbers, lucky)])
        for number, key, owner in zip(numbers, lucky, owners):
            if _text(owner) != key:
                raise DamagedIdMapError(_gone(f"the number {number} is somebody's"))
        found = self._put([(_field(key), n) for n, key in zip(numbers, lucky)])
        given = [_number(f"the number of {k!r}", v) for k, v in zip(lucky, found)]
        lost = [n for n, own in zip(numbers, given) if own != n]
        if lost:
            self._client.hdel(HASH, *[b"\xff%d" % number for number in lost])
        return [*given, *[None] * (len(keys) - len(lucky))]

    def _put(self, fields: Sequence[tuple[bytes, str | int]]) -> list[Any]:
        """Set fields that are not there, and return what each then holds."""
        commands: list[tuple[Any, ...]] = []
        for field, value in fields:
            commands.append(("HSETNX", HASH, field, value))
            commands.append(("HGET", HASH, field))
        replies = send(self._client, commands, writes=True)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies[1::2]

    def keys_of(self, numbers: Sequence[int]) -> list[str | None]:
        """Return whose each number is; None where it is nobody's.

        Raises:
            redis.RedisError: The store does not answer.
        """
        found: list[str | None] = []
        for at in range(0, len(numbers), MOST_AT_ONCE):
            fields = [b"\xff%d" % number for number in numbers[at : at + MOST_AT_ONCE]]
            found += map(_text, self._client.hmget(HASH, fields))
        return found

    def remove(self, key: str, number: int) -> None:
        """Take a key and its number out; the number is not given again.

        Raises:
            redis.RedisError: The store does not answer, or refuses.
        """
        self._client.hdel(HASH, _field(key), b"\xff%d" % number)

    def undecide(self) -> None:
        """Let the next mark decide what a store of numbers holds, once it is empty.

        Raises:
            redis.RedisError: The store does not answer, or refuses.
        """
        stamp = self.stamp()
        if stamp.holds == NUMBERS and stamp.has_hashes and not self.has_marks():
            self._client.hdel(HASH, _HOLDS)

    # --- What an operator does while the apps are stopped

    def highest_bit(self) -> int:
        """Return the number of the highest bit in any bitmap; -1 if there is none.

        Raises:
            redis.RedisError: The store does not answer.
        """
        keys = [each.key for each in self._bitmaps()]
        sizes = self._all([("STRLEN", key) for key in keys])
        longest = max(sizes, default=0)
        if not longest:
            return -1
        full = [key for key, size in zip(keys, sizes) if size == longest]
        ends = self._all([("GETRANGE", key, longest - 1, longest - 1) for key in full])
        last = max(_last_bit(end) for end in ends)
        return (longest - 1) * 8 + last

    def pause(self) -> None:
        """Let marks wait from now on, but for what processes trust for a moment.

        Raises:
            redis.RedisError: The store does not answer, or refuses.
        """
        self._client.hset(HASH, _HOLDS, SWITCHING)

    def interrupted(self) -> DamagedIdMapError:
        """Return what to say of a mark that comes meanwhile."""
        return DamagedIdMapError(
            Text(
                "'flask bitmapist id-map on' is under way, or has not come to its end; "
                "then run it again"
            )
        )

    def resume(self) -> None:
        """Let the store be one of numbers, as it was before :meth:`pause`.

        Raises:
            redis.RedisError: The store does not answer, or refuses.
        """
        self._client.hset(HASH, _HOLDS, NUMBERS)

    def switch_on(self, highest: int) -> None:
        """Make the store one of keys.

        Args:
            highest: Whole numbers up to this one stay the bits that they are.

        Raises:
            redis.RedisError: The store does not answer, or refuses.
        """
        self._client.set(WITNESS, KEYS)
        self._client.hset(HASH, mapping=_begin(highest, highest + 1))

    def repair(self, highest: int) -> list[str]:
        """Mend what can be mended: counter, and numbers that are none or are shared.

        Args:
            highest: The highest bit in the store; no number up to it is given again.

        Returns:
            Keys whose number is lost, for good: their next mark gives them another.

        Raises:
            redis.RedisError: The store does not answer.
        """
        head, forward, back = self._read_all()
        numbers = {back[number]: number for number in sorted(back, reverse=True)}
        lost = []
        for key, number in sorted(forward.items()):
            if number is None or back.get(number, key) != key:
                # The way back may still tell it.
                number = numbers.get(key)
            if number is None:
                lost.append(key)
                continue
            numbers[key] = number
            back[number] = key
        known = {key: number for key, number in numbers.items() if back[number] == key}
        above = head.get(_ABOVE, -1)
        if above is None:
            # The first number that was given is the next one.
            above = min(known.values(), default=highest + 1) - 1
        # Numbers of people who are gone are below the counter, if that is left.
        end = max(max([above, highest, *back]) + 1, head.get(_NEXT) or 0)
        self._client.set(WITNESS, KEYS)
        self._client.hset(HASH, mapping=_begin(above, end))
        items = [(key, known[key]) for key in known]
        for at in range(0, len(items), MOST_AT_ONCE):
            some = items[at : at + MOST_AT_ONCE]
            there: dict[Any, Any] = {_field(key): number for key, number in some}
            there |= {b"\xff%d" % number: key for key, number in some}
            self._client.hset(HASH, mapping=there)
        for key in lost:
            self._client.hdel(HASH, _field(key))
        return lost

    def _bitmaps(self) -> Iterator[EventKey]:
        return Catalogue(self._client, self._client).keys()

    def _read_all(
        self,
    ) -> tuple[dict[bytes, int | None], dict[str, int | None], dict[int, str]]:
        """Return the head, the number of each key, and the key of each number."""
        head: dict[bytes, int | None] = {}
        forward: dict[str, int | None] = {}
        back: dict[int, str] = {}
        for field, value in self._fields():
            if field in _HEAD:
                head[field] = _as_number(value)
            elif field.startswith(b"\xff"):
                number = _as_number(field[1:])
                if number is not None:
                    back[number] = str(_text(value))
            else:
                forward[str(_text(field))] = _as_number(value)
        return head, forward, back

    def _fields(self) -> Iterator[tuple[bytes, Any]]:
        yield from self._client.hscan_iter(HASH, count=MOST_AT_ONCE)

    def _all(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        replies: list[Any] = []
        for at in range(0, len(commands), MOST_AT_ONCE):
            replies += send(self._client, commands[at : at + MOST_AT_ONCE])
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies


def identity_of(
    settings: Settings, client: Redis, other: Redis | None = None
) -> Identity:
    """Return what knows which bit is whose in an app's store.

    Args:
        settings: The app's settings.
        client: A redis-py client.
        other: Another one, asked where *client* may not read who has which bit.
    """
    return Identity(
        IdMap(client, other, is_needed=settings.id_map is True),
        setting=settings.id_map,
        largest=settings.max_id,
        user_id=settings.user_id,
        warn_bytes=settings.warn_bytes,
    )


def _begin(above: int, counter: int) -> dict[Any, Any]:
    """Return the head of a map: what is a bit itself, and the next number."""
    head: dict[Any, Any] = {_HOLDS: KEYS, _NEXT: counter}
    return head if above < 0 else {**head, _ABOVE: above}


def _field(key: str) -> bytes:
    return key.encode()


def _text(value: Any) -> str | None:
    # A client that the app has put into bitmapist's place may decode by itself.
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _as_number(value: Any) -> int | None:
    text = _text(value)
    if text is None or not _NUMBER.fullmatch(text):
        return None
    number = int(text)
    return number if number <= LARGEST_ID + 1 else None


def _number(what: str, value: Any) -> int | None:
    number = _as_number(value)
    if number is None and value is not None:
        raise DamagedIdMapError(_gone(f"{what} is {_text(value)!r:.60}"))
    return number


def _last_bit(byte: bytes) -> int:
    """Return the place of the last bit set in a byte; 7 where none is."""
    value = byte[0]
    return 7 - ((value & -value).bit_length() - 1) if value else 7


def _gone(problem: str) -> Text:
    return Text(
        "the ids of users in %(key)s are damaged: %(problem)s; stop the apps and run "
        "'flask bitmapist id-map repair'",
        key=HASH,
        problem=problem,
    )


def _damaged(error: ResponseError) -> ResponseError:
    if str(error).startswith("WRONGTYPE"):
        return DamagedIdMapError(_gone("it is no hash; rename it"))
    return error
