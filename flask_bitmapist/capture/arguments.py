"""Arguments of a mark that are only known when a request comes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from werkzeug.local import LocalProxy

Resolver = Callable[[Mapping[str, Any]], Any]
"""Takes the view's arguments by name and returns the mark's argument."""


def is_late(value: Any) -> bool:
    """Return whether *value* is to be called in the request.

    A proxy such as ``current_user`` can be called as well, but stands for an object.
    """
    return callable(value) and not isinstance(value, LocalProxy) and not _is_user(value)


def resolver(value: Any) -> Resolver:
    """Return how to find a mark's argument in a request.

    Args:
        value: The argument itself; or a callable that returns it, given those of the
            view's arguments that have the names of its own parameters.
    """
    if not is_late(value):
        return lambda arguments: value
    names, takes_all = _parameters(value)
    if takes_all:
        return lambda arguments: value(**arguments)
    if not names:
        return lambda arguments: value()

    def call(arguments: Mapping[str, Any]) -> Any:
        return value(**{name: arguments[name] for name in names if name in arguments})

    return call


def view_arguments(
    signature: inspect.Signature | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Mapping[str, Any]:
    """Return a view's arguments by name; Flask itself passes all of them so."""
    if not args or signature is None:
        return kwargs
    try:
        return signature.bind_partial(*args, **kwargs).arguments
    except TypeError:
        return kwargs


def signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    """Return the signature of *function*, or None where Python cannot tell."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _parameters(function: Callable[..., Any]) -> tuple[tuple[str, ...], bool]:
    signature = signature_of(function)
    if signature is None:
        return (), False
    parameters = signature.parameters.values()
    by_name = (
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.KEYWORD_ONLY,
    )
    names = tuple(each.name for each in parameters if each.kind in by_name)
    takes_all = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)
    return names, takes_all


def _is_user(value: Any) -> bool:
    # A user object may define __call__; a class that has get_id is no user.
    return not isinstance(value, type) and callable(getattr(value, "get_id", None))
