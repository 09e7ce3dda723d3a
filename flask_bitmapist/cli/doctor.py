"""``flask bitmapist doctor``: is everything as it should be?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from importlib.metadata import version
from importlib.util import find_spec

import click
from redis.exceptions import RedisError, ResponseError

from ..analysis.counting import fastest
from ..analysis.periods import TimeGroup
from ..config import PREFIX, unknown
from ..identity import KEYS, NUMBERS
from ..marking import unreached
from ..query import as_of, utc_now
from ..state import BitmapistState
from ..store.connect import redact
from ..store.cuts import Cuts, seen_keys
from ..store.diagnosis import Finding, client_versions, diagnose
from ..store.errors import DamagedIdMapError
from ..store.idmap import IdMap
from ..store.zones import zones_in
from ..web.surface import no_user_view, user_endpoint
from .common import asks, show_json

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "problem": ("✗", "red")}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@asks
def doctor_command(state: BitmapistState, as_json: bool) -> None:
    """Check connection, latency, permissions, version, memory, IDs and settings.

    Prints what to do about each finding; exits with 1 if something keeps analytics
    from working.
    """
    findings = list(_findings(state))
    settings = _settings(state)
    counters = state.recorder.counters.to_dict()
    if as_json:
        show_json(
            {
                "findings": [finding._asdict() for finding in findings],
                "settings": settings,
                "counters": counters,
            }
        )
    else:
        for finding in findings:
            _show(finding)
        _show_table("settings", settings)
        _show_table("events tracked by this process", counters)
    if any(finding.level == "problem" for finding in findings):
        click.get_current_context().exit(1)


def _findings(state: BitmapistState) -> Iterator[Finding]:
    yield client_versions(version("bitmapist"), version("redis"))
    month = as_of(None, state.query.calendar).period(TimeGroup.MONTHS)
    yield from diagnose(
        state.read_client,
        state.systems[state.settings.redis_system],
        state.redis_url,
        state.catalogue.names,
        month,
    )
    if state.redis_url.startswith("memory://"):
        yield Finding(
            "warning",
            "store",
            "events are stored only in this process",
            "Use this for development and tests only; in production, set "
            "BITMAPIST_REDIS_URL to a Redis server.",
        )
    yield from _temporary(state)
    yield from _deleted(state)
    yield from _users(state)
    yield from _zone(state)
    yield _counting()
    yield from _guesses(state)
    extensions = state.app.extensions
    if "admin" in extensions and "babel" not in extensions and find_spec("flask_babel"):
        yield Finding(
            "problem",
            "languages",
            "Flask-Admin's pages, the tabs among them, fail: Flask-Babel is installed "
            "and not initialised",
            "Call Babel(app) of flask_babel, or uninstall Flask-Babel.",
        )


def _guesses(state: BitmapistState) -> Iterator[Finding]:
    """Say what the app was meant to do, and does not."""
    for name in unknown(state.app.config):
        yield Finding(
            "warning",
            "settings",
            f"{name} is not a setting of this version, and is ignored",
            "Take it out, or install the version that has it.",
        )
    view = state.settings.admin_user_view
    if view and user_endpoint(state.app, view) is None:
        yield Finding(
            "warning",
            "admin",
            no_user_view(view),
            "Name the endpoint of a ModelView, as it was given to it or as its model "
            "is called in small letters.",
        )
    for view_name, rule in unreached(state.app):
        yield Finding(
            "warning",
            "marks",
            f"a mark on {view_name} is never made: the route {rule} leads past it",
            "Put @mark below @app.route, so that the route gets what is marked.",
        )


def _temporary(state: BitmapistState) -> Iterator[Finding]:
    """Say what plain bitmapist and version 0.1.2 have left behind."""
    try:
        count = len(state.catalogue.temporary_keys())
    except RedisError:
        return  # what is wrong with it is told already
    if count:
        yield Finding(
            "warning",
            "temporary keys",
            f"{count:,} of bitmapist's bit operations, which hold users for ever",
            "Call bitmapist.delete_temporary_bitop_keys() while nothing uses them.",
        )


def _deleted(state: BitmapistState) -> Iterator[Finding]:
    """Say of how many events the past was deleted, and who is known of it."""
    client = state.read_client
    try:
        cuts = Cuts(client).known()
        keys = seen_keys(client) if cuts else []
        kept: int = sum(client.exists(key) for key in keys)  # type: ignore[misc]
    except RedisError:
        return  # what is wrong with it is told already
    if cuts:
        last = max(cut.before for cut in cuts.values())
        yield Finding(
            "ok",
            "deleted",
            f"the past of {len(cuts):,} events, up to {last.isoformat()} at most; who "
            f"was there is kept of {kept:,}",
        )


def _users(state: BitmapistState) -> Iterator[Finding]:
    """Say what the store holds, and which marks were left out."""
    try:
        stamp = IdMap(state.read_client).stamp()
    except RedisError as error:
        if isinstance(error, DamagedIdMapError):
            yield Finding("problem", "user ids", str(error))
        return
    damaged = stamp.holds == KEYS and (stamp.next is None or not stamp.is_written)
    setting = state.settings.id_map
    wanted = stamp.holds if setting == "auto" else KEYS if setting else NUMBERS
    if damaged:
        yield Finding(
            "problem",
            "user ids",
            "the numbers of user IDs are damaged: the counter is gone, so that two "
            "people would share a number; marks of new users wait",
            "Stop the apps and run 'flask bitmapist id-map repair'.",
        )
    elif stamp.holds is not None and wanted != stamp.holds:
        yield Finding(
            "warning",
            "user ids",
            f"this store holds {stamp.holds}, which BITMAPIST_ID_MAP = {setting} does "
            "not change",
            "Set BITMAPIST_ID_MAP to 'auto'"
            + (
                "."
                if stamp.holds == KEYS
                else ", or stop the apps and run 'flask bitmapist id-map on'."
            ),
        )
    else:
        yield Finding("ok", "user ids", _HOLDS[stamp.holds])
    for told in state.recorder.reports.left_out.look().told(utc_now()):
        yield Finding(
            "warning",
            "left out",
            str(told),
            "The app's log says more (logger flask_bitmapist). If the IDs are right, "
            "stop the apps and run 'flask bitmapist id-map on'; if not, set "
            "BITMAPIST_USER_ID.",
        )


_HOLDS = {
    None: "the first event decides whether this store holds numbers or keys",
    NUMBERS: "this store holds numbers: user IDs are whole numbers",
    KEYS: "this store holds keys: each user ID has a number",
}


def _zone(state: BitmapistState) -> Iterator[Finding]:
    """Say whose days the store keeps."""
    try:
        zones = zones_in(state.read_client)
    except ResponseError:
        zones = {}  # a store without hashes
    except RedisError:
        return  # what is wrong with it is told already
    state.query.calendar  # noqa: B018 - looks at the store
    different = state.store.zones.difference
    if different is not None:
        yield Finding(
            "warning",
            "time zone",
            str(different),
            "Set BITMAPIST_TIMEZONE to the store's time zone, or change that from a "
            "day on with 'flask bitmapist zone'.",
        )
        return
    zone = state.settings.timezone
    found = f"days are those of {zone}"
    if not zones:
        found += "; the first event writes that into the store, if it can be kept there"
    yield Finding("ok", "time zone", found)


def _counting() -> Finding:
    package = fastest().package
    found = f"bits are counted by {package} {version(package)}"
    if package == "numkong":
        return Finding("ok", "counting", found)
    return Finding(
        "ok",
        "counting",
        found,
        "'pip install flask-bitmapist[fast]' makes counting several times faster.",
    )


def _settings(state: BitmapistState) -> dict[str, object]:
    shown: dict[str, object] = {}
    for each in fields(state.settings):
        value = getattr(state.settings, each.name)
        secret = each.metadata["secret"]
        if secret and isinstance(value, str):
            value = redact(value)
        elif secret and isinstance(value, dict):
            value = ", ".join(
                f"{len(each)} for {scope}" for scope, each in value.items()
            )
        shown[PREFIX + each.name.upper()] = _plain(value)
    return shown


def _plain(value: object) -> object:
    return (
        value if isinstance(value, (bool, int, float, str, type(None))) else str(value)
    )


def _show(finding: Finding) -> None:
    mark, colour = _MARKS[finding.level]
    click.echo(f"{click.style(mark, fg=colour, bold=True)} {finding.topic}: ", nl=False)
    click.echo(finding.found)
    if finding.advice:
        click.echo(f"  → {finding.advice}")


def _show_table(title: str, values: dict[str, object] | dict[str, int]) -> None:
    click.echo(f"\n{title}")
    width = max(map(len, values), default=0)
    for name, value in values.items():
        click.echo(f"  {name:{width}}  {value}")
