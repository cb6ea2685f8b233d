"""What can be asked of doce, each a value; `Method` makes a call a method of both faces.

The same calls are declared as actions on doce's side; a test compares their addresses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, overload
from urllib.parse import quote

if TYPE_CHECKING:
    from doce.client.faces import AsyncDoce, Doce

Answer = TypeVar("Answer")
Arguments = ParamSpec("Arguments")

#: A JSON object as doce sent it; keys are camelCase, times epoch ms.
Wire = dict[str, Any]


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """One request. `path` is quoted already; None values of `query` and `body` are left out."""

    method: str
    path: str
    query: dict[str, Any] = field(default_factory=dict)
    body: dict[str, Any] | None = None


def at(path: str, **ids: object) -> str:
    """`path` with its ``{placeholders}`` filled, each quoted as one segment."""
    return path.format(**{name: quote(str(value), safe="") for name, value in ids.items()})


class Method(Generic[Arguments, Answer]):
    """A builder of calls as a method: of `Doce` it returns the answer, of `AsyncDoce` it is awaited."""

    def __init__(self, build: Callable[Arguments, Call[Answer]]) -> None:
        self.build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, face: Doce, owner: object = None) -> Callable[Arguments, Answer]: ...
    @overload
    def __get__(self, face: AsyncDoce, owner: object = None) -> Callable[Arguments, Awaitable[Answer]]: ...
    @overload
    def __get__(self, face: None, owner: object = None) -> Callable[Arguments, Call[Answer]]: ...
    def __get__(self, face: Doce | AsyncDoce | None, owner: object = None) -> Callable[Arguments, Any]:
        if face is None:
            return self.build

        def send(*words: Arguments.args, **options: Arguments.kwargs) -> Any:
            return cast("Doce", face).send(self.build(*words, **options))

        send.__doc__ = self.__doc__
        return send


def health() -> Call[Wire]:
    """``{ok, version}``; needs no token."""
    return Call("GET", "/api/health")


def create(prompt: str, *, name: str | None = None, template: str | None = None, model: str | None = None) -> Call[Wire]:
    """Create a project from a prompt of 1-32,000 characters; answers at once, the work goes on in the background."""
    return Call("POST", "/api/projects", body={"prompt": prompt, "name": name, "template": template, "model": model})


def projects(*, limit: int | None = None, before: str | None = None) -> Call[Wire]:
    """A page ``{items, next}`` of the projects you may see, newest first."""
    return Call("GET", "/api/projects", query={"limit": limit, "before": before})


def project(project: str) -> Call[Wire]:
    """A project by id, slug or unique prefix."""
    return Call("GET", at("/api/projects/{project}", project=project))


def chat(project: str, text: str, *, model: str | None = None) -> Call[Wire]:
    """Queue a prompt; prompts of a project are done one after the other."""
    return Call("POST", at("/api/projects/{project}/prompts", project=project), body={"text": text, "model": model})


def prompts(project: str, *, limit: int | None = None, before: str | None = None) -> Call[Wire]:
    """A page ``{items, next}`` of the prompts of a project, newest first."""
    return Call("GET", at("/api/projects/{project}/prompts", project=project), query={"limit": limit, "before": before})


def stop(project: str) -> Call[Wire]:
    """Stop the running turn; what was done stays."""
    return Call("POST", at("/api/projects/{project}/stop", project=project))


def start(project: str) -> Call[Wire]:
    """Start the project's preview and agent."""
    return Call("POST", at("/api/projects/{project}/start", project=project))


def delete(project: str) -> Call[Wire]:
    """Delete the project with everything it has."""
    return Call("DELETE", at("/api/projects/{project}", project=project))


def answer_permission(project: str, request: str, reply: str, *, message: str | None = None) -> Call[Wire]:
    """Answer a permission with ``once``, ``always`` or ``reject``; the first answer wins."""
    path = at("/api/projects/{project}/permissions/{request}", project=project, request=request)
    return Call("POST", path, body={"reply": reply, "message": message})


def answer_question(project: str, request: str, answers: Sequence[Sequence[str]]) -> Call[Wire]:
    """Answer a question: for each item the labels chosen, or own words."""
    path = at("/api/projects/{project}/questions/{request}", project=project, request=request)
    return Call("POST", path, body={"answers": [list(chosen) for chosen in answers]})


def job(job: int) -> Call[Wire]:
    """A job of the queue."""
    return Call("GET", at("/api/jobs/{job}", job=job))
