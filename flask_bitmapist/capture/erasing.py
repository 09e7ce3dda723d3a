"""Erasing a person: their bits, their number, and their marks that still wait."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from ..analysis.expressions import SEEN_BEFORE, Cut
from ..analysis.periods import TimeGroup
from ..store.connect import Command, send
from ..store.cuts import Cuts
from ..store.keys import EventKey, parse_key
from .marks import Mark

if TYPE_CHECKING:
    from redis import Redis

    from ..analysis.results import User
    from ..identity import Identity
    from ..store.catalogue import Catalogue
    from .writer import Refused

FORGOTTEN_KEY = "flask-bitmapist:forgotten"
"""Sorted set of who was erased, by a name that tells nobody who it is, and when."""
ERASING_KEY = "flask-bitmapist:erasing"
"""Hash of the numbers of those whose erasing has not come to its end."""

KEPT_FOR = 90 * 24 * 3600
"""Seconds for which it is known who was erased: marks do not wait longer than that."""

BATCH = 1000
"""Keys that are looked at in one round trip."""

_ROUNDS = 3
_PURPOSE = b"flask-bitmapist:forgotten:"

logger = logging.getLogger("flask_bitmapist")


@dataclass(frozen=True)
class Receipt:
    """What was erased of a person, without saying who they are."""

    person: str
    """HMAC-SHA-256 of the id under the app's ``SECRET_KEY``; the same each time."""
    at: datetime
    """When, in UTC.  Marks made before that moment are gone."""
    by: str | None
    """Who asked for it; None if that is not known."""
    keys: int
    """Keys that were looked at."""
    cleared: int
    """Bits that were cleared."""
    waiting: int
    """Marks that still waited in this process, and were dropped."""
    remaining: int
    """Bits of the person that were found in all keys afterwards.  Not 0 only where the
    person was marked meanwhile."""

    def to_dict(self) -> dict[str, Any]:
        """Return the receipt as it stands in JSON."""
        return {
            "person": self.person,
            "at": self.at.isoformat(),
            "by": self.by,
            "keys": self.keys,
            "cleared": self.cleared,
            "waiting": self.waiting,
            "remaining": self.remaining,
        }


class Eraser:
    """Erases people from one store, and knows who was erased lately.

    Args:
        client: The client for everything but marks.
        marks: The client for marks, which waits less.
        identity: Knows the users' bits.
        catalogue: Finds the keys.
        secrets: Returns the app's ``SECRET_KEY``, and after it those that it had
            before; nothing where it has none.
    """

    def __init__(
        self,
        client: Redis,
        marks: Redis,
        identity: Identity,
        catalogue: Catalogue,
        secrets: Callable[[], Sequence[str | bytes]],
    ) -> None:
        self._client: Any = client
        self._marks: Any = marks
        self._identity = identity
        self._catalogue = catalogue
        self._secrets = secrets
        self._is_warned = False

    def name_of(self, key: User) -> str:
        """Return the name under which a person stands in receipts.

        Args:
            key: As :meth:`~flask_bitmapist.identity.Identity.key` gives it.

        Raises:
            RuntimeError: The app has no ``SECRET_KEY``.
        """
        return self._names_of(key)[0]

    def _names_of(self, key: User) -> list[str]:
        """Return the name of a person, and after it those under earlier secrets."""
        secrets = self._secrets()
        if not secrets:
            raise RuntimeError(
                "erasing a person requires the app's SECRET_KEY to be set: a receipt "
                "names them by an HMAC under it"
            )
        return [_name(secret, key) for secret in secrets]

    # --- Looking, and erasing

    def holding(self, user: Any) -> list[bytes]:
        """Return the keys in which a user's bit is set.

        Args:
            user: As for :meth:`~flask_bitmapist.identity.Identity.key`.

        Raises:
            QueryError: Nobody can be called so.
            redis.RedisError: The store does not answer.
        """
        bit = self._identity.bit_of(user)
        if bit is None:
            return []
        return [key for batch in self._batches() for key, _ in self._held(batch, {bit})]

    def deleted(self) -> Mapping[str, Cut]:
        """Return the events whose past was deleted."""
        return Cuts(self._client).known()

    def erase(
        self, user: Any, by: str | None, drop: Callable[[User, float], int]
    ) -> Receipt:
        """Erase all that the store holds of a user.

        First it is written down that they are erased: so it goes on where it was if it
        is killed and called again, and marks that wait elsewhere are dropped when their
        turn comes.

        Args:
            user: As for :meth:`~flask_bitmapist.identity.Identity.key`.
            by: Who asks for it.
            drop: Drops the marks of a user that wait in this process and were made up
                to a moment, and returns how many there were.

        Raises:
            QueryError: Nobody can be called so.
            RuntimeError: The app has no ``SECRET_KEY``.
            redis.RedisError: The store does not answer, or refuses; calling it again
                goes on.
        """
        key = self._identity.known(user)
        names = self._names_of(key)
        moment = time.time()
        self._note(names, moment)
        waiting = drop(key, moment)
        keys, cleared, remaining = self._clear_all(key)
        logger.info("erased a person: %d bits of %d keys", cleared, keys)
        at = datetime.fromtimestamp(moment, tz=timezone.utc)
        # Who erases themselves would be named here after all.
        by = "themselves" if by == str(key) else by
        return Receipt(names[0], at, by, keys, cleared, waiting, remaining)

    def _clear_all(self, key: User) -> tuple[int, int, int]:
        """Clear a person's bits; return keys, bits that were set, and bits that are."""
        names = self._names_of(key)
        bits = self._let_go(key, names)
        if not bits:
            bit = self._identity.bit_of(key)
            bits = set() if bit is None else {bit}
        keys = cleared = remaining = 0
        for number in range(_ROUNDS):
            # A mark that was on its way may have come behind the first round.
            for batch in self._batches():
                keys += len(batch) if number == 0 else 0
                cleared += self._clear(batch, bits)
            remaining = sum(len(self._held(each, bits)) for each in self._batches())
            if not remaining:
                break
        if not remaining:
            self._try(self._client.hdel, ERASING_KEY, *names)
        return keys, cleared, remaining

    def _let_go(self, key: User, names: Sequence[str]) -> set[int]:
        """Take a key's number from it, and return all that it has had.

        What is marked from then on has another number; a kill does not lose these.
        """
        given = self._identity.number_given(key)
        kept = self._try(self._client.hmget, ERASING_KEY, names) or []
        numbers = {int(each) for some in kept if some for each in some.split()}
        if given is not None:
            numbers.add(given)
            pending = " ".join(map(str, sorted(numbers)))
            self._client.hset(ERASING_KEY, names[0], pending)
            self._identity.release(key, given)
        return numbers

    def _batches(self) -> Iterator[list[bytes]]:
        keys = self._catalogue.holding_users()
        while batch := list(islice(keys, BATCH)):
            yield batch

    def _held(self, keys: Sequence[bytes], bits: set[int]) -> list[tuple[bytes, int]]:
        """Return which of the bits are set in which of the keys."""
        pairs = [(key, bit) for key in keys for bit in bits]
        replies = self._send([("GETBIT", *pair) for pair in pairs])
        return [pair for pair, reply in zip(pairs, replies) if reply == 1]

    def _clear(self, keys: Sequence[bytes], bits: set[int]) -> int:
        # A bit that is set lies within its key: clearing it makes no key longer.
        held = self._held(keys, bits)
        return sum(self._send([("SETBIT", *pair, 0) for pair in held]))

    def _send(self, commands: Sequence[Command]) -> list[int]:
        replies = send(self._client, commands, writes=True)
        for reply in replies:
            if isinstance(reply, Exception) and not _is_of_others(reply):
                raise reply
        return [reply if isinstance(reply, int) else 0 for reply in replies]

    # --- Who was erased

    def _note(self, names: Sequence[str], moment: float) -> None:
        # While a secret is changed, some processes know the person by another name.
        self._try(self._client.zadd, FORGOTTEN_KEY, dict.fromkeys(names, moment))
        self._try(
            self._client.zremrangebyscore, FORGOTTEN_KEY, "-inf", moment - KEPT_FOR
        )
        self._try(self._client.expire, FORGOTTEN_KEY, KEPT_FOR)

    def _try(self, command: Callable[..., Any], *arguments: Any) -> Any:
        """Send a command that stores without sorted sets and hashes do not know."""
        try:
            return command(*arguments)
        except ResponseError as error:
            if "unknown command" not in str(error).lower():
                raise
            return None

    def write_waiting(
        self, marks: Sequence[Mark], write: Callable[[Sequence[Mark]], list[Refused]]
    ) -> tuple[list[Refused], list[Mark]]:
        """Write marks that have waited, but for those of people erased meanwhile.

        Args:
            marks: The marks.
            write: Writes some.

        Returns:
            What *write* says, and the marks that were dropped.

        Raises:
            redis.RedisError: The store does not answer.
        """
        erased = self._erased(marks)
        left = [mark for mark in marks if id(mark) not in erased] if erased else marks
        refused = write(left) if left else []
        # Who was erased between the look and the write might have come back with it.
        late = self._erased(left)
        for user in {mark.user for mark in left if id(mark) in late}:
            self._clear_all(user)
        return refused, [mark for mark in marks if id(mark) in erased]

    def _erased(self, marks: Sequence[Mark]) -> set[int]:
        """Return which marks, as objects, are of people erased since they were made."""
        if not marks:
            return set()
        try:
            if not self._marks.exists(FORGOTTEN_KEY):
                return set()
            secrets = self._secrets()
            if not secrets:
                self._warn("the app has no SECRET_KEY")
                return set()
            users = [user for user in {mark.user for mark in marks} for _ in secrets]
            names = map(_name, cycle(secrets), users)
            moments = self._marks.zmscore(FORGOTTEN_KEY, list(names))
        except ResponseError as error:
            self._warn(error)
            return set()
        erased: dict[User, float] = {}
        for user, moment in zip(users, moments):
            if moment is not None:
                erased[user] = max(moment, erased.get(user, moment))
        return {
            id(mark)
            for mark in marks
            if mark.user in erased and mark.made <= erased[mark.user]
        }

    def _warn(self, reason: object) -> None:
        if not self._is_warned:
            self._is_warned = True
            logger.warning(
                "events that wait are written without a look at who was erased: %s",
                reason,
            )


def export_person(eraser: Eraser, user: Any) -> dict[str, Any]:
    """Return all that a store holds of a user; see :meth:`FlaskBitmapist.person`."""
    events: dict[str, dict[str, list[str]]] = {}
    flags = []
    cuts = eraser.deleted()
    parsed = [each for key in eraser.holding(user) if (each := parse_key(key))]
    for each in sorted(parsed, key=_by_time):
        name = each.name.decode("utf-8", "backslashreplace")
        if each.is_flag:
            flags.append(name)
            continue
        kinds = events.setdefault(name, {group.value: [] for group in _GROUPS})
        if each.period == SEEN_BEFORE:
            kinds["before"] = [cuts[name].before.isoformat()] if name in cuts else []
        elif each.period is None:
            kinds.setdefault("other", []).append(each.key.decode(errors="replace"))
        else:
            kinds[each.period.group.value].append(each.period.label)
    return {"events": events, "flags": flags}


_GROUPS = (TimeGroup.MONTHS, TimeGroup.WEEKS, TimeGroup.DAYS, TimeGroup.HOURS)


def _by_time(key: EventKey) -> tuple[bytes, str, bytes]:
    start = "" if key.period is None else key.period.start.isoformat()
    return key.name, start, key.key


def _name(secret: str | bytes, key: User) -> str:
    secret = secret.encode() if isinstance(secret, str) else secret
    return hmac.digest(secret, _PURPOSE + str(key).encode(), "sha256").hex()


def _is_of_others(error: Exception) -> bool:
    """Return whether a key that is called like a bitmap holds something else."""
    return str(error).startswith("WRONGTYPE")
