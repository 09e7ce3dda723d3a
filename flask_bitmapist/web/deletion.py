"""Deleting an event from the Events page: a look at what would go, then the deed."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from flask import request, session
from flask.typing import ResponseReturnValue
from wtforms import Form, StringField
from wtforms.csrf.session import SessionCSRF

from ..analysis.errors import QueryError, Text
from ..capture.deletion import Deletion, plan_deletion
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

TEMPLATE = "flask_bitmapist/delete.html"

PAGE = Place("events", Text("Delete an event"))
"""In no menu: it belongs to the Events page."""

TOKEN = "bitmapist_csrf"
"""Not ``csrf_token``, which is what Flask-WTF calls its own."""

ACCEPTED = door.Accepted(
    frozenset({"event", "before", "confirm", TOKEN, "format", "json"})
)

KINDS = {
    "months": Text("monthly"),
    "weeks": Text("weekly"),
    "days": Text("daily"),
    "hours": Text("hourly"),
    "other": Text("with other dates"),
}
"""What the kinds of bitmaps are called."""


class Wanted(Declared):
    """What is to be deleted."""

    event: str = param(Text("Event"))
    before: When = param(Text("Delete data before"), default=None)


class DeletionForm(Form):
    """What is to be deleted as texts, and whether that is meant."""

    event = StringField()
    before = StringField()
    confirm = StringField()


def serve_deletion(surface: Surface) -> ResponseReturnValue:
    """Answer the current request to look at a deletion, or to carry it out.

    Args:
        surface: Where the page is shown.
    """
    if not surface.may_delete:
        return refuse(surface, gettext("Events cannot be deleted here."))
    if not surface.state.app.secret_key:
        return refuse(
            surface, gettext("Deleting requires the app's SECRET_KEY to be set.")
        )
    return unkept(answered(surface, PAGE, lambda: _respond(surface), door.wants_json()))


def _respond(surface: Surface) -> ResponseReturnValue:
    is_post = request.method == "POST"
    try:
        door.check_body()
        read = door.form_arguments if is_post else door.url_arguments
        form = _form(surface, read(ACCEPTED))
    except QueryError as error:
        message = formats.translated(error.message)
        return _shown(surface, _form(surface, None), None, message)
    if not form.event.data:
        return _shown(surface, form, None, gettext("Choose an event."))
    if len(form.event.data.encode(errors="replace")) > MAX_BYTES:
        most = formats.number(MAX_BYTES)
        message = gettext("An event name can have at most %(most)s bytes.", most=most)
        return _shown(surface, _form(surface, None), None, message)
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


def _problem(form: DeletionForm) -> str | None:
    """Return why a deletion is not meant, or None if it is."""
    if not form.validate():
        return gettext(
            "This form has expired or came from another page. Nothing was "
            "deleted; check the details and try again."
        )
    if form.confirm.data != form.event.data:
        return gettext("Names do not match; nothing was deleted.")
    return None


def _form(surface: Surface, values: Any) -> DeletionForm:
    secret = surface.state.app.secret_key
    meta = {
        "csrf": True,
        "csrf_class": SessionCSRF,
        "csrf_context": session,
        "csrf_secret": secret.encode() if isinstance(secret, str) else secret,
        "csrf_field_name": TOKEN,
        "csrf_time_limit": timedelta(hours=1),
    }
    return DeletionForm(values, meta=meta)


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
