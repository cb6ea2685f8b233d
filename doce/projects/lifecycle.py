"""What people do with projects: create, look, start, stop, delete. Each is a row and a job in one transaction."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from doce import naming
from doce.clock import Clock
from doce.db.choices import current
from doce.db.connection import database
from doce.db.ids import new_id
from doce.errors import BadRequest, Conflict, NotFound, Unavailable
from doce.projects import attachments, templates
from doce.projects.attachments import Upload
from doce.projects.layout import Layout
from doce.projects.prompts import PromptStore, checked_text
from doce.projects.status import ProjectStatus
from doce.projects.store import ProjectStore
from doce.projects.views import Page, ProjectView, PromptView
from doce.queue import jobs
from doce.queue.enqueue import Enqueued, enqueue
from doce.queue.types import (
    DockerComposeUp,
    DockerEnsureRunning,
    DockerStop,
    OpencodeSendUserPrompt,
    ProjectCreate,
    ProjectDelete,
    ProjectsDeleteAllForUser,
)
from doce.settings import Settings

REHEARSAL = "rehearsal/"


class Models(Protocol):
    """What the catalogue of models answers here."""

    def check(self, model: str) -> object:
        """Raises BadRequest for a model that cannot be used."""
        ...


class Projects:
    """The projects of this doce. Permissions are the actions' business."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        store: ProjectStore,
        prompts: PromptStore,
        models: Models,
        isolates: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._store = store
        self._prompts = prompts
        self._models = models
        self._isolates = isolates

    def create(
        self,
        owner: str,
        prompt: str,
        *,
        name: str | None = None,
        template: str | None = None,
        model: str | None = None,
        attached: Sequence[Upload] = (),
    ) -> ProjectView:
        """Begin a project; its pipeline runs by itself from here.

        Raises BadRequest for a prompt, template, model or file that cannot be used, Unavailable when the disk is full.
        """
        text = checked_text(prompt)
        chosen = templates.get(template or self.default_template())
        model = self.checked_model(model or self.default_model())
        uploads = attachments.checked(attached)
        self.check_disk()
        project_id = new_id("prj")
        layout = self.layout(project_id)
        shown = checked_name(name) if name is not None else naming.name_from(text)
        with database.atomic():
            project = self._store.insert(
                id=project_id, owner_user_id=owner, name=shown, slug=naming.slug_from(shown), description=text[:200], prompt=text,
                template=chosen.name, model=model, path=str(layout.root),
            )  # fmt: skip
            attachment_ids = attachments.keep(layout, project_id, uploads, self._clock)
            self._prompts.add(project_id, owner, text, attachment_ids=attachment_ids)
            payload = ProjectCreate(
                project_id=project_id, prompt=text, template=chosen.name, model=model, attachment_ids=tuple(attachment_ids)
            )
            enqueue(payload, user_id=owner, clock=self._clock)
        return project

    def get(self, project_id: str) -> ProjectView:
        """Raises NotFound."""
        return self._store.get(project_id)

    def find(self, seen_by: str | None, word: str) -> ProjectView:
        """The project a person means by an id, a slug, or the beginning of one, among those `seen_by` belongs to (None: all).

        Raises NotFound naming what there is, Conflict when several begin like that.
        """
        wanted = word.strip().lower().rstrip("/").rpartition("/")[2]
        if exact := self._store.exact(seen_by, wanted):
            return exact
        known = self._store.candidates(seen_by)
        for id, _, name in known:
            if name.lower() == wanted:
                return self.get(id)
        near = [entry for entry in known if entry[1].startswith(wanted)] if wanted else []
        if len(near) == 1:
            return self.get(near[0][0])
        if near:
            raise Conflict(
                f"{word!r} could be several projects.",
                hint=f"Which one: {', '.join(slug for _, slug, _ in near[:8])}?",
                details={"word": word, "projects": [slug for _, slug, _ in near[:25]]},
            )
        have = ", ".join(slug for _, slug, _ in known[:8])
        raise NotFound(
            f"There is no project {word!r}.",
            hint=f"You have: {have}." if have else "`doce new` makes your first one.",
            details={"word": word},
        )

    def list(self, seen_by: str | None, *, limit: int = 50, before: str | None = None) -> Page[ProjectView]:
        """Latest first; `seen_by` None: everybody's."""
        items, following = self._store.page(seen_by, limit, before)
        return Page(items=items, next=following)

    def latest(self, seen_by: str | None) -> ProjectView:
        """The one touched last: what is meant when none is named. Raises NotFound when there is none."""
        known = self._store.candidates(seen_by)
        if not known:
            raise NotFound("You have no project yet.", hint="`doce new a portfolio for a ceramicist` makes one.")
        return self.get(known[0][0])

    def start(self, project_id: str, user_id: str | None = None) -> ProjectView:
        """Start its services, or try again what failed. One that runs stays as it is."""
        self.check_disk()
        with database.atomic():
            project = self._free_to_act(project_id)
            if project.status in (ProjectStatus.STOPPED, ProjectStatus.ERROR, ProjectStatus.CREATED):
                self._begin(project, user_id)
            elif project.status is ProjectStatus.RUNNING:
                enqueue(DockerEnsureRunning(project_id=project_id, reason="user"), user_id=user_id, clock=self._clock)
            elif project.status is ProjectStatus.STOPPING:
                raise Conflict(f"{project.name} is stopping.", hint="Start it again in a few seconds.")
        return self.get(project_id)

    def _begin(self, project: ProjectView, user_id: str | None) -> None:
        """Take the pipeline up where it can go on."""
        self._store.update(project.id, stopped_by_user=False)
        if (self.layout(project.id).workspace / ".git").exists():
            self._store.set_status(project.id, ProjectStatus.STARTING, step="waiting for a worker")
            enqueue(DockerComposeUp(project_id=project.id, reason="user"), user_id=user_id, clock=self._clock)
            return
        if project.status is ProjectStatus.ERROR:
            self._store.set_status(project.id, ProjectStatus.CREATED, step="waiting for a worker")
        payload = ProjectCreate(project_id=project.id, prompt=project.prompt, template=project.template, model=project.model)
        enqueue(payload, user_id=user_id, clock=self._clock)

    def stop(self, project_id: str, user_id: str | None = None) -> ProjectView:
        """Stop its services, whatever they are doing; files and versions stay. Raises Conflict when nothing runs."""
        with database.atomic():
            project = self._free_to_act(project_id)
            if project.status is ProjectStatus.STOPPED:
                raise Conflict(f"{project.name} is already stopped.", hint=f"`doce start {project.slug}` starts it.")
            self._store.update(project_id, stopped_by_user=True)
            for job in jobs.active(project_id):
                if job.type != DockerStop.type:
                    jobs.cancel(job.id, clock=self._clock)
            self._store.set_status(project_id, ProjectStatus.STOPPING, step="stopping")
            enqueue(DockerStop(project_id=project_id, reason="user"), user_id=user_id, priority=5, clock=self._clock)
        return self.get(project_id)

    def restart(self, project_id: str, user_id: str | None = None) -> ProjectView:
        """Stop, then start: two jobs, one after the other."""
        with database.atomic():
            project = self._free_to_act(project_id)
            if project.status is ProjectStatus.STOPPED:
                return self.start(project_id, user_id)
            self.stop(project_id, user_id)
            self._store.update(project_id, stopped_by_user=False)
            enqueue(DockerEnsureRunning(project_id=project_id, reason="user"), user_id=user_id, clock=self._clock)
        return self.get(project_id)

    def delete(self, project_id: str, user_id: str) -> ProjectView:
        """Remove everything of it. What it was doing is cancelled; what cannot be removed yet is tried again."""
        with database.atomic():
            project = self.get(project_id)
            if project.status is not ProjectStatus.DELETING:
                for job in jobs.active(project_id):
                    jobs.cancel(job.id, clock=self._clock)
                self._store.set_status(project_id, ProjectStatus.DELETING, step="removing")
            enqueue(
                ProjectDelete(project_id=project_id, requested_by=user_id), user_id=user_id, priority=5, max_attempts=5, clock=self._clock
            )
        return self.get(project_id)

    def delete_all(self, user_id: str) -> Enqueued:
        """Delete every project of a user."""
        return enqueue(ProjectsDeleteAllForUser(user_id=user_id), clock=self._clock)

    def rename(self, project_id: str, name: str) -> ProjectView:
        """Another name; addresses keep the slug."""
        self._free_to_act(project_id)
        return self._store.rename(project_id, name=checked_name(name))

    def update_model(self, project_id: str, model: str) -> ProjectView:
        """Another model, from the next prompt."""
        self._free_to_act(project_id)
        return self._store.rename(project_id, model=self.checked_model(model))

    def prompt(self, project_id: str, user_id: str, text: str, *, model: str | None = None, attached: Sequence[Upload] = ()) -> PromptView:
        """Ask the project's agent; waits its turn. A project that does not run is started for it."""
        text = checked_text(text)
        uploads = attachments.checked(attached)
        if model is not None:
            model = self.checked_model(model)
        with database.atomic():
            project = self._free_to_act(project_id)
            kept = attachments.keep(self.layout(project_id), project_id, uploads, self._clock)
            prompt = self._prompts.add(project_id, user_id, text, model=model, attachment_ids=kept)
            if project.status is ProjectStatus.RUNNING:
                enqueue(OpencodeSendUserPrompt(project_id=project_id), user_id=user_id, clock=self._clock)
            elif project.status in (ProjectStatus.STOPPED, ProjectStatus.ERROR):
                self._begin(project, user_id)
            elif project.status is ProjectStatus.STOPPING:
                self._store.update(project_id, stopped_by_user=False)
                enqueue(DockerEnsureRunning(project_id=project_id, reason="user"), user_id=user_id, clock=self._clock)
        return prompt

    def edit_prompt(self, prompt_id: str, text: str) -> PromptView:
        """Another text for a prompt that still waits."""
        return self._prompts.edit(prompt_id, checked_text(text))

    def ids_of(self, user_id: str) -> set[str]:
        """Ids of the projects a user belongs to."""
        return {known[0] for known in self._store.candidates(user_id)}

    def may_see(self, project_id: str, seen_by: str | None) -> bool:
        """It is there, and this user belongs to it (None: anybody's)."""
        return self._store.may_see(project_id, seen_by)

    def is_somebodys(self, word: str) -> bool:
        """There is a project of exactly this id or slug, whoever owns it."""
        return any(word.strip().lower() in known[:2] for known in self._store.candidates(None))

    def checked_model(self, model: str) -> str:
        """`model`, if it may be used. Raises BadRequest.

        A real model on a runtime that does not isolate runs whatever it likes as this user: that must be said out loud.
        """
        self._models.check(model)
        if not model.startswith(REHEARSAL) and not self._isolates() and self._settings.runtime != "process":
            raise BadRequest(
                f"{model} would run commands on this machine as you: the process runtime does not isolate.",
                hint="Set DOCE_RUNTIME=process to allow that, or use rehearsal/site-builder.",
            )
        return model

    def layout(self, project_id: str) -> Layout:
        return Layout((self._settings.projects / project_id).absolute())

    def log_file(self, project_id: str) -> Path:
        return self.layout(project_id).log_file

    def _free_to_act(self, project_id: str) -> ProjectView:
        project = self.get(project_id)
        if project.status is ProjectStatus.DELETING:
            raise Conflict(f"{project.name} is being deleted.")
        return project

    def default_model(self) -> str:
        """Model of new projects when nobody says."""
        return str(current(self._settings, "model"))

    def default_template(self) -> str:
        """Template of new projects when nobody says."""
        return str(current(self._settings, "template"))

    def check_disk(self) -> None:
        """Raises Unavailable when the disk is too full to start anything."""
        free = shutil.disk_usage(_existing(self._settings.data)).free // (1024 * 1024)
        needed = current(self._settings, "min_free_mb")
        if free < needed:
            raise Unavailable(
                f"The disk is almost full: {free} MiB are free, {needed} are needed. Nothing was started.",
                hint="Free some space, or set DOCE_MIN_FREE_MB, and try again.",
            )

    def exists(self, project_id: str) -> bool:
        """It is not deleted: streams about it go on."""
        return self._store.exists(project_id)


def checked_name(name: str) -> str:
    """A project's name as it may be shown. Raises BadRequest."""
    cleaned = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    if not cleaned:
        raise BadRequest("The name is empty.", hint="Leave it out and doce finds one.")
    if len(cleaned) > naming.MAX_NAME:
        raise BadRequest(f"The name has {len(cleaned)} characters; {naming.MAX_NAME} is the most.")
    return cleaned


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.absolute().parent
    return path
