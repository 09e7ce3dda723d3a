"""Deleting an event, or a person: a look at what would go, then the deed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from flask import request, session
from flask.typing import ResponseReturnValue
from wtforms import Form, StringField
from wtforms.csrf.session import SessionCSRF

from ..analysis.errors import BadMarkError, QueryError, Text, is_typed
from ..analysis.results import User
from ..capture.deletion import Deletion, plan_deletion
from ..capture.erasing import Receipt
from ..capture.marks import MAX_BYTES
from ..questions.declare import Declared, ParameterError, When, param
from . import door, formats
from .responses import (
    Place,
    answered,
    errors_response,
    json_response,
    refuse,
    unkept,
)
from .surface import Surface
from .texts import gettext

if TYPE_CHECKING:
    from ..state import BitmapistState

TOKEN = "bitmapist_csrf"
"""Not ``csrf_token``, which is what Flask-WTF calls its own."""

KINDS = {
    "months": Text("monthly"),
    "weeks": Text("weekly"),
    "days": Text("daily"),
    "hours": Text("hourly"),
    "other": Text("with other dates"),
    "temporary": Text("temporary"),
}
"""What the kinds of bitmaps are called."""


class Wanted(Declared):
    """What is to be deleted."""

    event: str = param(Text("Event"))
    before: When = param(Text("Delete data before"), default=None)


class WantedPerson(Declared):
    """Who is to be erased."""

    user: User = param(Text("User ID"))


class DeletionForm(Form):
    """What is to be deleted as texts, and whether that is meant."""

    event = StringField()
    before = StringField()
    confirm = StringField()


class ErasingForm(Form):
    """Who is to be erased as text, and whether that is meant."""

    user = StringField()
    confirm = StringField()


class _Deed(ABC):
    """What a page first shows and, once it is confirmed, does.

    Args:
        surface: Where the page is shown.
    """

    page: Place
    """In no menu: it belongs to the page of the same name."""
    template: str
    form: type[Form]
    subject: str
    """The form's field that is typed once more to confirm."""
    mismatch: str
    """What to say where that is not the same."""

    def __init__(self, surface: Surface) -> None:
        self.surface = surface
        self.state = surface.state

    @abstractmethod
    def look(self, form: Form) -> None:
        """Find what is meant, and what there is of it.

        Raises:
            QueryError: Nothing can be meant.
        """

    @abstractmethod
    def carry_out(self) -> None:
        """Do it."""

    @abstractmethod
    def told(self) -> dict[str, Any]:
        """Return what there is, and what was done, as it stands in JSON."""

    @abstractmethod
    def shown(self) -> dict[str, Any]:
        """Return what the template needs beside the form."""


class _Deletion(_Deed):
    page = Place("events", Text("Delete an event"))
    template = "flask_bitmapist/delete.html"
    form = DeletionForm
    subject = "event"
    mismatch = Text("Names do not match; nothing was deleted.")

    _plan: Deletion | None = None
    _gone: int | None = None

    def look(self, form: Form) -> None:
        event = form["event"].data
        if not event:
            raise QueryError(Text("Choose an event."))
        if len(event.encode(errors="replace")) > MAX_BYTES:
            told = Text(
                "An event name can have at most %(most)s bytes.", most=MAX_BYTES
            )
            raise QueryError(told)
        wanted = Wanted.read({"before": form["before"].data, "event": event})
        day = wanted.before.date() if isinstance(wanted.before, datetime) else None
        if type(wanted.before) is date:
            day = wanted.before
        bitmaps = self.state.query.within(self.state.settings.max_work).bitmaps
        self._plan = plan_deletion(self.state, event, before=day, bitmaps=bitmaps)

    def carry_out(self) -> None:
        assert self._plan is not None
        _ = self._plan.users  # they can only be counted before
        self._gone = self._plan.carry_out()

    def told(self) -> dict[str, Any]:
        told = {} if self._plan is None else self._plan.to_dict()
        return told if self._gone is None else {**told, "deleted": self._gone}

    def shown(self) -> dict[str, Any]:
        return {"plan": self._plan, "gone": self._gone, "kinds": KINDS}


class _Erasing(_Deed):
    page = Place("people", Text("Erase a person"))
    template = "flask_bitmapist/forget.html"
    form = ErasingForm
    subject = "user"
    mismatch = Text("User IDs do not match; nothing was erased.")

    _user: User = ""
    _held: int | None = None
    _receipt: Receipt | None = None

    def look(self, form: Form) -> None:
        if not form["user"].data:
            raise QueryError(Text("Enter a user ID."))
        self._user = WantedPerson.read({"user": form["user"].data}).user
        self._held = len(self.state.recorder.eraser.holding(self._user))

    def carry_out(self) -> None:
        self._receipt = self.state.recorder.forget(self._user, _reader(self.state))

    def told(self) -> dict[str, Any]:
        if self._receipt is None:
            return {"bitmaps": self._held}
        return self._receipt.to_dict()

    def shown(self) -> dict[str, Any]:
        return {"held": self._held, "receipt": self._receipt}


def serve_deletion(surface: Surface) -> ResponseReturnValue:
    """Answer the current request to look at a deletion, or to carry it out.

    Args:
        surface: Where the page is shown.
    """
    return _serve(_Deletion(surface))


def serve_erasing(surface: Surface) -> ResponseReturnValue:
    """Answer the current request to look at what is kept of a person, or to erase it.

    Args:
        surface: Where the page is shown.
    """
    return _serve(_Erasing(surface))


def _serve(deed: _Deed) -> ResponseReturnValue:
    surface = deed.surface
    if not surface.may_delete:
        return refuse(surface, gettext("Events cannot be deleted here."))
    if not deed.state.app.secret_key:
        return refuse(
            surface, gettext("Deleting requires the app's SECRET_KEY to be set.")
        )
    is_program = door.wants_json()
    return unkept(answered(surface, deed.page, lambda: _respond(deed), is_program))


def _respond(deed: _Deed) -> ResponseReturnValue:
    form, problem = _form(deed), None
    is_post = request.method == "POST"
    try:
        door.check_body()
        read = door.form_arguments if is_post else door.url_arguments
        names = frozenset({"format", "json", *(field.name for field in form)})
        form = _form(deed, read(door.Accepted(names)))
        deed.look(form)
    except ParameterError as error:
        problem = formats.translated(next(iter(error.wrong.values())))
    except QueryError as error:
        problem = formats.translated(error.message)
    if problem is None and is_post:
        problem = _problem(deed, form)
        if problem is None:
            deed.carry_out()
    return _answer(deed, form, problem)


def _problem(deed: _Deed, form: Form) -> str | None:
    """Return why it is not meant, or None if it is."""
    if not form.validate():
        return gettext(
            "This form has expired or came from another page. Nothing was "
            "deleted; check the details and try again."
        )
    is_meant = is_typed(form["confirm"].data or "", form[deed.subject].data)
    return None if is_meant else formats.translated(deed.mismatch)


def _answer(deed: _Deed, form: Form, problem: str | None) -> ResponseReturnValue:
    status = 200 if problem is None else 400
    if door.wants_json():
        if problem is not None:
            return errors_response({"form": [problem]}, status)
        return json_response(deed.told())
    own = {**deed.shown(), "form": form, "problem": problem, "token": TOKEN}
    return deed.surface.render(deed.template, deed.page, **own), status


def _form(deed: _Deed, values: Any = None) -> Form:
    secret = deed.state.app.secret_key
    meta = {
        "csrf": True,
        "csrf_class": SessionCSRF,
        "csrf_context": session,
        "csrf_secret": secret.encode() if isinstance(secret, str) else secret,
        "csrf_field_name": TOKEN,
        "csrf_time_limit": timedelta(hours=1),
    }
    return deed.form(values, meta=meta)


def _reader(state: BitmapistState) -> str | None:
    """Return who is logged in, as the app or its server knows them."""
    if hasattr(state.app, "login_manager"):
        from flask_login import current_user

        try:
            key = state.recorder.identity.key(current_user)
        except BadMarkError:
            key = None
        if key is not None:
            return str(key)
    return request.remote_user or None
