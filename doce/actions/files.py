"""A project's files and assets: look, download, put, rename, delete."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from doce.actions.projects import OfProject
from doce.actions.registry import Call, Done, Download, Input, Taken, action
from doce.errors import BadRequest
from doce.projects import assets, attachments, export, files, templates, unpacking
from doce.projects.assets import AssetView
from doce.projects.files import FileContent, FileList
from doce.projects.views import Page, ProjectView

BYTES = "application/octet-stream"
#: Without the charset: what an answer is documented with.
KINDS = tuple(sorted({kind.partition(";")[0] for kind in assets.TYPES.values()}))


class InProject(OfProject):
    path: str = Field(max_length=1024, description="Path from the top of the project.", examples=["src/pages/index.astro"])


class FileListing(OfProject):
    path: str = Field("", max_length=1024, description="Folder from the top of the project; left out: the top.", examples=["public"])
    limit: int = Field(200, ge=1, le=1000, description="How many.")
    after: str | None = Field(None, max_length=400, description="Cursor: `next` of the page before.")


class AssetListing(OfProject):
    limit: int = Field(100, ge=1, le=1000, description="How many.")
    after: str | None = Field(None, max_length=200, description="Cursor: `next` of the page before.")


class OfAsset(OfProject):
    asset: str = Field(max_length=200, description="File name of the asset.", examples=["logo.png"])


class OfAttachment(OfProject):
    attachment: str = Field(max_length=100, description="Id of the attachment, as the prompt tells it.")


class NewAsset(OfProject):
    name: str | None = Field(None, max_length=400, description="File name; of a form: the file's own when left out.", examples=["logo.png"])


class RenameAsset(OfAsset):
    new_name: str = Field(max_length=400, description="The new file name; the extension stays.", examples=["brand.png"])


class Import(Input):
    name: str | None = Field(None, max_length=200, description="Its name; the file's own when left out.", examples=["Tea Shop"])
    template: str | None = Field(None, max_length=100, description="What runs it: static, astro-starter.", examples=["static"])
    model: str | None = Field(None, max_length=200, description="Model, as provider/model.", examples=["rehearsal/site-builder"])
    prompt: str | None = Field(None, description="What to ask its agent for first, if anything.", examples=["make it dark"])


class Duplicate(OfProject):
    name: str | None = Field(None, max_length=200, description="Name of the copy.", examples=["Tea Shop, second try"])


def _workspace(call: Call) -> Path:
    return call.services.projects.layout(call.project.id).workspace


@action("files.list", input=FileListing, output=FileList, role="viewer", method="GET", path="/api/projects/{project}/files")
def list_files(call: Call, given: FileListing) -> FileList:
    """List one folder of a project."""
    return files.entries(_workspace(call), given.path, limit=given.limit, after=given.after)


@action("files.get", input=InProject, output=FileContent, role="viewer", method="GET", path="/api/projects/{project}/files/content")
def get_file(call: Call, given: InProject) -> FileContent:
    """Show what is in a file, up to 1 MiB."""
    return files.content(_workspace(call), given.path)


@action(
    "files.download", input=InProject, output=Download, role="viewer", method="GET", path="/api/projects/{project}/files/raw",
    gives=(BYTES,),
)  # fmt: skip
def download_file(call: Call, given: InProject) -> Download:
    """Download a file of any size."""
    name, size, pieces = files.download(_workspace(call), given.path)
    return Download(name=name, media_type=BYTES, size=size, pieces=pieces)


@action("assets.list", input=AssetListing, output=Page[AssetView], role="viewer", method="GET", path="/api/projects/{project}/assets")
def list_assets(call: Call, given: AssetListing) -> Page[AssetView]:
    """List a project's assets by name."""
    return assets.assets(_workspace(call), limit=given.limit, after=given.after)


@action(
    "assets.upload", input=NewAsset, output=AssetView, role="editor", method="POST", path="/api/projects/{project}/assets", status=201,
    takes=Taken(assets.MAX_SIZE, (BYTES, *KINDS), "The asset, up to 50 MiB."),
)  # fmt: skip
def upload_asset(call: Call, given: NewAsset) -> AssetView:
    """Put a file into a project's assets."""
    name = given.name or call.received.name
    if not name:
        raise BadRequest("The asset has no name.", hint="Say it in the address: ?name=logo.png.", details={"field": "name"})
    return assets.add(_workspace(call), name, call.received)


@action(
    "assets.download", input=OfAsset, output=Download, role="viewer", method="GET", path="/api/projects/{project}/assets/{asset}",
    gives=KINDS,
)  # fmt: skip
def download_asset(call: Call, given: OfAsset) -> Download:
    """Download an asset."""
    asset, pieces = assets.download(_workspace(call), given.asset)
    return Download(name=asset.name, media_type=asset.media_type, size=asset.size, pieces=pieces)


@action("assets.rename", input=RenameAsset, output=AssetView, role="editor", method="PATCH", path="/api/projects/{project}/assets/{asset}")
def rename_asset(call: Call, given: RenameAsset) -> AssetView:
    """Give an asset another name with the same extension."""
    return assets.rename(_workspace(call), given.asset, given.new_name)


@action("assets.delete", input=OfAsset, output=Done, role="editor", method="DELETE", path="/api/projects/{project}/assets/{asset}")
def delete_asset(call: Call, given: OfAsset) -> Done:
    """Delete an asset."""
    assets.delete(_workspace(call), given.asset)
    return Done(message=f"{given.asset} is deleted.")


@action(
    "attachments.download", input=OfAttachment, output=Download, role="viewer", method="GET",
    path="/api/projects/{project}/attachments/{attachment}", gives=("image/png", "image/jpeg", "image/gif", "image/webp", "text/plain"),
)  # fmt: skip
def download_attachment(call: Call, given: OfAttachment) -> Download:
    """Download a file that came with a prompt."""
    file, size = attachments.find(call.services.projects.layout(call.project.id), call.project.id, given.attachment)
    kind = f"{file.mime}; charset=utf-8" if file.mime == "text/plain" else file.mime
    return Download(name=file.name, media_type=kind, size=size, pieces=iter((file.data,) if file.data else ()))


@action(
    "projects.export", input=OfProject, output=Download, role="viewer", method="GET", path="/api/projects/{project}/export",
    gives=("application/zip",),
)  # fmt: skip
def export_project(call: Call, given: OfProject) -> Download:
    """Download a project as a zip file, without dependencies, build output and secrets."""
    pieces = export.zipped(_workspace(call), templates.get(call.project.template))
    return Download(name=f"{call.project.slug}.zip", media_type="application/zip", pieces=pieces)


@action(
    "projects.import", input=Import, output=ProjectView, role="member", method="POST", path="/api/imports", status=201,
    takes=Taken(unpacking.MAX_ZIP, ("application/zip", BYTES), "The zip file, up to 100 MiB; it may unpack to 500 MiB."),
)  # fmt: skip
def import_project(call: Call, given: Import) -> ProjectView:
    """Make a project from a zip file; the template is yours to choose, never the file's."""
    return call.services.arrivals.unpacked(
        call.user.id, call.received, name=given.name, template=given.template, model=given.model, prompt=given.prompt
    )


@action(
    "projects.duplicate", input=Duplicate, output=ProjectView, role="viewer", method="POST", path="/api/projects/{project}/duplicate",
    status=201, words=("duplicate",), positional=("project",), examples=("duplicate ceramic-portfolio",),
)  # fmt: skip
def duplicate(call: Call, given: Duplicate) -> ProjectView:
    """Make a project of your own with the files of this one, without its secrets."""
    return call.services.arrivals.duplicate(call.user.id, call.project, name=given.name)
