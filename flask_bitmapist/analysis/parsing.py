"""Expressions from text: ``song:played in last 7 days and not flag(staff)``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import date
from functools import reduce
from operator import and_, or_
from typing import NamedTuple

from .errors import QueryError, Text
from .expressions import Event, Expression, Flag, Named, Not, is_plain_name, quote
from .periods import shorten
from .windows import (
    UNITS,
    Between,
    Ever,
    First,
    InLast,
    Never,
    Restarted,
    Stopped,
    Window,
    is_of_events,
)

MAX_LENGTH = 10_000
MAX_DEPTH = 50

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<symbol>[()])
      | "(?P<quoted>(?:[^"\\]|\\.)*)"
      | (?P<word>[^\s()"\\]+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_KEYWORDS = frozenset({"and", "or", "not", "within"})
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
_UNIT_OF = {each: unit for unit in UNITS for each in (unit, unit[:-1])}


class _Token(NamedTuple):
    kind: str
    """``symbol``, ``keyword``, ``name`` or ``end``."""
    text: str
    position: int
    length: int = 0
    """Of what is written, quotes and backslashes included."""


class Place(NamedTuple):
    """A name in a text, and where it stands there."""

    expression: Event | Flag | Named
    """What it means."""
    position: int
    """The number of its first character."""
    length: int


class Wanted(NamedTuple):
    """How a text can go on, and the word that is begun at its end."""

    position: int
    """Where the word begins."""
    word: str
    """What there is of it, without quotes; empty after a blank."""
    kinds: frozenset[str] = frozenset()
    """What may stand there: ``name``, ``flag``, or some of ``and``, ``or``, ``not``,
    ``within`` and ``)``."""
    windows: tuple[tuple[Form, tuple[str, ...]], ...] = ()
    """The windows that may, each with those of its words that are still missing."""
    phrase: tuple[int, str] | None = None
    """The last name and all that follows it, and where that begins: of a name with
    blanks in it, not quoted yet, this is the beginning."""


def parse(text: str, named: Mapping[str, Expression] | None = None) -> Expression:
    """Read an expression.

    Events are written by name, in double quotes where the name has spaces, quotes,
    parentheses or is a keyword; flags as ``flag(name)``.  ``and`` and ``or`` may not
    be mixed without parentheses.  ``not a within b`` states among whom to look.
    Windows stand directly after an event, a name for events, or ``(a or b)``:
    ``a in last 7 days``, ``a in at least 3 of last 28 days``, ``a ever``, ``a never``,
    ``a since 2026-01-01``, ``a between 2026-01-01 and 2026-01-31``,
    ``a first in last 28 days``, ``a stopped 28 days``, ``a restarted 28 days``.
    Their words mean something only there: events may be called so.

    Args:
        text: The expression.
        named: Expressions that the app has given names, by name.

    Returns:
        The expression; its text form parses to an equal one.

    Raises:
        QueryError: The text cannot be read; the message says where.

    Example:
        >>> parse('a and (b or not c)')
        And(operands=(Event(name='a'), Or(operands=(Event(name='b'), ...))))
    """
    if len(text) > MAX_LENGTH:
        raise QueryError(
            Text("an expression can have at most %(most)s characters", most=MAX_LENGTH)
        )
    return _Parser(text, named or {}).parse()


def places(text: str, named: Mapping[str, Expression] | None = None) -> list[Place]:
    """Return where in an expression each event, flag and defined name stands.

    Raises:
        QueryError: As for :func:`parse`.

    Example:
        >>> [(each.position, each.length) for each in places('x ever and "y z"')]
        [(0, 1), (11, 5)]
    """
    parser = _Parser(text, named or {})
    parser.parse()
    return parser.places


def wanted(text: str, named: Mapping[str, Expression] | None = None) -> Wanted:
    """Return how the beginning of an expression can go on, as the grammar has it.

    Args:
        text: What is written up to where somebody is writing.
        named: As for :func:`parse`.

    Example:
        >>> sorted(wanted("x ever a").kinds)
        ['and', 'or']
        >>> [rest for _, rest in wanted("x in last 7 ").windows]
        [('units',)]
    """
    position, word = _begun(text)
    parser = None
    with suppress(QueryError):
        parser = _Parser(text[:position], named or {})
        parser.parse()
    if parser is None:
        return Wanted(position, word)
    # Where it is not finished, what it lacks is what is wanted.
    phrase = None
    if parser.places:
        start = parser.places[-1].position
        phrase = (start, text[start:])
    return Wanted(
        position, word, frozenset(parser.wanted), tuple(parser.windows()), phrase
    )


def _begun(text: str) -> tuple[int, str]:
    """Return where the word at the end of a text begins, and what there is of it."""
    position, match = 0, None
    while found := _TOKEN.match(text, position):
        position, match = found.end(), found
    rest = text[position:]
    if rest.startswith('"', blank := len(rest) - len(rest.lstrip())):
        return position + blank, re.sub(r"\\(.)", r"\1", rest[blank + 1 :], flags=re.S)
    if match is not None and match.lastgroup == "word" and not rest:
        return match.start("word"), match["word"]
    return len(text), ""


def spelled(name: str) -> str:
    """Return how to ask for the event of a name, where any expression can stand.

    Example:
        >>> print(spelled("Order Completed"), spelled("order ever"))
        Order Completed "order ever"
    """
    if is_plain_name(name):
        return name
    try:
        parse(name)
    except QueryError:
        return name  # no expression: a name that is known is taken as it is
    return quote(name)


class _Parser:
    def __init__(self, text: str, named: Mapping[str, Expression]) -> None:
        self._text = text
        self._named = named
        self._tokens = _tokenize(text)
        self._next = 0
        self._depth = 0
        self._window: int | None = None
        self.places: list[Place] = []
        self.wanted: set[str] = set()
        """What the text could have gone on with where it ends."""

    def parse(self) -> Expression:
        expression = self._operation()
        if self._peek().kind != "end":
            raise self._error(Text("expected 'and', 'or' or the end"))
        return expression

    def _operation(self) -> Expression:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise QueryError(
                Text(
                    "an expression can be nested at most %(most)s levels deep",
                    most=MAX_DEPTH,
                )
            )
        operands = [self._negation()]
        operator = ""
        self._want("and", "or")
        while self._at("and") or self._at("or"):
            word = self._peek().text
            if operator and word != operator:
                raise self._error(
                    Text("use parentheses where 'and' and 'or' are mixed")
                )
            operator = word
            self._take()
            operands.append(self._negation())
            self._want(operator)
        self._depth -= 1
        return reduce(or_ if operator == "or" else and_, operands)

    def _negation(self) -> Expression:
        self._want("not")
        if not self._at("not"):
            return self._windowed()
        self._take()
        if self._at("not"):
            raise self._error(
                Text("'not not' cancels out; write 'not' once or not at all")
            )
        operand = self._windowed()
        self._want("within")
        if not self._at("within"):
            return Not(operand)
        self._take()
        return Not(operand, within=self._windowed())

    def _windowed(self) -> Expression:
        self._window = None
        position = self._peek().position
        operand = self._primary()
        self._window = self._next if is_of_events(operand) else None
        read = _WINDOWS.get(self._word())
        if read is None:
            return operand
        self._window = self._next
        self._take()
        try:
            windowed = read(self, operand)
        except QueryError as error:
            if error.place is None:
                end = self._tokens[self._next - 1]
                error.place = (position, end.position + end.length - position)
            raise
        self._window = None
        return windowed

    def windows(self) -> Iterator[tuple[Form, tuple[str, ...]]]:
        """Yield the windows that can stand where the text ends, with what they lack."""
        if self._window is None or self._peek().kind != "end":
            return
        written = [each.text.lower() for each in self._tokens[self._window : -1]]
        for form in FORMS:
            words = form.window
            begun = words[: len(written)]
            if len(written) < len(words) and all(map(_fits, begun, written)):
                yield form, words[len(written) :]

    def in_last(self, operand: Expression) -> Window:
        least = 1
        if self._word() == "at":
            self._expect("at", "least")
            least = self._number()
            self._expect("of")
        self._expect("last")
        return InLast(operand, self._number(), self._unit(), least)

    def between(self, operand: Expression) -> Window:
        first = self._date()
        if not self._at("and"):
            raise self._error(Text("expected 'and'"))
        self._take()
        return Between(operand, first, self._date())

    def since(self, operand: Expression) -> Window:
        return Between(operand, self._date())

    def first_in_last(self, operand: Expression) -> Window:
        self._expect("in", "last")
        return First(operand, self._days())

    def stopped(self, operand: Expression) -> Window:
        return Stopped(operand, self._days())

    def restarted(self, operand: Expression) -> Window:
        return Restarted(operand, self._days())

    def _word(self) -> str:
        """Return the next token as a word of a window, of which none is reserved."""
        token = self._peek()
        return token.text.lower() if token.kind == "name" else ""

    def _expect(self, *words: str) -> None:
        for word in words:
            if self._word() != word:
                raise self._error(Text("expected %(word)s", word=repr(word)))
            self._take()

    def _number(self) -> int:
        word = self._word()
        if not _NUMBER.fullmatch(word):
            raise self._error(Text("expected a whole number"))
        self._take()
        return int(word)

    def _unit(self) -> str:
        unit = _UNIT_OF.get(self._word())
        if unit is None:
            raise self._error(
                Text("expected one of %(allowed)s", allowed=", ".join(UNITS))
            )
        self._take()
        return unit

    def _days(self) -> int:
        number = self._number()
        if self._word() not in ("day", "days"):
            raise self._error(Text("expected 'days'"))
        self._take()
        return number

    def _date(self) -> date:
        word = self._word()
        try:
            day = date.fromisoformat(word) if _DATE.fullmatch(word) else None
        except ValueError:
            day = None
        if day is None:
            raise self._error(Text("expected a day as YYYY-MM-DD"))
        self._take()
        return day

    def _primary(self) -> Expression:
        self._want("name")
        token = self._peek()
        if token.kind == "symbol" and token.text == "(":
            return self._in_parentheses()
        if token.kind == "name":
            self._take()
            if token.text == "flag" and self._peek().text == "(":
                return self._flag(token)
            return self._event(token)
        if token.kind == "quoted":
            self._take()
            return self._event(token)
        raise self._error(Text("expected an event name"))

    def _in_parentheses(self) -> Expression:
        self._take()
        inner = self._operation()
        self._close()
        return inner

    def _flag(self, first: _Token) -> Expression:
        self._take()
        self._want("flag")
        token = self._peek()
        if token.kind not in ("name", "quoted") or not token.text:
            raise self._error(Text("expected a flag name"))
        self._take()
        end = self._peek().position + 1
        self._close()
        return self._placed(Flag(token.text), first.position, end)

    def _event(self, token: _Token) -> Expression:
        name = token.text
        if not name:
            raise self._error(Text("an event's name must not be empty"))
        end = token.position + token.length
        if name in self._named:
            named = Named(name, self._named[name])
            return self._placed(named, token.position, end)
        return self._placed(Event(name), token.position, end)

    def _placed(
        self, expression: Event | Flag | Named, position: int, end: int
    ) -> Expression:
        self.places.append(Place(expression, position, end - position))
        return expression

    def _want(self, *kinds: str) -> None:
        """Note what the text could go on with, if this is where it ends."""
        if self._peek().kind == "end":
            self.wanted.update(kinds)

    def _close(self) -> None:
        self._want(")")
        if self._peek().text != ")" or self._peek().kind != "symbol":
            raise self._error(Text("expected ')'"))
        self._take()

    def _at(self, keyword: str) -> bool:
        token = self._peek()
        return token.kind == "keyword" and token.text == keyword

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> None:
        self._next += 1

    def _error(self, problem: Text) -> QueryError:
        token = self._peek()
        is_end = token.kind == "end"
        return QueryError(
            Text(
                "%(expression)s: %(problem)s, found %(found)s at character %(number)s",
                expression=repr(shorten(self._text)),
                problem=problem,
                found=Text("the end") if is_end else repr(shorten(token.text, 30)),
                number=token.position + 1,
            ),
            place=(token.position, token.length),
        )


class Form(NamedTuple):
    """One way to say who is meant, by which texts are read and which is explained."""

    written: str
    """As it is written, of x and y."""
    means: Text
    """Who is meant, in words."""
    read: Callable[[_Parser, Expression], Window] | None = None
    """Reads what follows the first word of a window; None for what is no window."""

    @property
    def window(self) -> tuple[str, ...]:
        """The words of a window, after that of which it is one."""
        return tuple(self.written.split()[1:]) if self.read else ()


FORMS = (
    Form("x", Text("Who did x in the period.")),
    Form('"x y"', Text("The same, of a name with blanks or parentheses in it.")),
    Form("flag(x)", Text("Who carries the flag x, whatever the period.")),
    Form("x and y", Text("For whom both hold.")),
    Form("x or y", Text("For whom at least one holds; not mixed without parentheses.")),
    Form("x and not y", Text("For whom the first holds and the second does not.")),
    Form("not x within y", Text("The same, where it says first who is left out.")),
    Form(
        "x in last N units",
        Text(
            "Who did x in the last N days, weeks, months, quarters or years: the "
            "calendar units that end with the current one, at most 400."
        ),
        _Parser.in_last,
    ),
    Form(
        "x in at least K of last N units",
        Text("Who did x in so many different ones of these units."),
        _Parser.in_last,
    ),
    Form(
        "x between DAY and DAY", Text("Who did x from a day to a day."), _Parser.between
    ),
    Form("x since DAY", Text("Who did x on that day or later."), _Parser.since),
    Form(
        "x ever", Text("Who has done x at any time."), lambda _, operand: Ever(operand)
    ),
    Form(
        "x never",
        Text("Who has not done x at any time, among others: y and x never."),
        lambda _, operand: Never(operand),
    ),
    Form(
        "x first in last N days",
        Text("Who did x in the last N days, and never before."),
        _Parser.first_in_last,
    ),
    Form(
        "x stopped N days",
        Text("Who did x in the N days before the last N days, and not since."),
        _Parser.stopped,
    ),
    Form(
        "x restarted N days",
        Text(
            "Who did x in the last N days, not in the N days before, and at some time "
            "before these."
        ),
        _Parser.restarted,
    ),
)
"""The grammar, form by form."""

_WINDOWS = {form.window[0]: form.read for form in FORMS if form.read}

_SLOTS: Mapping[str, Callable[[str], object]] = {
    "N": _NUMBER.fullmatch,
    "K": _NUMBER.fullmatch,
    "DAY": _DATE.fullmatch,
    "units": _UNIT_OF.get,
}
"""What can stand in a form in place of a word."""


def _fits(slot: str, word: str) -> bool:
    return bool(_SLOTS[slot](word)) if slot in _SLOTS else slot == word


def _tokenize(text: str) -> list[_Token]:
    tokens = []
    position = 0
    end = len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            start = position + len(text[position:]) - len(text[position:].lstrip())
            raise QueryError(
                Text(
                    "%(expression)s: unexpected input at character %(number)s; a "
                    "quoted name must end with a double quote",
                    expression=repr(shorten(text)),
                    number=start + 1,
                ),
                place=(start, end - start),
            )
        tokens.append(_token(match))
        position = match.end()
    return [*tokens, _Token("end", "", end)]


def _token(match: re.Match[str]) -> _Token:
    kind = match.lastgroup or ""
    start = match.start(kind)
    if kind == "symbol":
        return _Token(kind, match[kind], start, 1)
    if kind == "quoted":
        name = re.sub(r"\\(.)", r"\1", match[kind], flags=re.S)
        return _Token(kind, name, start - 1, len(match[kind]) + 2)
    word = match["word"]
    if word.lower() in _KEYWORDS:
        return _Token("keyword", word.lower(), start, len(word))
    return _Token("name", word, start, len(word))
