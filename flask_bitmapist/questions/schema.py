"""The declarations as JSON Schema, for OpenAPI and MCP."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import (
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from .declare import Answer, Declared, Param, Question, params_of, plain

Schema = dict[str, Any]


def parameters_schema(declared: type[Declared]) -> Schema:
    """Return what a JSON object with the parameters of a declaration looks like."""
    params = params_of(declared)
    return {
        "type": "object",
        "properties": {each.name: parameter_schema(each) for each in params},
        "required": [each.name for each in params if each.required],
        "additionalProperties": False,
    }


def parameter_schema(param: Param) -> Schema:
    """Return what the value of a parameter looks like."""
    schema: Schema = {**param.kind.schema, "title": str(param.label)}
    if param.help:
        schema["description"] = str(param.help)
    if not param.required and param.default is not None:
        schema["default"] = plain(param.default)
    return schema


def answer_type(question: type[Question[Any]]) -> type[Answer]:
    """Return the class of the answers to a question.

    Raises:
        TypeError: The class does not say; it derives from ``Question[ItsAnswer]``.
    """
    for base in question.__mro__:
        for made in vars(base).get("__orig_bases__", ()):
            for each in get_args(made):
                if isinstance(each, type) and issubclass(each, Answer):
                    return each
    raise TypeError(f"{question.__name__} must derive from Question[ItsAnswer]")


def answer_schema(question: type[Question[Any]]) -> Schema:
    """Return what the JSON of an answer looks like, by ``to_dict``'s annotation."""
    return schema_of(get_type_hints(answer_type(question).to_dict)["return"])


def schema_of(hint: Any) -> Schema:
    """Return the schema of what a type hint allows, as it stands in JSON.

    Raises:
        TypeError: JSON has no such values.
    """
    if is_typeddict(hint):
        return _typed_dict(hint)
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return {}
    if origin in (UnionType, Union):
        return {"anyOf": [schema_of(each) for each in inner]}
    if origin is Literal:
        return {"enum": list(inner)}
    if origin is list:
        return {"type": "array", "items": schema_of(inner[0])}
    if origin in (dict, Mapping) or hint in (dict, Mapping):
        return {
            "type": "object",
            "additionalProperties": schema_of(inner[1]) if inner else {},
        }
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    raise TypeError(f"there is no {hint!r} in JSON")


_PLAIN: dict[Any, str] = {
    int: "integer",
    float: "number",
    str: "string",
    bool: "boolean",
    NoneType: "null",
}


def _typed_dict(hint: Any) -> Schema:
    hints = get_type_hints(hint)
    # Annotations that are texts do not tell the class which keys may be missing.
    told = get_type_hints(hint, include_extras=True)
    optional = {name for name, each in told.items() if get_origin(each) is NotRequired}
    schema: Schema = {
        "type": "object",
        "properties": {name: schema_of(each) for name, each in hints.items()},
        "required": sorted(hint.__required_keys__ - optional),
        "additionalProperties": False,
    }
    if hint.__doc__:
        schema["description"] = hint.__doc__.strip().partition("\n")[0]
    return schema
