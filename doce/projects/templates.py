"""Project starters: a folder with ``doce.toml`` and ``workspace/``, read from the installed package by name.

Never from a workspace or an import: what doce runs must not be written by what it runs.
"""

from __future__ import annotations

import difflib
import tomllib
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from doce.errors import BadRequest, InternalServerError

FOLDER = Path(__file__).parent.parent / "templates"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Dev(_Table):
    """The preview: argv run in the workspace with PORT and HOST, and its port in a container."""

    command: tuple[str, ...]
    port: int = 4321


class Install(_Table):
    """What fetches the dependencies; empty when there are none."""

    command: tuple[str, ...] = ()


class Build(_Table):
    """What makes the site, and the folder it is made into."""

    command: tuple[str, ...] = ()
    output: str = "dist"


class Start(_Table):
    """A server's start command and health path."""

    command: tuple[str, ...] = ()
    health: str = "/"


class Template(_Table):
    """A starter's manifest."""

    name: str
    description: str
    kind: Literal["static", "server"] = "static"
    image: str = "node"
    dev: Dev
    install: Install = Install()
    build: Build = Build()
    start: Start = Start()

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    @property
    def workspace(self) -> Path:
        """What is copied into a new project."""
        return self.folder / "workspace"


@cache
def names() -> tuple[str, ...]:
    """Every installed template."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob("*/doce.toml")))


@cache
def get(name: str) -> Template:
    """The template called `name`. Raises BadRequest with the names there are."""
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise BadRequest(f"There is no template {name!r}.", hint=f"{hint}Templates: {', '.join(names())}.")
    try:
        template = Template.model_validate(tomllib.loads((FOLDER / name / "doce.toml").read_text("utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise InternalServerError(f"The template {name!r} cannot be read: {error}.", hint="Install doce again.") from error
    if template.name != name:
        raise InternalServerError(f"The template in folder {name!r} calls itself {template.name!r}.", hint="Install doce again.")
    return template


def all_templates() -> list[Template]:
    return [get(name) for name in names()]
