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
from doce.auth.sessions import COOKIE
from doce.errors import DoceError, all_errors
from doce.projects.files import FileContent
from doce.web.sse import MAX_CURSOR

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
    "/api/projects/{project}/opencode/event": ("events.stream", "Follow a project's events.", "after", ("chat.event",)),
    "/api/projects/{project}/logs": ("logs.stream", "Follow the log of a project's services.", "offset", ("log.chunk",)),
    "/api/jobs/stream": ("jobs.stream", "Follow the jobs you may see.", "after", ("jobs.head", "job.state")),
    "/api/jobs/{job}/stream": ("jobs.follow", "Follow one job and what it writes, to its end.", "after", ("job", "job.line")),
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
    for path, (name, summary, parameter, events) in _STREAMS.items():
        paths.setdefault(path, {})["get"] = _stream(path, name, summary, parameter, events)
    return {
        "openapi": "3.1.0",
        "info": {"title": "doce", "version": __version__, "description": "A sentence becomes a running, deployed website."},
        "paths": paths,
        "components": {
            "schemas": {**shared.get("$defs", {}), "Error": ERROR},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API token: `doce tokens create`."},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": COOKIE,
                    "description": "A browser's session; writes need a same-origin request.",
                },
            },
        },
        "security": [{"bearer": []}, {"session": []}],
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
    return {str(one.status): good, **{str(status): _refused(status) for status in sorted(_statuses(one))}}


def _statuses(one: Action) -> set[int]:
    """The refusals that an action can come to."""
    fields = one.input.model_fields
    writes, finds = one.method != "GET", bool(one.placeholders) or "project" in fields
    found = {400, 429, 500, 503}
    # A password, too, may be wrong.
    found |= {401} if one.role != "public" or writes else set()
    # A write from another site's page is refused, whatever it is about.
    found |= {403} if finds or writes or one.role == "admin" else set()
    found |= {404} if finds else set()
    # A beginning of a name may mean several projects.
    found |= {409} if writes or "project" in fields else set()
    found |= {413} if (writes and one.method != "DELETE") or one.output is FileContent or one.gives else set()
    return found


def _refused(status: int) -> dict[str, Any]:
    """Every error of a status, with an example of each."""
    kinds = [kind for kind in all_errors() if kind.status == status]
    examples = {kind.code: {"value": kind().as_dict()} for kind in kinds}
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}, "examples": examples}}
    refusal: dict[str, Any] = {"description": " ".join(_told(kind) for kind in kinds), "content": content}
    if status == 429:
        refusal["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "string", "pattern": "^[0-9]+$"}}}
    if status == 401:
        refusal["headers"] = {"WWW-Authenticate": {"description": "How to show who you are.", "schema": {"type": "string"}}}
    return refusal


def _told(kind: type[DoceError]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


def _stream(path: str, name: str, summary: str, parameter: str, events: tuple[str, ...]) -> dict[str, Any]:
    string = {"type": "string"}
    number = {"type": "integer", "minimum": 0, "maximum": MAX_CURSOR}
    kinds = {"project": string, "job": {"type": "integer", "minimum": 1, "maximum": 2**53}}
    event = {
        "type": "object",
        "description": "One event of the stream; a reader that was cut off sends the last `id` it has as `Last-Event-ID`.",
        "required": ["id", "event", "data"],
        "properties": {
            "id": {"type": "string", "pattern": "^[0-9]+$"},
            "event": {"type": "string", "enum": list(events)},
            "data": {"type": "string", "contentMediaType": "application/json"},
        },
    }
    placed = [name for name in kinds if f"{{{name}}}" in path]
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [
            *({"name": place, "in": "path", "required": True, "schema": kinds[place]} for place in placed),
            {"name": parameter, "in": "query", "required": False, "schema": number},
            {"name": "follow", "in": "query", "required": False, "description": "false: end with what there is now.",
             "schema": {"type": "boolean"}},
            {"name": "Last-Event-ID", "in": "header", "required": False, "schema": {"type": "string", "pattern": "^[0-9]{0,15}$"}},
        ],
        "responses": {
            "200": {"description": "The stream.", "content": {"text/event-stream": {"schema": event}}},
            **{str(status): _refused(status) for status in (400, 401, *((403, 404, 409) if placed else ()), 429, 500, 503)},
        },
    }  # fmt: skip
