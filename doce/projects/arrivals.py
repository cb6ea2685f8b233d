"""Projects that begin with files they already have: imported from a zip file, or duplicated from another project.

The files are laid out beside the projects first; the project, its job and its prompt are one transaction; and the job takes
the files over by a rename. Killed anywhere in between, there is either no project or a whole one.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from doce import naming
from doce.clock import Clock
from doce.db.connection import database
from doce.db.ids import new_id
from doce.errors import Conflict, Unavailable
from doce.projects import contents, templates
from doce.projects.files import PIECE
from doce.projects.incoming import Incoming, Received
from doce.projects.layout import Layout
from doce.projects.lifecycle import Projects, checked_name
from doce.projects.prompts import PromptStore, checked_text
from doce.projects.store import ProjectStore
from doce.projects.templates import Template
from doce.projects.unpacking import unpack
from doce.projects.views import ProjectView
from doce.queue.enqueue import enqueue
from doce.queue.types import ProjectCreate
from doce.settings import Settings


class Arrivals:
    """Imports and duplicates. Permissions are the actions' business."""

    def __init__(
        self, settings: Settings, clock: Clock, *, store: ProjectStore, prompts: PromptStore, projects: Projects, incoming: Incoming
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._store = store
        self._prompts = prompts
        self._projects = projects
        self._incoming = incoming

    def unpacked(
        self,
        owner: str,
        received: Received,
        *,
        name: str | None = None,
        template: str | None = None,
        model: str | None = None,
        prompt: str | None = None,
    ) -> ProjectView:
        """A project from a zip file; with `prompt`, its agent is asked for that when it runs.

        Raises BadRequest for a file, name, template, model or prompt that cannot be used, PayloadTooLarge, Unavailable.
        """
        text = checked_text(prompt) if prompt is not None else ""
        chosen = templates.get(template or self._projects.default_template())
        shown = checked_name(name) if name is not None else _name_of(received.name)
        return self._begin(
            owner, shown, template=chosen, model=self._projects.checked_model(model or self._projects.default_model()), prompt=text,
            lay_out=lambda target: unpack(received.path, target, chosen),
        )  # fmt: skip

    def duplicate(self, owner: str, project: ProjectView, *, name: str | None = None) -> ProjectView:
        """A project of `owner` with the files of another one: what an export would hold, under another name.

        Raises Conflict for one that has no files yet, PayloadTooLarge, Unavailable.
        """
        source, template = self._projects.layout(project.id).workspace, templates.get(project.template)
        shown = checked_name(name) if name is not None else f"{project.name[: naming.MAX_NAME - 5]} copy"
        contents.check_size(source, template)
        return self._begin(
            owner, shown, template=template, model=project.model, description=project.description,
            lay_out=lambda target: copy(source, target, template),
        )  # fmt: skip

    def _begin(
        self, owner: str, name: str, *, template: Template, model: str, lay_out: Callable[[Path], object], prompt: str = "",
        description: str | None = None,
    ) -> ProjectView:  # fmt: skip
        self._projects.check_disk()
        project_id = new_id("prj")
        try:
            lay_out(self._incoming.workspace(project_id))
            with database.atomic():
                self._store.insert(
                    id=project_id, owner_user_id=owner, name=name, slug=naming.slug_from(name), prompt=prompt, template=template.name,
                    description=prompt[:200] if description is None else description, model=model,
                    path=str(self._projects.layout(project_id).root),
                )  # fmt: skip
                if prompt:
                    self._prompts.add(project_id, owner, prompt)
                payload = ProjectCreate(project_id=project_id, prompt=prompt, template=template.name, model=model)
                enqueue(payload, user_id=owner, clock=self._clock)
        except BaseException:
            self._incoming.forget(project_id)
            raise
        return self._store.get(project_id)


def _name_of(file_name: str | None) -> str:
    """What a project from this file is called: ``my-shop.zip`` is My Shop."""
    stem = (file_name or "").replace("\\", "/").rpartition("/")[2].rpartition(".")[0]
    return naming.name_from(stem.replace("-", " ").replace("_", " ")) if stem else "Imported Site"


def copy(source: Path, target: Path, template: Template) -> None:
    """Copy what is part of a project, and nothing else. Raises Unavailable when the disk is full."""
    target.mkdir(parents=True)
    count = 0
    try:
        for item in contents.items(source, template):
            descriptor = item.open()
            if descriptor is None:
                continue
            path = target / item.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(descriptor, "rb") as file, path.open("xb") as copied:
                left = item.state.st_size
                while left and (piece := file.read(min(PIECE, left))):
                    copied.write(piece)
                    left -= len(piece)
            path.chmod(0o755 if item.state.st_mode & 0o100 else 0o644)
            count += 1
    except OSError as error:
        raise Unavailable(f"The files could not be copied: {error.strerror}.", hint="Free some disk space and try again.") from error
    if not count:
        raise Conflict("The project has no files yet.", hint="They are there as soon as its template is copied.")


def take_over(incoming: Incoming, project_id: str, layout: Layout) -> bool:
    """Make what was laid out for a project its workspace, if something was; done again it finds nothing to do."""
    laid_out = incoming.workspace(project_id)
    if layout.workspace.exists() or not laid_out.is_dir():
        return False
    layout.root.mkdir(parents=True, exist_ok=True)
    try:
        laid_out.rename(layout.workspace)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # Another disk: copied beside its place first, so that a killed copy is never taken for a workspace.
        half = layout.root / ".workspace.new"
        shutil.rmtree(half, ignore_errors=True)
        shutil.copytree(laid_out, half, symlinks=True)
        half.rename(layout.workspace)
    incoming.forget(project_id)
    return True
