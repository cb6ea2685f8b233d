"""Projects: create, look, start, stop, rename, delete."""

from __future__ import annotations

import base64
from typing import Any

from pydantic import Field

from doce.actions.paging import Paging, cut
from doce.actions.registry import Call, Done, Input, action
from doce.auth import preferences
from doce.errors import BadRequest, Conflict
from doce.projects import templates
from doce.projects.attachments import Upload
from doce.projects.prompts import MAX_PROMPT
from doce.projects.status import ProjectStatus
from doce.projects.views import Page, ProjectView, View

#: What the description of the API says of a prompt; what is wrong with one is told in our own words.
PROMPT: dict[str, Any] = {"minLength": 1, "maxLength": MAX_PROMPT}


class Attached(Input):
    name: str = Field(max_length=255, description="File name.")
    mime: str = Field(max_length=100, description="Media type, image/png for example.")
    data: str = Field(max_length=1_500_000, description="The file, base64.")

    def upload(self) -> Upload:
        try:
            return Upload(self.name, self.mime, base64.b64decode(self.data, validate=True))
        except ValueError:
            # binascii's own, and the plain one for text that is not ASCII.
            raise BadRequest(f"{self.name} is not base64.", hint="Send the file's bytes as base64 in `data`.") from None


class Create(Input):
    prompt: str = Field(
        description="What you want, in a sentence: 1-32,000 characters.",
        examples=["a portfolio for a ceramicist"],
        json_schema_extra=PROMPT,
    )
    name: str | None = Field(None, description="Its name; found by itself when left out.", examples=["Ceramic Portfolio"])
    template: str | None = Field(None, description="What to start from: static, astro-starter.", examples=["static"])
    model: str | None = Field(None, description="Model, as provider/model.", examples=["rehearsal/site-builder"])
    attachments: list[Attached] = Field([], max_length=5, description="Up to 5 files for the agent.")


class OfProject(Input):
    project: str = Field(description="Project: its name in addresses, the beginning of that, or its id.", examples=["ceramic-portfolio"])


class Listing(Input):
    limit: int = Field(50, ge=1, le=200, description="How many.")
    before: str | None = Field(None, max_length=100, description="Cursor: `next` of the page before.")


class Rename(OfProject):
    name: str = Field(description="The new name.", examples=["Clay and Glaze"], json_schema_extra={"minLength": 1})


class ChangeModel(OfProject):
    model: str = Field(description="Model, as provider/model.", examples=["rehearsal/site-builder"])


class TemplateView(View):
    name: str
    description: str
    kind: str


@action(
    "projects.create", input=Create, output=ProjectView, role="member", method="POST", path="/api/projects", status=201,
    repeatable=True, words=("new", "create"), positional=("prompt",),
    examples=("new a portfolio for a ceramicist", "new a café menu --template astro-starter"),
)  # fmt: skip
def create(call: Call, given: Create) -> ProjectView:
    """Make a site from a sentence; answers at once, the work goes on by itself."""
    return call.services.projects.create(
        call.user.id, given.prompt, name=given.name, template=given.template, model=given.model or preferences.of(call.user.id).model,
        attached=[attached.upload() for attached in given.attachments],
    )  # fmt: skip


@action("projects.list", input=Listing, output=Page[ProjectView], role="member", method="GET", path="/api/projects", words=("list",))
def list_projects(call: Call, given: Listing) -> Page[ProjectView]:
    """List your projects, newest first."""
    return call.services.projects.list(call.sees, limit=given.limit, before=given.before)


@action(
    "projects.get", input=OfProject, output=ProjectView, role="viewer", method="GET", path="/api/projects/{project}",
    words=("status",), positional=("project",), examples=("status ceramic-portfolio",), quick=True,
)  # fmt: skip
def get(call: Call, given: OfProject) -> ProjectView:
    """Show what a project is doing."""
    return call.project


@action(
    "projects.open", input=OfProject, output=ProjectView, role="viewer", method="GET", path="/api/projects/{project}/preview",
    words=("open", "preview"), positional=("project",),
)  # fmt: skip
def open_preview(call: Call, given: OfProject) -> ProjectView:
    """Say where the live preview is."""
    if call.project.preview_url is None:
        hint = f"`doce start {call.project.slug}` starts it." if call.project.status is ProjectStatus.STOPPED else call.project.error_hint
        raise Conflict(f"{call.project.name} is {call.project.status.value}; it has no preview now.", hint=hint or "Wait until it runs.")
    return call.project


@action(
    "projects.start", input=OfProject, output=ProjectView, role="editor", method="POST", path="/api/projects/{project}/start", status=202,
    words=("start", "retry"), positional=("project",),
)  # fmt: skip
def start(call: Call, given: OfProject) -> ProjectView:
    """Start a project's services, or try again what failed."""
    return call.services.projects.start(call.project.id, call.user.id)


@action(
    "projects.halt", input=OfProject, output=ProjectView, role="editor", method="POST", path="/api/projects/{project}/halt", status=202,
    words=("halt",), positional=("project",),
)  # fmt: skip
def halt(call: Call, given: OfProject) -> ProjectView:
    """Stop a project's services; files and versions stay."""
    return call.services.projects.stop(call.project.id, call.user.id)


@action(
    "projects.restart", input=OfProject, output=ProjectView, role="editor",
    method="POST", path="/api/projects/{project}/restart", status=202,
    words=("restart",), positional=("project",),
)  # fmt: skip
def restart(call: Call, given: OfProject) -> ProjectView:
    """Stop a project's services and start them again."""
    return call.services.projects.restart(call.project.id, call.user.id)


@action(
    "projects.rename", input=Rename, output=ProjectView, role="editor", method="PATCH", path="/api/projects/{project}",
    words=("rename",), positional=("project", "name"),
)  # fmt: skip
def rename(call: Call, given: Rename) -> ProjectView:
    """Give a project another name; its addresses stay."""
    return call.services.projects.rename(call.project.id, given.name)


@action(
    "projects.updateModel", input=ChangeModel, output=ProjectView, role="editor", method="POST", path="/api/projects/{project}/model",
    words=("model",), positional=("project", "model"),
)  # fmt: skip
def update_model(call: Call, given: ChangeModel) -> ProjectView:
    """Use another model from the next prompt."""
    return call.services.projects.update_model(call.project.id, given.model)


@action(
    "projects.delete", input=OfProject, output=ProjectView, role="owner", method="DELETE", path="/api/projects/{project}", status=202,
    words=("delete",), positional=("project",), danger=True,
)  # fmt: skip
def delete(call: Call, given: OfProject) -> ProjectView:
    """Delete a project with everything it has."""
    return call.services.projects.delete(call.project.id, call.user.id)


class Nothing(Input):
    """No input."""


@action("projects.deleteAll", input=Nothing, output=Done, role="member", method="DELETE", path="/api/projects", status=202, danger=True)
def delete_all(call: Call, given: Nothing) -> Done:
    """Delete all projects you own."""
    queued = call.services.projects.delete_all(call.user.id)
    return Done(message=f"Your projects are being deleted (job {queued.job.id}).")


class TemplateList(Page[TemplateView]):
    """Templates by name."""


@action("templates.list", input=Paging, output=TemplateList, role="member", method="GET", path="/api/templates", words=("templates",))
def list_templates(call: Call, given: Paging) -> TemplateList:
    """List what a project can start from."""
    found = templates.all_templates()
    items = [TemplateView(name=one.name, description=one.description, kind=one.kind) for one in found]
    page, following = cut(items, given, lambda one: one.name)
    return TemplateList(items=page, next=following)
