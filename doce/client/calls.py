"""What can be asked of doce, each a value; `Method` makes a call a method of both faces.

The same calls are declared as actions on doce's side; a test compares their addresses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
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
    #: The body is this file, streamed.
    file: Path | None = None
    #: None in `body` is sent as it is.
    nulls: bool = False
    #: doce does it once for each `Idempotency-Key`: it may be asked again when the answer was lost.
    repeatable: bool = False


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
    body = {"prompt": prompt, "name": name, "template": template, "model": model}
    return Call("POST", "/api/projects", body=body, repeatable=True)


def projects(*, limit: int | None = None, before: str | None = None) -> Call[Wire]:
    """A page ``{items, next}`` of the projects you may see, newest first."""
    return Call("GET", "/api/projects", query={"limit": limit, "before": before})


def project(project: str) -> Call[Wire]:
    """A project by id, slug or unique prefix."""
    return Call("GET", at("/api/projects/{project}", project=project))


def chat(project: str, text: str, *, model: str | None = None) -> Call[Wire]:
    """Queue a prompt; prompts of a project are done one after the other."""
    path = at("/api/projects/{project}/prompts", project=project)
    return Call("POST", path, body={"text": text, "model": model}, repeatable=True)


def prompts(project: str, *, limit: int | None = None, before: str | None = None) -> Call[Wire]:
    """A page ``{items, next}`` of the prompts of a project, newest first."""
    return Call("GET", at("/api/projects/{project}/prompts", project=project), query={"limit": limit, "before": before})


def changes(project: str, prompt: str, *, limit: int | None = None, after: str | None = None) -> Call[Wire]:
    """A page ``{items, next}`` of the files that an ended turn changed: ``{path, additions, deletions, diff}``."""
    path = at("/api/projects/{project}/prompts/{prompt}/changes", project=project, prompt=prompt)
    return Call("GET", path, query={"limit": limit, "after": after})


def remove_prompt(project: str, prompt: str) -> Call[Wire]:
    """Take a prompt that still waits out of the queue. Raises Conflict when the agent has it."""
    return Call("DELETE", at("/api/projects/{project}/prompts/{prompt}", project=project, prompt=prompt))


def stop(project: str) -> Call[Wire]:
    """Stop the running turn; what was done stays."""
    return Call("POST", at("/api/projects/{project}/stop", project=project))


def start(project: str) -> Call[Wire]:
    """Start the project's preview and agent."""
    return Call("POST", at("/api/projects/{project}/start", project=project))


def delete(project: str) -> Call[Wire]:
    """Delete the project with everything it has."""
    return Call("DELETE", at("/api/projects/{project}", project=project))


def production(project: str) -> Call[Wire]:
    """What is deployed, what works on it, and the releases there are, newest first."""
    return Call("GET", at("/api/projects/{project}/production", project=project))


def deploy(project: str) -> Call[Wire]:
    """Build the site and put it online; answers at once as `production` does. Raises Conflict while another one is on its way."""
    return Call("POST", at("/api/projects/{project}/production", project=project))


def rollback(project: str, version: str | None = None) -> Call[Wire]:
    """Go back to the version before, or to a named one (``v3`` or a hash)."""
    return Call("POST", at("/api/projects/{project}/production/rollback", project=project), body={"version": version})


def undeploy(project: str) -> Call[Wire]:
    """Take the deployed site off; its versions and its address stay."""
    return Call("POST", at("/api/projects/{project}/production/stop", project=project))


def answer_permission(project: str, request: str, reply: str, *, message: str | None = None) -> Call[Wire]:
    """Answer a permission with ``once``, ``always`` or ``reject``; the first answer wins."""
    path = at("/api/projects/{project}/permissions/{request}", project=project, request=request)
    return Call("POST", path, body={"reply": reply, "message": message})


def answer_question(project: str, request: str, answers: Sequence[Sequence[str]] | None) -> Call[Wire]:
    """Answer a question: for each item the labels chosen, or own words; None refuses to."""
    path = at("/api/projects/{project}/questions/{request}", project=project, request=request)
    return Call("POST", path, body={"answers": None if answers is None else [list(chosen) for chosen in answers]})


def job(job: int) -> Call[Wire]:
    """A job of the queue."""
    return Call("GET", at("/api/jobs/{job}", job=job))


def duplicate(project: str, *, name: str | None = None) -> Call[Wire]:
    """A project of your own with the files of this one."""
    return Call("POST", at("/api/projects/{project}/duplicate", project=project), body={"name": name})


def export(project: str) -> Call[bytes]:
    """The project as a zip file; for `download`."""
    return Call("GET", at("/api/projects/{project}/export", project=project))


def import_project(
    file: Path, *, name: str | None = None, template: str | None = None, model: str | None = None, prompt: str | None = None
) -> Call[Wire]:
    """A project from a zip file of up to 100 MiB."""
    query = {"name": name or file.stem, "template": template, "model": model, "prompt": prompt}
    return Call("POST", "/api/imports", query=query, file=file)


def files(project: str, path: str = "", *, limit: int | None = None, after: str | None = None) -> Call[Wire]:
    """A page ``{items, next, path, truncated}`` of one folder of the project."""
    return Call("GET", at("/api/projects/{project}/files", project=project), query={"path": path, "limit": limit, "after": after})


def file(project: str, path: str) -> Call[Wire]:
    """``{path, size, modifiedAt, text, base64}`` of a file of up to 1 MiB."""
    return Call("GET", at("/api/projects/{project}/files/content", project=project), query={"path": path})


def raw_file(project: str, path: str) -> Call[bytes]:
    """A file of any size; for `download`."""
    return Call("GET", at("/api/projects/{project}/files/raw", project=project), query={"path": path})


def assets(project: str, *, limit: int | None = None, after: str | None = None) -> Call[Wire]:
    """A page ``{items, next}`` of the project's assets, by name."""
    return Call("GET", at("/api/projects/{project}/assets", project=project), query={"limit": limit, "after": after})


def upload_asset(project: str, file: Path, *, name: str | None = None) -> Call[Wire]:
    """Put a file of up to 50 MiB among the project's assets."""
    return Call("POST", at("/api/projects/{project}/assets", project=project), query={"name": name or file.name}, file=file)


def asset(project: str, asset: str) -> Call[bytes]:
    """An asset; for `download`."""
    return Call("GET", at("/api/projects/{project}/assets/{asset}", project=project, asset=asset))


def rename_asset(project: str, asset: str, new_name: str) -> Call[Wire]:
    """Another name, same extension."""
    return Call("PATCH", at("/api/projects/{project}/assets/{asset}", project=project, asset=asset), body={"newName": new_name})


def delete_asset(project: str, asset: str) -> Call[Wire]:
    """Remove an asset."""
    return Call("DELETE", at("/api/projects/{project}/assets/{asset}", project=project, asset=asset))


def attachment(project: str, attachment: str) -> Call[bytes]:
    """A file that came with a prompt; for `download`."""
    return Call("GET", at("/api/projects/{project}/attachments/{attachment}", project=project, attachment=attachment))


def happened(project: str, *, after: int | None = None, limit: int | None = None) -> Call[Wire]:
    """A page ``{items, next}`` of the project's events, oldest first; `events` follows them."""
    return Call("GET", at("/api/projects/{project}/events", project=project), query={"after": after, "limit": limit})


def usage(
    *, by: str | None = None, project: str | None = None, since: int | None = None, until: int | None = None, limit: int | None = None,
    before: int | None = None,
) -> Call[Wire]:  # fmt: skip
    """A page ``{items, next}`` of tokens and dollars by day, project, user, model or prompt; times are epoch ms."""
    query = {"by": by, "project": project, "since": since, "until": until, "limit": limit, "before": before}
    return Call("GET", "/api/usage", query=query)


def jobs(
    *, project: str | None = None, type: str | None = None, state: str | None = None, limit: int | None = None, before: int | None = None
) -> Call[Wire]:
    """A page ``{items, next}`` of jobs, newest first."""
    return Call("GET", "/api/jobs", query={"project": project, "type": type, "state": state, "limit": limit, "before": before})


def job_lines(job: int, *, after: int | None = None, limit: int | None = None) -> Call[Wire]:
    """A page ``{items, next}`` of what a job wrote, oldest first."""
    return Call("GET", at("/api/jobs/{job}/logs", job=job), query={"after": after, "limit": limit})


def models(*, limit: int | None = None, after: str | None = None) -> Call[Wire]:
    """``{items, next, default}``: the models that agents can use."""
    return Call("GET", "/api/models", query={"limit": limit, "after": after})


def settings() -> Call[Wire]:
    """``{items, next}``: every setting of this doce; for admins."""
    return Call("GET", "/api/settings")


def change_settings(**values: Any) -> Call[Wire]:
    """Change settings while doce runs, by their names in camelCase; None goes back to what it was started with. For admins."""
    return Call("PATCH", "/api/settings", body=values, nulls=True)


def providers(*, limit: int | None = None, after: str | None = None) -> Call[Wire]:
    """A page ``{items, next}`` of providers of models; for admins."""
    return Call("GET", "/api/providers", query={"limit": limit, "after": after})


def set_provider(provider: str, key: str | None = None, *, base_url: str | None = None) -> Call[Wire]:
    """Set up a provider; it is asked first whether it takes the key. For admins."""
    return Call("POST", at("/api/providers/{provider}", provider=provider), body={"key": key, "baseUrl": base_url})


def test_provider(provider: str) -> Call[Wire]:
    """Ask a provider whether it still takes its key; for admins."""
    return Call("POST", at("/api/providers/{provider}/test", provider=provider))


def remove_provider(provider: str) -> Call[Wire]:
    """Forget a provider and its key; for admins."""
    return Call("DELETE", at("/api/providers/{provider}", provider=provider))
