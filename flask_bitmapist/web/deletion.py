"""Deleting an event from the Events page: a look at what would go, then the deed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import request, session
from flask.typing import ResponseReturnValue
from wtforms import Form, ValidationError
from wtforms.csrf.session import SessionCSRF

from ..capture.deletion import Deletion, plan_deletion
from . import door
from .export import json_response
from .fields import AsOf, Text
from .forms import QuestionForm
from .pages import Page, answered, context_of, refuse
from .surface import Surface, wants_json
from .texts import gettext, lazy

TEMPLATE = "bitmapist/delete.html"

PAGE = Page(
    name="events", title=lazy("Delete an event"), form=QuestionForm, template=TEMPLATE
)
"""In no menu: it belongs to the Events page."""

TOKEN = "bitmapist_csrf"
"""Not ``csrf_token``, which is what Flask-WTF calls its own."""

DECLARED = door.Declared(
    frozenset({"event", "before", "confirm", TOKEN, "format", "json"})
)

KINDS = {
    "months": lazy("of months"),
    "weeks": lazy("of weeks"),
    "days": lazy("of days"),
    "hours": lazy("of hours"),
    "other": lazy("with other dates"),
}
"""What the kinds of bitmaps are called."""


class DeletionForm(Form):
    """Which event, and whether that is meant."""

    event = Text(lazy("Event"))
    before = AsOf(lazy("Only what ended before"))
    confirm = Text(lazy("Type the event's name"))

    def validate_confirm(self, field: Text) -> None:
        """Refuse anything but the name itself."""
        if field.data != self.event.data:
            raise ValidationError(
                gettext("That is not the event's name; nothing is deleted.")
            )


def serve_deletion(surface: Surface) -> ResponseReturnValue:
    """Answer the current request to look at a deletion, or to carry it out.

    Args:
        surface: Where the page is shown.
    """
    if not surface.may_delete:
        return refuse(surface, gettext("Events cannot be deleted here."))
    if not surface.state.app.secret_key:
        return refuse(surface, gettext("Deleting needs the app's SECRET_KEY."))
    return door.unkept(answered(PAGE, surface, lambda: _respond(surface)))


def _respond(surface: Surface) -> ResponseReturnValue:
    is_post = request.method == "POST"
    try:
        door.check_body()
        read = door.form_arguments if is_post else door.url_arguments
        form = _form(surface, read(DECLARED))
    except door.TurnedAwayError as error:
        return _shown(surface, _form(surface, None), None, error.messages["form"][0])
    if not form.event.data:
        return _shown(surface, form, None, gettext("Choose an event."))
    is_meant = form.validate()
    for field in (form.event, form.before):
        if field.errors:
            return _shown(surface, form, None, str(field.errors[0]))
    kept = surface.state
    bitmaps = kept.query.within(kept.settings.max_work).bitmaps
    plan = plan_deletion(
        kept, form.event.data, before=form.before.data, bitmaps=bitmaps
    )
    if not is_post:
        return _shown(surface, form, plan)
    if is_meant:
        return _done(surface, form, plan)
    return _shown(surface, form, plan, _problem(form))


def _problem(form: DeletionForm) -> str:
    if TOKEN in form.errors:
        return gettext(
            "This form has expired, or came from elsewhere. Nothing is deleted: look "
            "at it again, and try once more."
        )
    return str(form.confirm.errors[0])


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
    if wants_json():
        content = {"errors": {"form": [problem]}} if problem else _told(plan)
        return json_response(content, status)
    return _rendered(surface, form, plan, problem=problem), status


def _done(surface: Surface, form: DeletionForm, plan: Deletion) -> ResponseReturnValue:
    told = _told(plan)  # who was there can only be counted before
    gone = plan.carry_out()
    if wants_json():
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
    return surface.render(
        TEMPLATE, **context_of(PAGE, surface), **own, kinds=KINDS, token=TOKEN
    )


def _told(plan: Deletion | None) -> dict[str, Any]:
    return {} if plan is None else plan.to_dict()
