"""What a field is told while somebody types an expression into it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import MINYEAR, date, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from ..analysis.errors import QueryError
from ..analysis.expressions import And, Expression, Flag, quote
from ..analysis.parsing import FORMS, Form, Place, Wanted, wanted
from ..analysis.windows import UNITS
from ..query import as_of
from ..questions.who import Count
from . import formats
from .parts import words
from .texts import gettext, ngettext

if TYPE_CHECKING:
    from ..query import Query
    from .form import Texts

OF_GROUPS = frozenset({"segments", "exclude"})
"""The fields of a set of users, which has to say when something was done."""

ARGUMENTS = frozenset({"typed", "typed_in", "caret"})
"""The text, the field that it stands in, and where in it somebody is writing."""

COUNTING = 64 * 1024 * 1024
"""Bytes of bitmaps that may be walked over to count while somebody types."""

MOST_OPTIONS = 30
"""Most texts that are offered at once."""


class Wrong(NamedTuple):
    """What cannot be understood, and where it stands."""

    message: str
    position: int
    length: int


@dataclass(frozen=True)
class Told:
    """What is said of a text."""

    told: str = ""
    """How many users it has, or why that is not said."""
    count: int | None = None
    share: float | None = None
    """Of the users of BITMAPIST_EVERYONE, from 0 to 1; None without that setting."""
    wrong: tuple[Wrong, ...] = ()


class Option(NamedTuple):
    """A text that may stand where somebody is writing."""

    text: str
    insert: str
    """What is put in, quoted where it has to be; a blank ends it if more is wanted."""
    about: str
    position: int
    """Where what it replaces begins."""
    length: int


def answer(query: Query, arguments: Mapping[str, str], texts: Texts) -> dict[str, Any]:
    """Return what a field is told, as JSON: texts that are offered, or a number.

    Args:
        query: What is asked.
        arguments: :data:`ARGUMENTS`; with a caret, texts are offered.
        texts: What stands in the form beside it.
    """
    text, field = arguments.get("typed", ""), arguments.get("typed_in", "")
    caret = arguments.get("caret", "")
    if caret.isascii() and caret.isdigit():
        found = options(query, text, min(int(caret[:6]), len(text)), field, texts)
        return {"options": [each._asdict() for each in found]}
    told = asdict(number(query, text, field, texts))
    return {**told, "wrong": [each._asdict() for each in told["wrong"]]}


# -- how many users a text has


def number(query: Query, text: str, field: str, texts: Texts) -> Told:
    """Return how many users a text has, or what of it cannot be understood.

    Where users are meant, that is as of the form's last day; in an event's place in
    the current period of the form's length, unless the text says when.

    Args:
        query: What is asked.
        text: The text.
        field: The field that it stands in.
        texts: What stands in the form beside it.
    """
    word = words(query, field).get(text.strip())
    if word is not None:
        return Told(formats.translated(word))
    try:
        places = query.names.places(text)
    except QueryError as error:
        return _misread(error, text)
    wrong = [*_unknown(query, places)]
    if wrong:
        return Told(wrong=tuple(wrong))
    who = query.names.expression(text)
    asking = _Asking(query.within(COUNTING), text, field, texts)
    try:
        count = asking.count(who)
    except QueryError as error:
        if error.field == "segments" and next(who.bare(), None) is not None:
            # Nothing is wrong yet: when it was can still follow.
            error.place = (len(text), 0)
        if error.field == "segments" or (
            error.field == "event" and field not in OF_GROUPS
        ):
            return _misread(error, text)
        return Told(_why_not(error))
    share = asking.share()
    return Told(asking.sentence(count, share), count, share)


class _Asking:
    """Counts the users of one text."""

    def __init__(self, query: Query, text: str, field: str, texts: Texts) -> None:
        self._query = query
        self._expression = query.names.expression(text)
        self._group: Any = texts.get("time_group") or "days"
        self._others: dict[str, Any] = {"as_of": texts.get("as_of") or None}
        if field in OF_GROUPS:
            # That it says when is checked where segments are.
            self._group, self._others["segments"] = "days", (text,)
        if field != "exclude":
            self._others["exclude"] = texts.get("exclude") or None

    def count(self, who: Expression) -> int:
        asked = Count(who, self._group, **self._others)
        answered = self._query(asked)
        self._of = answered.ask.as_of
        (self._period,) = answered.periods
        return answered.count

    def share(self) -> float | None:
        """Return which part of everyone they are; None where that cannot be told."""
        if not self._query.names.everyone:
            return None
        everyone = self._query.names.expression(self._query.names.everyone)
        try:
            among = self.count(And((everyone, self._expression)))
            self._others.pop("segments", None)
            every = self.count(everyone)
        except QueryError:
            return None
        return among / every if every else None

    def sentence(self, count: int, share: float | None) -> str:
        told = ngettext(
            "%(count)s user", "%(count)s users", count, count=formats.number(count)
        )
        if share is not None:
            told = gettext(
                "%(users)s, %(share)s of everyone",
                users=told,
                share=formats.percent(share),
            )
        if next(self._expression.bare(), None) is None:
            return told
        when = formats.period_name(self._period)
        if self._of.is_today:
            when = formats.current(self._period.group)
        return f"{when}: {told}"


def _unknown(query: Query, places: Iterable[Place]) -> Iterator[Wrong]:
    if not query.names.has_events():
        return
    for place in places:
        message = query.names.unknown(place.expression)
        if message is not None:
            told = formats.translated(message)
            yield Wrong(told, place.position, place.length)


def _misread(error: QueryError, text: str) -> Told:
    position, length = error.place or (0, len(text))
    return Told(wrong=(Wrong(formats.translated(error.message), position, length),))


def _why_not(error: QueryError) -> str:
    if error.field is None:
        return gettext("There are too many users to count them while you type.")
    if error.field == "event":
        return gettext("Counted among the users of the report.")
    return formats.translated(error.message)


# -- what may stand where somebody is writing


def options(
    query: Query, text: str, caret: int, field: str, texts: Texts
) -> list[Option]:
    """Return what may stand where somebody is writing, the likeliest first.

    Args:
        query: What is asked.
        text: The text.
        caret: How many of its characters stand before that place.
        field: The field that it stands in.
        texts: What stands in the form beside it.
    """
    want = wanted(text[:caret], query.names.defined)
    length = caret - want.position + _rest_of_word(text, want.position, caret)
    near, far = _names(query, want, field)
    offered = {
        **_whole_texts(query, want, text, field),
        **near,
        **_window_words(query, want, texts),
        **far,
    }
    after = text[want.position + length :]
    found = []
    for shown, (insert, about) in offered.items():
        if after.startswith(" "):
            insert = insert.rstrip(" ")
        if after.startswith(")") and want.kinds == {"flag"}:
            insert = insert.rstrip(")")
        if insert.strip() != text[want.position : want.position + length]:
            found.append(Option(shown, insert, about, want.position, length))
    return [*found, *_phrases(query, want, caret, field)][:MOST_OPTIONS]


def _phrases(query: Query, want: Wanted, caret: int, field: str) -> Iterator[Option]:
    """Yield the names with blanks that are begun, not in quotes yet."""
    start, begun = want.phrase or (0, "")
    more = " " if field in OF_GROUPS else ""
    for name in query.names.events() if " " in begun else ():
        if name.lower().startswith(begun.lower()):
            insert = quote(name) + more
            yield Option(name, insert, gettext("event"), start, caret - start)


Offered = dict[str, tuple[str, str]]
"""What is put in for each text that is offered, and what it is."""


def _rest_of_word(text: str, start: int, caret: int) -> int:
    """Return how many characters after the caret are of the same word."""
    is_quoted = text.startswith('"', start)
    found = re.compile(r'[^"]*"?' if is_quoted else r'[^\s()"]*').match(text, caret)
    return len(found[0]) if found else 0


def _whole_texts(query: Query, want: Wanted, text: str, field: str) -> Offered:
    if text[: want.position].strip():
        return {}
    return {
        word: (word, formats.translated(meaning))
        for word, meaning in words(query, field).items()
        if word.startswith(want.word.lower())
    }


def _names(query: Query, want: Wanted, field: str) -> tuple[Offered, Offered]:
    """Return the names that may stand there: with a word that begins so, and others."""
    names, found = query.names, []
    is_inside = "flag" in want.kinds
    if not want.kinds & {"name", "flag"}:
        return {}, {}
    # A group of users needs more than an event: when it was.
    more = " " if field in OF_GROUPS else ""
    kinds = {
        "defined": [] if is_inside else names.defined,
        "event": [] if is_inside else names.events(),
        "flag": names.flags(),
    }
    order = ["defined", "flag", "event"] if more else ["event", "defined", "flag"]
    about = {
        "defined": gettext("defined name"),
        "event": gettext("event"),
        "flag": gettext("flag"),
    }
    for kind, several in kinds.items():
        for name in several:
            rank = _rank(name, want.word)
            if rank is None:
                continue
            shown = name
            insert = quote(name) + (more if kind == "event" else "")
            if kind == "flag":
                shown = name if is_inside else str(Flag(name))
                insert = f"{quote(name)})" if is_inside else shown
            found.append((rank, order.index(kind), shown, insert, about[kind]))
    near: Offered = {}
    far: Offered = {}
    for rank, _, shown, insert, what in sorted(found):
        (near if rank < 2 else far)[shown] = (insert, what)
    return near, far


def _rank(name: str, word: str) -> int | None:
    """Return how well a name goes with a word that is begun; None for not at all."""
    place = name.lower().find(word.lower())
    if place < 0:
        return None
    return 0 if place == 0 else 1 if not name[place - 1].isalnum() else 2


def _window_words(query: Query, want: Wanted, texts: Texts) -> Offered:
    """Return the words of the grammar that may stand there."""
    word = want.word.lower()
    found: Offered = {}
    for form, rest in want.windows:
        written = _written(form, _last_day(query, texts))[-len(rest) :]
        firsts = list(UNITS) if rest[0] == "units" else written[:1]
        for first in firsts:
            shown = " ".join([first, *written[1:]])
            if shown.startswith(word):
                found[shown] = (shown, formats.translated(form.means))
    for each in ("and", "or", "not", "within"):
        if each in want.kinds and each.startswith(word):
            form = next(form for form in FORMS if each in form.written.split())
            found[each] = (f"{each} ", formats.translated(form.means))
    return found


def _last_day(query: Query, texts: Texts) -> date:
    try:
        return date.fromisoformat(str(texts.get("as_of", "")).strip())
    except ValueError:
        return as_of(None, query.calendar).day


def _written(form: Form, day: date) -> list[str]:
    """Return the words of a window, with four weeks in place of its letters."""
    before = str(day - timedelta(days=27)) if day.year > MINYEAR else str(day)
    samples = {"N": "28", "K": "3", "units": "days"}
    days = iter([before, str(day)])
    return [
        next(days) if each == "DAY" else samples.get(each, each) for each in form.window
    ]
