"""The OpenAPI document of the pages' JSON, made from the declarations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._version import __version__
from ..analysis.users import UsersPageDict
from ..questions.declare import Param, Question, params_of
from ..questions.schema import (
    Schema,
    answer_schema,
    parameter_schema,
    parameters_schema,
    schema_of,
)
from .door import path_of
from .page import ListPage
from .responses import ErrorsDict


def document(questions: Iterable[type[Question[Any]]], prefix: str) -> Schema:
    """Return the OpenAPI 3.1 document of some questions.

    Args:
        questions: Which questions.
        prefix: Where the pages are, ``BITMAPIST_URL_PREFIX``.
    """
    asked = list(questions)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Flask-Bitmapist",
            "version": __version__,
            "description": (
                "Exact, live answers about what users do. Counts are unique users, "
                "shares are fractions, periods are calendar periods in the "
                "app's time zone."
            ),
        },
        "servers": [{"url": prefix}],
        "paths": {path_of(each.endpoint): _operations(each) for each in asked},
        "components": {
            "schemas": {
                **{each.__name__: _answer(each) for each in asked},
                "UserList": schema_of(UsersPageDict),
                "Errors": schema_of(ErrorsDict),
            },
            "securitySchemes": {"token": _TOKEN},
        },
        # A token is one way in; who else may ask is up to the app.
        "security": [{"token": []}, {}],
    }


_TOKEN: Schema = {
    "type": "http",
    "scheme": "bearer",
    "description": (
        "A token of BITMAPIST_API_TOKENS. Questions about single users, and lists of "
        "users, need one for people."
    ),
}


def _answer(question: type[Question[Any]]) -> Schema:
    """Return the schema of an answer, which has others of its own shape in it."""
    schema = answer_schema(question)
    told, same = schema.get("properties", {}), _ref(question.__name__)
    for name in {"segments", "together", "previous"} & told.keys():
        several = told[name].get("type") == "array"
        told[name] = {"type": "array", "items": same} if several else same
    return schema


def _ref(schema: str) -> Schema:
    return {"$ref": f"#/components/schemas/{schema}"}


def _operations(question: type[Question[Any]]) -> Schema:
    title, about = str(question.title), (question.__doc__ or "").strip()
    cell = question.cell
    several: tuple[Param, ...] = params_of(question)
    if cell is not None:
        names = {each.name for each in several}
        behind = (*params_of(cell), *params_of(ListPage))
        several += tuple(
            each._replace(default=None) for each in behind if each.name not in names
        )
        about += (
            f" With {', '.join(each.name for each in params_of(cell))} it lists the "
            "users behind that number."
        )
    responses = {
        "200": _response("The answer.", question.__name__, cell is not None),
        "400": _response("The parameters are not valid.", "Errors"),
        "401": _response("The token is not known.", "Errors"),
        "403": _response("You do not have access.", "Errors"),
        "503": _response("Redis is not available.", "Errors"),
    }
    return {
        "get": {
            "operationId": question.name,
            "summary": title,
            "description": about,
            "parameters": [*map(_parameter, several), _FORMAT],
            "responses": responses,
        },
        "post": {
            "operationId": f"{question.name}_by_body",
            "summary": title,
            "description": about,
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": parameters_schema(question)}
                },
            },
            "responses": responses,
        },
    }


_FORMAT: Schema = {
    "name": "format",
    "in": "query",
    "required": True,
    "schema": {"enum": ["json"]},
}


def _parameter(param: Param) -> Schema:
    return {
        "name": param.name,
        "in": "query",
        "required": param.required,
        "schema": parameter_schema(param),
        **({"style": "form", "explode": True} if param.kind.many else {}),
    }


def _response(about: str, schema: str, has_users: bool = False) -> Schema:
    found = _ref(schema)
    if has_users:
        found = {"anyOf": [found, _ref("UserList")]}
    return {
        "description": about,
        "content": {"application/json": {"schema": found}},
    }
