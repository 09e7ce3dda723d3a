"""Deleting an event, or a person: a look at what would go, then the deed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

from flask import request, session
from flask.typing import ResponseReturnValue
from wtforms import Form, StringField
from wtforms.csrf.session import SessionCSRF

from ..analysis.errors import BadMarkError, QueryError, Text
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

F = TypeVar("F", bound=Form)

TEMPLATE = "flask_bitmapist/delete.html"

PAGE = Place("events", Text("Delete an event"))
"""In no menu: it belongs to the Events page."""

TOKEN = "bitmapist_csrf"
"""Not ``csrf_token``, which is what Flask-WTF calls its own."""

PERSON_TEMPLATE = "flask_bitmapist/forget.html"

PERSON_PAGE = Place("people", Text("Erase a person"))
"""In no menu: it belongs to the People page."""

ACCEPTED = door.Accepted(
    frozenset({"event", "before", "confirm", TOKEN, "format", "json"})
)

PERSON_ACCEPTED = door.Accepted(frozenset({"user", "confirm", TOKEN, "format", "json"}))

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


def serve_deletion(surface: Surface) -> ResponseReturnValue:
    """Answer the current request to look at a deletion, or to carry it out.

    Args:
        surface: Where the page is shown.
    """
    return _guarded(surface, PAGE, _respond)


def serve_erasing(surface: Surface) -> ResponseReturnValue:
    """Answer the current request to look at what is kept of a person, or to erase it.

    Args:
        surface: Where the page is shown.
    """
    return _guarded(surface, PERSON_PAGE, _respond_person)


def _guarded(
    surface: Surface,
    page: Place,
    respond: Callable[[Surface], ResponseReturnValue],
) -> ResponseReturnValue:
    if not surface.may_delete:
        return refuse(surface, gettext("Events cannot be deleted here."))
    if not surface.state.app.secret_key:
        return refuse(
            surface, gettext("Deleting requires the app's SECRET_KEY to be set.")
        )
    return unkept(answered(surface, page, lambda: respond(surface), door.wants_json()))


def _respond(surface: Surface) -> ResponseReturnValue:
    is_post = request.method == "POST"
    try:
        door.check_body()
        read = door.form_arguments if is_post else door.url_arguments
        form = _form(surface, read(ACCEPTED), DeletionForm)
    except QueryError as error:
        message = formats.translated(error.message)
        return _shown(surface, _form(surface, None, DeletionForm), None, message)
    if not form.event.data:
        return _shown(surface, form, None, gettext("Choose an event."))
    if len(form.event.data.encode(errors="replace")) > MAX_BYTES:
        most = formats.number(MAX_BYTES)
        message = gettext("An event name can have at most %(most)s bytes.", most=most)
        return _shown(surface, _form(surface, None, DeletionForm), None, message)
    try:
        wanted = Wanted.read({"before": form.before.data, "event": form.event.data})
    except ParameterError as error:
        wrong = next(iter(error.wrong.values()))
        return _shown(surface, form, None, formats.translated(wrong))
    kept = surface.state
    bitmaps = kept.query.within(kept.settings.max_work).bitmaps
    before = wanted.before.date() if isinstance(wanted.before, datetime) else None
    if type(wanted.before) is date:
        before = wanted.before
    plan = plan_deletion(kept, form.event.data, before=before, bitmaps=bitmaps)
    if not is_post:
        return _shown(surface, form, plan)
    problem = _problem(form)
    if problem is None:
        return _done(surface, form, plan)
    return _shown(surface, form, plan, problem)


def _respond_person(surface: Surface) -> ResponseReturnValue:
    is_post = request.method == "POST"
    recorder = surface.state.recorder
    form = _form(surface, None, ErasingForm)
    try:
        door.check_body()
        read = door.form_arguments if is_post else door.url_arguments
        form = _form(surface, read(PERSON_ACCEPTED), ErasingForm)
        if not form.user.data:
            raise QueryError(Text("Enter a user ID."))
        user = WantedPerson.read({"user": form.user.data}).user
        held = len(recorder.eraser.holding(user))
    except ParameterError as error:
        wrong = formats.translated(next(iter(error.wrong.values())))
        return _shown_person(surface, form, problem=wrong)
    except QueryError as error:
        message = formats.translated(error.message)
        return _shown_person(surface, form, problem=message)
    if not is_post:
        return _shown_person(surface, form, held)
    if not form.validate():
        return _shown_person(surface, form, held, problem=_expired())
    if form.confirm.data != form.user.data:
        message = gettext("User IDs do not match; nothing was erased.")
        return _shown_person(surface, form, held, problem=message)
    receipt = recorder.forget(user, _reader(surface))
    return _shown_person(surface, form, receipt=receipt)


def _reader(surface: Surface) -> str | None:
    """Return who is logged in, as the app or its server knows them."""
    if hasattr(surface.state.app, "login_manager"):
        from flask_login import current_user

        try:
            key = surface.state.recorder.identity.key(current_user)
        except BadMarkError:
            key = None
        if key is not None:
            return str(key)
    return request.remote_user or None


def _shown_person(
    surface: Surface,
    form: ErasingForm,
    held: int | None = None,
    receipt: Receipt | None = None,
    problem: str | None = None,
) -> ResponseReturnValue:
    status = 200 if problem is None else 400
    if not door.wants_json():
        own = {"form": form, "held": held, "receipt": receipt, "problem": problem}
        page = surface.render(PERSON_TEMPLATE, PERSON_PAGE, **own, token=TOKEN)
        return page, status
    if problem is not None:
        return errors_response({"form": [problem]}, status)
    return json_response({"bitmaps": held} if receipt is None else receipt.to_dict())


def _problem(form: DeletionForm) -> str | None:
    """Return why a deletion is not meant, or None if it is."""
    if not form.validate():
        return _expired()
    if form.confirm.data != form.event.data:
        return gettext("Names do not match; nothing was deleted.")
    return None


def _expired() -> str:
    return gettext(
        "This form has expired or came from another page. Nothing was "
        "deleted; check the details and try again."
    )


def _form(surface: Surface, values: Any, kind: type[F]) -> F:
    secret = surface.state.app.secret_key
    meta = {
        "csrf": True,
        "csrf_class": SessionCSRF,
        "csrf_context": session,
        "csrf_secret": secret.encode() if isinstance(secret, str) else secret,
        "csrf_field_name": TOKEN,
        "csrf_time_limit": timedelta(hours=1),
    }
    return kind(values, meta=meta)


def _shown(
    surface: Surface,
    form: DeletionForm,
    plan: Deletion | None,
    problem: str | None = None,
) -> ResponseReturnValue:
    status = 200 if problem is None else 400
    if door.wants_json():
        if problem:
            return errors_response({"form": [problem]}, status)
        return json_response(_told(plan), status)
    return _rendered(surface, form, plan, problem=problem), status


def _done(surface: Surface, form: DeletionForm, plan: Deletion) -> ResponseReturnValue:
    told = _told(plan)  # who was there can only be counted before
    gone = plan.carry_out()
    if door.wants_json():
        return json_response({**told, "deleted": gone})
    return _rendered(surface, form, plan, gone=gone)


def _rendered(
    surface: Surface,
    form: DeletionForm,
    plan: Deletion | None,
    problem: str | None = None,
    gone: int | None = None,
) -> str:
    own = {"form": form, "plan": plan, "problem": problem, "gone": gone}
    return surface.render(TEMPLATE, PAGE, **own, kinds=KINDS, token=TOKEN)


def _told(plan: Deletion | None) -> dict[str, Any]:
    return {} if plan is None else plan.to_dict()
