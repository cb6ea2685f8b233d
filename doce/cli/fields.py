"""A field of an action's input as an argument or flag of its command."""

from __future__ import annotations

import json
import sys
import types
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin

import click
from click.shell_completion import CompletionItem
from pydantic import BaseModel
from pydantic.fields import FieldInfo


def parameter(name: str, field: FieldInfo, *, flag: bool = False, required: bool = True, rest: bool = False) -> click.Parameter:
    """`rest`: the argument takes all the words that are left."""
    kind = _plain(field.annotation)
    if flag:
        many = get_origin(kind) is list
        return click.Option(
            [f"--{name.replace('_', '-')}", name], type=_type(kind), is_flag=kind is bool, multiple=many,
            help=_help(field), required=field.is_required(), metavar=_metavar(name, kind),
        )  # fmt: skip
    takes_rest = rest and kind is str and name != "project"
    return click.Argument(
        [name], type=_type(kind), nargs=-1 if takes_rest else 1, required=required and (field.is_required() or takes_rest),
        shell_complete=complete_project if name == "project" else None,
    )  # fmt: skip


def parsed(model: type[BaseModel], given: dict[str, Any]) -> dict[str, Any]:
    """What click understood, as the input wants it: words joined, ``-`` read from stdin."""
    values: dict[str, Any] = {}
    for name, value in given.items():
        kind = _plain(model.model_fields[name].annotation)
        if get_origin(kind) is list:
            values[name] = [_item(kind, one) for one in value] if value else None
        elif isinstance(value, tuple):
            values[name] = sys.stdin.read() if value == ("-",) else " ".join(value)
        else:
            values[name] = value
    return values


def _item(kind: Any, text: str) -> Any:
    """One of a list; of a list of lists one list, as JSON or with one member."""
    if get_origin(get_args(kind)[0]) is not list:
        return text
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    return said if isinstance(said, list) else [text]


def _plain(annotation: Any) -> Any:
    """``X`` of ``X | None``."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next(part for part in get_args(annotation) if part is not type(None))
    return annotation


def _type(kind: Any) -> click.ParamType[Any, Any]:
    if get_origin(kind) is Literal:
        return click.Choice([str(value) for value in get_args(kind)])
    if isinstance(kind, type) and issubclass(kind, Enum):
        return click.Choice([str(member.value) for member in kind])
    known: dict[Any, click.ParamType[Any, Any]] = {int: click.INT, float: click.FLOAT, bool: click.BOOL}
    return known.get(kind, click.STRING)


def _metavar(name: str, kind: Any) -> str | None:
    """A name for what has too many values to list them all."""
    many = isinstance(kind, type) and issubclass(kind, Enum) and len(kind) > 6
    return name.upper() if many else None


def _help(field: FieldInfo) -> str:
    default = "" if field.is_required() or field.default in (None, []) else f" [default: {field.default}]"
    return f"{field.description or ''}{default}"


def complete_project(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from doce.cli.actions import slugs

    return [CompletionItem(slug) for slug in slugs(incomplete)]
