"""The shop itself: a few views, marked."""

from __future__ import annotations

from typing import Any

from flask import (
    Blueprint,
    current_app,
    flash,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required, login_user, logout_user

from flask_bitmapist import mark
from flask_bitmapist.capture import sample
from flask_bitmapist.store.connect import redact

from .accounts import PASSWORD, VISITORS, User, db
from .questions import QUESTIONS, RETENTION

blueprint = Blueprint("shop", __name__)

RECORDS = {
    "blue-train": ("Blue Train", "John Coltrane", "1957"),
    "kind-of-blue": ("Kind of Blue", "Miles Davis", "1959"),
    "pastel-blues": ("Pastel Blues", "Nina Simone", "1965"),
    "abbey-road": ("Abbey Road", "The Beatles", "1969"),
    "tapestry": ("Tapestry", "Carole King", "1971"),
    "blue": ("Blue", "Joni Mitchell", "1971"),
}


@blueprint.get("/")
@mark("shop:visited", current_user)
def index() -> ResponseReturnValue:
    """Show the shop and what there is to try."""
    return render_template(
        "demo/index.html",
        records=RECORDS,
        retention=RETENTION,
        questions=QUESTIONS,
        replay=current_app.extensions["record_shop"],
        sample=sample,
        store=_store(),
    )


@blueprint.post("/play/<record>")
@login_required
@mark("song:played", current_user)
def play(record: str) -> ResponseReturnValue:
    """Play a song of a record."""
    return _done(f"Playing a song of {_title(record)}. ♪", "song:played")


@blueprint.post("/buy/<record>")
@login_required
@mark("purchase", current_user)
def buy(record: str) -> ResponseReturnValue:
    """Buy a record."""
    return _done(f"{_title(record)} is yours.", "purchase")


@blueprint.route("/login", methods=["GET", "POST"])
def login() -> ResponseReturnValue:
    """Log in as one of the visitors."""
    if request.method == "GET":
        return render_template("demo/login.html", visitors=VISITORS, password=PASSWORD)
    visitor = db.session.scalar(
        db.select(User).filter_by(name=request.form.get("name", ""))
    )
    if visitor is None or request.form.get("password") != PASSWORD:
        flash("That is not one of the visitors, or not their password.", "danger")
        return redirect(url_for(".login"))
    login_user(visitor)
    flash(f"Welcome, {visitor.name}: you are customer {visitor.id}.", "success")
    return redirect(url_for(".index"))


@blueprint.post("/logout")
def logout() -> ResponseReturnValue:
    """Log out."""
    logout_user()
    return redirect(url_for(".index"))


@blueprint.get("/favicon.ico")
def favicon() -> ResponseReturnValue:
    """Serve the icon that browsers ask for where a page names none."""
    return redirect(url_for("bitmapist.static", filename="icon.svg"))


def _title(record: str) -> str:
    return RECORDS.get(record, (record, "", ""))[0]


def _done(message: str, event: str) -> ResponseReturnValue:
    flash(f"{message} Marked: {event} by customer {current_user.id}.", "success")
    return redirect(url_for(".index"))


def _store() -> dict[str, Any]:
    url = current_app.extensions["bitmapist"].redis_url
    return {"embedded": url.startswith("memory://"), "url": redact(url)}
