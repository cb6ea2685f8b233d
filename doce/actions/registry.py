"""The declarations. An action is a name, an input, a role and what it does; doors are made from these."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic.alias_generators import to_camel

from doce.actions.services import Services
from doce.auth import policy
from doce.auth.users import Person
from doce.errors import BadRequest, Forbidden, InternalServerError, NotFound
from doce.projects.incoming import Received
from doce.projects.members import RANKS
from doce.projects.views import ProjectView, View

#: The last three are roles on the project that the input names.
Role = Literal["public", "member", "admin", "viewer", "editor", "owner"]
PROJECT_ROLES = ("viewer", "editor", "owner")


class Input(BaseModel):
    """What an action is told. camelCase on the wire; what it does not know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Done(View):
    """An action that has nothing else to answer: one sentence."""

    message: str


class Download(BaseModel):
    """A file as an answer: its bytes in pieces, never whole in memory."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    #: file name that is proposed to who downloads it
    name: str
    media_type: str
    #: bytes, when known before
    size: int | None = None
    #: read in threads, one piece after the other; closed in any case
    pieces: Iterator[bytes] = Field(exclude=True)


@dataclass(frozen=True)
class Taken:
    """A file as the body of a request: the bytes themselves, or one file of a multipart form."""

    #: most bytes
    most: int
    #: media types it is documented with; others are taken, too, and looked at
    kinds: tuple[str, ...]
    description: str


@dataclass(frozen=True)
class Caller:
    """Where a call comes from, for those few actions that ask."""

    #: address, for counting failures
    address: str = "?"
    #: the same machine
    local: bool = False
    #: a browser would keep a session cookie to doce alone, see `addresses.shared_with_sites`
    keeps_cookies: bool = True
    #: the secret of the browser's session, when that is how it showed who it is
    session: SecretStr | None = None


NOWHERE = Caller()


class SignedIn(View):
    """Somebody begins a session; doors of browsers put `session` into their cookie."""

    id: str
    name: str
    role: Literal["admin", "member"]
    session: SecretStr = Field(exclude=True)


class SignedOut(Done):
    """The session is over."""


@dataclass(frozen=True)
class Call:
    """One call of an action: by whom, on which project."""

    services: Services
    user: Person
    request_id: str = ""
    caller: Caller = NOWHERE
    #: The project that the input names, when the action is about one.
    found: ProjectView | None = None
    #: The file that came with it, when the action takes one.
    file: Received | None = None

    @property
    def received(self) -> Received:
        if self.file is None:
            raise BadRequest("There is no file in the request.", hint="Send its bytes as the body, or as a file of a multipart form.")
        return self.file

    @property
    def project(self) -> ProjectView:
        if self.found is None:
            raise InternalServerError("This action is not about a project.")
        return self.found

    @property
    def sees(self) -> str | None:
        """Whose projects this person sees: those they belong to, an admin (None) everybody's."""
        return None if self.user.is_admin else self.user.id


Run = Callable[[Call, Any], Any]


@dataclass(frozen=True)
class Action:
    """One thing people can do."""

    #: ``projects.create``
    name: str
    #: One sentence: help text, OpenAPI summary.
    summary: str
    input: type[Input]
    output: type[BaseModel]
    role: Role
    method: Literal["GET", "POST", "PATCH", "DELETE"]
    #: ``/api/projects/{project}``; placeholders are fields of the input.
    path: str
    run: Run
    #: Words on the command line and in chat; the first is the usual one. None: HTTP only.
    words: tuple[str, ...] = ()
    #: Fields that are given as plain words, in order; the last takes the rest.
    positional: tuple[str, ...] = ()
    #: Asks for confirmation on the command line.
    danger: bool = False
    #: Status of a good answer.
    status: int = 200
    #: Asked again under the same `Idempotency-Key` it is not done again, see `once`.
    repeatable: bool = False
    #: The body is a file; every other field stands in the address.
    takes: Taken | None = None
    #: The answer is a file of one of these media types; `output` is `Download`.
    gives: tuple[str, ...] = ()
    #: About a browser's session, or with a password: not for the command line.
    browser: bool = False
    #: Reads a row or two and waits for nothing: done where the request is read, not in a thread.
    quick: bool = False
    #: What somebody might type.
    examples: tuple[str, ...] = field(default=())

    @cached_property
    def placeholders(self) -> tuple[str, ...]:
        """Input fields that stand in the path."""
        return tuple(re.findall(r"{(\w+)}", self.path))

    @property
    def in_query(self) -> bool:
        """Its fields stand in the address, not in a JSON body."""
        return self.method in ("GET", "DELETE") or self.takes is not None

    @property
    def about_file(self) -> bool:
        """Bytes go or come: no matter of words."""
        return self.takes is not None or bool(self.gives)

    @property
    def about_project(self) -> bool:
        return self.role in PROJECT_ROLES


ACTIONS: dict[str, Action] = {}
Declared = TypeVar("Declared", bound=Run)


def action(name: str, **options: Any) -> Callable[[Declared], Declared]:
    """Declare the decorated function as an action; its docstring's first line is the summary."""

    def declare(run: Declared) -> Declared:
        summary = (run.__doc__ or "").strip().splitlines()[0]
        declared = Action(name=name, summary=summary, run=run, **options)
        missing = [field for field in (*declared.placeholders, *declared.positional) if field not in declared.input.model_fields]
        if name in ACTIONS or missing or not summary:
            raise RuntimeError(f"The declaration of {name} is wrong: declared twice, no docstring, or no field {missing}.")
        ACTIONS[name] = declared
        return run

    return declare


def understand(chosen: Action, values: dict[str, Any], *, typed: bool = False) -> Input:
    """`values` as the action's input. Raises BadRequest naming the first field that does not fit.

    `typed`: they came as JSON, which knows numbers from text and truth; in an address all is text.
    """
    try:
        if typed:
            return chosen.input.model_validate_json(json.dumps(_placed(chosen, values)), strict=True)
        return chosen.input.model_validate(values)
    except ValidationError as error:
        raise invalid(chosen, error) from None


def _placed(chosen: Action, values: dict[str, Any]) -> dict[str, Any]:
    """`values` with the numbers that stood in the path as numbers."""
    numbers = {name for name in chosen.placeholders if chosen.input.model_fields[name].annotation is int}
    return {
        name: int(value) if name in numbers and str(value).isascii() and str(value).isdigit() and len(value) < 20 else value
        for name, value in values.items()
    }


def invalid(chosen: Action, error: ValidationError) -> BadRequest:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    name = ".".join(str(part) for part in first["loc"]) or "the whole"
    known = [info.alias or field for field, info in chosen.input.model_fields.items()]
    if first["type"] == "extra_forbidden":
        return BadRequest(f"{chosen.name} knows no field {name!r}.", hint=f"Fields: {', '.join(known) or 'none'}.", details={"field": name})
    if first["type"] == "missing":
        return BadRequest(f"The field {name!r} is missing.", hint=f"Fields: {', '.join(known)}.", details={"field": name})
    return BadRequest(f"The field {name!r} is not valid: {first['msg']}.", details={"field": name})


def perform(
    chosen: Action, services: Services, user: Person | None, given: Input, *, request_id: str = "", caller: Caller = NOWHERE
) -> Any:
    """Do it, if this person may. Order of checks: nobody 401, no such project 404, not allowed 403."""
    return chosen.run(admit(chosen, services, user, given, request_id=request_id, caller=caller), given)


def admit(chosen: Action, services: Services, user: Person | None, given: Input, *, request_id: str = "", caller: Caller = NOWHERE) -> Call:
    """The call, if this person may make it."""
    if chosen.role == "public":
        return Call(services, user or policy.NOBODY, request_id, caller)
    person = policy.signed_in(services.users, user)
    if chosen.role == "admin" and not person.is_admin:
        raise Forbidden("Only an admin may do this.", hint="Ask an admin of this doce.")
    if not chosen.about_project:
        return Call(services, person, request_id, caller)
    found = find_project(services, person, getattr(given, "project", ""))
    check_role(services, person, found, chosen.role)
    return Call(services, person, request_id, caller, found)


def check_role(services: Services, person: Person, project: ProjectView, wanted: str) -> None:
    """Raises Forbidden when this person may do less than `wanted` (viewer, editor, owner) on a project they belong to."""
    if wanted == "viewer" or person.is_admin or project.owner_user_id == person.id:
        return
    role = services.members.role_of(project.id, person.id) or "viewer"
    if RANKS.index(role) < RANKS.index(wanted):
        a = {"viewer": "a viewer", "editor": "an editor", "owner": "its owner"}
        raise Forbidden(f"You are {a[role]} of {project.name}; this takes {a[wanted]}.", hint="Its owner can change what you may.")


def find_project(services: Services, person: Person, word: str) -> ProjectView:
    """The project a person means. Raises NotFound when there is none, Forbidden when it is somebody else's."""
    try:
        return services.projects.find(None if person.is_admin else person.id, word)
    except NotFound:
        if not person.is_admin and services.projects.is_somebodys(word):
            raise Forbidden("This project is somebody else's.", hint="Ask its owner to let you in.") from None
        raise
