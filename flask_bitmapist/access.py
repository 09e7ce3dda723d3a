"""Who may see the pages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from ipaddress import ip_address
from typing import Any

from flask import Flask, request
from werkzeug.wrappers import Response

from .config import NUMBERS, PEOPLE

Rule = Callable[[], Any]
"""Called in the request; gives True, False, or a response to send instead."""

LOCAL = "local"
PUBLIC = "public"

_FORWARDED = (
    *("HTTP_FORWARDED", "HTTP_X_FORWARDED", "HTTP_VIA", "HTTP_X_REAL_IP"),
    *("HTTP_X_CLIENT_IP", "HTTP_X_CLUSTER_CLIENT_IP", "HTTP_TRUE_CLIENT_IP"),
    *("HTTP_X_ORIGINAL", "HTTP_X_PROXY", "HTTP_CF_", "HTTP_FLY_", "HTTP_X_ENVOY"),
)
"""How the names of headers begin that proxies and tunnels add."""


class UnknownTokenError(Exception):
    """The request brings a token that the app does not know."""


@dataclass
class Registered:
    """The rule that an app's code has registered, if any."""

    rule: Rule | None = None


@dataclass(frozen=True)
class Access:
    """Decides about the current request.

    Args:
        app: The app.
        setting: ``BITMAPIST_ACCESS``.
        registered: What :meth:`FlaskBitmapist.access` was given, which comes before
            the setting.
        tokens: ``BITMAPIST_API_TOKENS``: the hashes of tokens, by their scope.
    """

    app: Flask
    setting: str | Rule
    registered: Registered
    tokens: Mapping[str, Collection[str]] = field(default_factory=dict, repr=False)

    @property
    def rule(self) -> Rule | None:
        """The callable that decides, or None where a word of the setting does."""
        if self.registered.rule is not None:
            return self.registered.rule
        return None if isinstance(self.setting, str) else self.setting

    @property
    def is_public(self) -> bool:
        """Whether the setting lets everybody in."""
        return self.rule is None and self.setting == PUBLIC

    def decide(
        self, admin: Callable[[], Any] | None = None, *, takes_tokens: bool = False
    ) -> bool | Response:
        """Return whether the current request may see the pages, on either surface.

        A program's token lets it in.  Else the app's own rule decides; where there is
        none, the rule of the Admin; where that is open to everybody or there is no
        Admin, the word of the setting.

        Args:
            admin: What the app's Admin has overridden ``is_accessible`` with, for a
                tab in one that restricts anything.
            takes_tokens: Whether a token counts, as it does for questions on the
                standalone pages.  What may be asked depends on its :meth:`scope`.

        Returns:
            True, False, or the response to send instead, such as a redirect to a
            login.  Nothing but True lets anybody in: None, 1 or a text do not.

        Raises:
            UnknownTokenError: The request brings a token, and is not let in by a rule
                of the app, which may know more tokens than these.
            Exception: Whatever the app's callable raises; nothing is shown then.
        """
        token = _bearer() if takes_tokens and self.tokens else None
        if token is None:
            return self._decide(admin)
        if self.scope() is not None:
            return True
        if self.rule is None or self._decide(admin) is not True:
            raise UnknownTokenError
        return True

    def scope(self) -> str | None:
        """Return what the current request may ask by its token, if it has a known one.

        Returns:
            ``"people"`` for everything, ``"numbers"`` for all but single users.
        """
        token = _bearer()
        if token is None:
            return None
        found = sha256(token.encode(errors="replace")).hexdigest()
        known = {
            # Each is compared, and each in the same time.
            scope: sum([compare_digest(found, each) for each in self.tokens[scope]])
            for scope in self.tokens
        }
        return next((each for each in (PEOPLE, NUMBERS) if known.get(each)), None)

    def _decide(self, admin: Callable[[], Any] | None) -> bool | Response:
        rule = self.rule
        if rule is None:
            if admin is not None:
                return bool(admin())
            return self.setting == PUBLIC or is_local()
        verdict = self.app.ensure_sync(rule)()
        if isinstance(verdict, (bool, Response)):
            return verdict
        if verdict is not None:
            self.app.logger.error(
                "the access rule of Flask-Bitmapist must return True, False or a "
                "response, not %s; access is denied",
                type(verdict).__name__,
            )
        return False


def _bearer() -> str | None:
    """Return the token that the current request brings, if any."""
    given = request.authorization
    if given is None or given.type != "bearer":
        return None
    return given.token or ""


def is_local() -> bool:
    """Return whether a developer asks, on the machine where the app is developed.

    That is so when Flask's own development server answers a request that comes from
    this machine and is addressed to it.  The address it comes from proves nothing by
    itself: behind a proxy on the same host, everybody comes from there.
    """
    environ = request.environ
    return (
        _is_development_server(environ)
        and not _is_forwarded(environ)
        and _is_loopback(environ.get("REMOTE_ADDR", ""))
        # Else a page elsewhere, whose name resolves to this machine, could read ours.
        and _names_this_machine(environ.get("HTTP_HOST", ""))
    )


def _is_development_server(environ: Mapping[str, Any]) -> bool:
    software = str(environ.get("SERVER_SOFTWARE", ""))
    # Headers cannot set either: their names begin with HTTP_ here.
    return software.startswith("Werkzeug/") and "werkzeug.socket" in environ


def _is_forwarded(environ: Mapping[str, Any]) -> bool:
    # No browser speaks HTTP/1.0; proxies that add no header do, by default.
    return environ.get("SERVER_PROTOCOL") == "HTTP/1.0" or any(
        name.startswith(_FORWARDED) for name in environ
    )


def _names_this_machine(host: str) -> bool:
    if host.startswith("["):
        return _is_loopback(host[1:].partition("]")[0])
    name = host.partition(":")[0].lower().removesuffix(".")
    return name == "localhost" or name.endswith(".localhost") or _is_loopback(name)


def _is_loopback(address: str) -> bool:
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)
