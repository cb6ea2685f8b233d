"""OpenAPI 3.1, generated from the declarations."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from doce import __version__
from doce.actions import once
from doce.actions.catalog import actions
from doce.actions.registry import Action, Taken
from doce.errors import all_errors

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "enum": sorted({error.code for error in all_errors()})},
                "message": {"type": "string"},
                "hint": {"type": "string"},
                "details": {"type": "object"},
            },
        }
    },
}
KEY = {
    "name": once.HEADER, "in": "header", "required": False,
    "description": "Yours, for this request: asked again under it within a day, it is not done again but answered as the first time.",
    "schema": {"type": "string", "minLength": 1, "maxLength": once.MAX_KEY, "pattern": "^[ -~]+$"},
}  # fmt: skip
_STREAMS = {
    "/api/projects/{project}/opencode/event": ("events.stream", "Follow a project's events.", "after"),
    "/api/projects/{project}/logs": ("logs.stream", "Follow the log of a project's services.", "offset"),
    "/api/jobs/stream": ("jobs.stream", "Follow the jobs you may see.", "after"),
    "/api/jobs/{job}/stream": ("jobs.follow", "Follow one job and what it writes, to its end.", "after"),
}


@cache
def document() -> dict[str, Any]:
    """The whole description."""
    declared = list(actions().values())
    inputs, outputs = {one.input for one in declared}, {one.output for one in declared}
    keys, shared = models_json_schema(
        [(model, "validation") for model in sorted(inputs, key=_name)] + [(model, "serialization") for model in sorted(outputs, key=_name)],
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, dict[str, Any]] = {}
    for one in declared:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, keys)
    for path, (name, summary, parameter) in _STREAMS.items():
        paths.setdefault(path, {})["get"] = _stream(path, name, summary, parameter)
    return {
        "openapi": "3.1.0",
        "info": {"title": "doce", "version": __version__, "description": "A sentence becomes a running, deployed website."},
        "paths": paths,
        "components": {
            "schemas": {**shared.get("$defs", {}), "Error": ERROR},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"bearer": []}],
    }


def _name(model: type[BaseModel]) -> str:
    return f"{model.__module__}.{model.__name__}"


def _operation(one: Action, keys: Any) -> dict[str, Any]:
    fields = _inlined(one.input.model_json_schema(by_alias=True))
    properties: dict[str, Any] = fields.get("properties", {})
    required = set(fields.get("required", []))
    parameters = [
        {"name": name, "in": "path" if name in one.placeholders else "query", "required": name in required, "schema": schema}
        for name, schema in properties.items()
        if name in one.placeholders or one.in_query
    ]
    if one.repeatable:
        parameters.append(KEY)
    operation: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "parameters": parameters,
        "responses": _answers(one, keys),
        **({"security": []} if one.role == "public" else {}),
    }
    body = {name: schema for name, schema in properties.items() if not any(name == known["name"] for known in parameters)}
    if one.takes:
        operation["requestBody"] = _file(one.takes)
    elif body:
        schema = {"type": "object", "properties": body, "required": sorted(required & set(body)), "additionalProperties": False}
        operation["requestBody"] = {"required": bool(schema["required"]), "content": {"application/json": {"schema": schema}}}
    return operation


def _file(taken: Taken) -> dict[str, Any]:
    """The bytes themselves, or a form with one file."""
    form = {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}, "required": ["file"]}
    content: dict[str, Any] = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in taken.kinds}
    content["multipart/form-data"] = {"schema": form}
    return {"required": True, "description": taken.description, "content": content}


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """References into the schema's own definitions, pointed at the shared ones."""
    schema.pop("$defs", None)

    def point(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: (f"#/components/schemas/{inner.rpartition('/')[2]}" if key == "$ref" else point(inner)) for key, inner in value.items()
            }
        return [point(inner) for inner in value] if isinstance(value, list) else value

    pointed: dict[str, Any] = point(schema)
    return pointed


def _answers(one: Action, keys: Any) -> dict[str, Any]:
    schema = keys[(one.output, "serialization")]
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in one.gives} or {"application/json": {"schema": schema}}
    good = {"description": "Done.", "content": content}
    error = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    refusals = {
        str(found.status): {"description": (found.__doc__ or "").strip().splitlines()[0], **error}
        for found in all_errors()
        if found.status != 401 or one.role != "public"
    }
    return {str(one.status): good, **refusals}


def _stream(path: str, name: str, summary: str, parameter: str) -> dict[str, Any]:
    string = {"type": "string"}
    number = {"type": "integer", "minimum": 0, "maximum": 10**17}
    kinds = {"project": string, "job": {"type": "integer", "minimum": 1, "maximum": 2**53}}
    error = {"description": "Refused.", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [
            *({"name": place, "in": "path", "required": True, "schema": kind} for place, kind in kinds.items() if f"{{{place}}}" in path),
            {"name": parameter, "in": "query", "required": False, "schema": number},
            {"name": "follow", "in": "query", "required": False, "schema": {"type": "boolean"}},
        ],
        "responses": {
            "200": {"description": "The stream.", "content": {"text/event-stream": {"schema": string}}},
            **{str(found.status): error for found in all_errors()},
        },
    }
