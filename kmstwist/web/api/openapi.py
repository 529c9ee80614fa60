"""The OpenAPI document of the API, made from the views: their questions' models and their answers' types."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from twisted.web.server import NOT_DONE_YET, Request

from kmstwist import __version__
from kmstwist.web.responses import ReadOnly, send
from kmstwist.web.view import View
from kmstwist.web.views.all import VIEWS

_REFERENCE = "#/components/schemas/{model}"
#: Any text without a zero byte, which no name contains.
_TEXT = "^[^\\u0000]*$"
_ERROR = {
    "type": "object",
    "required": ["error", "fields"],
    "properties": {
        "error": {"type": "string", "description": "What is wrong, a sentence."},
        "fields": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "What is wrong with each parameter.",
        },
    },
}


class OpenApi(ReadOnly):
    """/api/openapi.json: what the API offers."""

    isLeaf = True

    def render_GET(self, request: Request) -> int:
        """Send the document."""
        send(request, 200, "application/json", json.dumps(document(), indent=1).encode() + b"\n")
        return NOT_DONE_YET


@cache
def document() -> dict[str, Any]:
    """The document (OpenAPI 3.1)."""
    schemas: dict[str, Any] = {"Error": _ERROR}
    paths = {f"/api/{view.name}": {"get": _operation(view, schemas)} for view in VIEWS.values()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "kmstwist",
            "version": __version__,
            "description": "What the status site shows, as JSON. It can only be read. Times are in UTC.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _operation(view: View[Any], schemas: dict[str, Any]) -> dict[str, Any]:
    answer = TypeAdapter(view.answer).json_schema(mode="serialization", ref_template=_REFERENCE)
    schemas.update(answer.pop("$defs", {}))
    schemas[view.answer.__name__] = answer
    parameters = _parameters(view, schemas)
    content: dict[str, Any] = {"application/json": {"schema": {"$ref": _REFERENCE.format(model=view.answer.__name__)}}}
    if view.rows is not None:
        content["application/json"] = {
            "schema": {"anyOf": [content["application/json"]["schema"], {"$ref": _REFERENCE.format(model="Rows")}]}
        }
        schemas["Rows"] = {
            "type": "object",
            "required": ["rows"],
            "properties": {"rows": {"type": "array", "items": {"type": "object"}}},
        }
        content["text/csv"] = {"schema": {"type": "string"}}
        parameters.append(
            {
                "name": "format",
                "in": "query",
                "description": "The whole table to download: csv, or json. Without it, a page of it with all there is.",
                "schema": {"type": "string", "enum": ["csv", "json"]},
            }
        )
    responses = {
        "200": {"description": "The answer.", "content": content},
        "400": _error("A parameter is wrong."),
        "404": _error("There is no such thing, or the audit is off."),
        "503": _error("The audit's store cannot be read now."),
    }
    return {
        "operationId": view.name,
        "summary": view.title,
        "description": view.summary,
        "parameters": parameters,
        "responses": responses,
    }


def _parameters(view: View[Any], schemas: dict[str, Any]) -> list[dict[str, Any]]:
    schema = view.question.model_json_schema(ref_template=_REFERENCE)
    schemas.update(schema.pop("$defs", {}))
    required = schema.get("required", [])
    found = []
    for name, given in schema["properties"].items():
        one = {key: value for key, value in given.items() if key not in ("title", "description", "examples")}
        # An optional parameter is left out; it cannot be given as null.
        if "anyOf" in one:
            one = {**one.pop("anyOf")[0], **{key: value for key, value in one.items() if value is not None}}
        one = {key: value for key, value in one.items() if key != "default" or value is not None}
        if one.get("type") == "string" and not one.keys() & {"enum", "format", "pattern"}:
            one["pattern"] = _TEXT
        parameter = {"name": name, "in": "query", "required": name in required, "schema": one}
        if "description" in given:
            parameter["description"] = given["description"]
        found.append(parameter)
    return found


def _error(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": _REFERENCE.format(model="Error")}}},
    }
