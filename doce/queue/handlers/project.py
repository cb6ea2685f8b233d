"""project.create, project.delete, projects.deleteAllForUser."""

from __future__ import annotations

import logging
import shutil

from doce import naming
from doce.db.connection import database
from doce.errors import NotFound, Unavailable
from doce.events import log as events
from doce.events.vocabulary import ProjectDeleted
from doce.ports import release, reserve
from doce.projects import templates
from doce.projects.arrivals import take_over
from doce.projects.history import History
from doce.projects.incoming import Incoming
from doce.projects.layout import Layout
from doce.projects.removal import remove_tree
from doce.projects.stack import OPENCODE, PREVIEW
from doce.projects.status import ProjectStatus
from doce.projects.views import ProjectView
from doce.queue import jobs
from doce.queue.context import JobContext
from doce.queue.enqueue import enqueue
from doce.queue.handlers.work import Work
from doce.queue.types import DockerComposeUp, ProjectCreate, ProjectDelete, ProjectsDeleteAllForUser
from doce.testing import faults

logger = logging.getLogger(__name__)


def create(work: Work, context: JobContext, payload: ProjectCreate) -> None:
    """Copy the template, begin its history, reserve ports, find a good name."""
    project = work.store.get(payload.project_id)
    if project.status is not ProjectStatus.CREATED:
        return  # stopped or deleted before we came
    layout = work.layout(project.id)
    work.store.set_status(project.id, ProjectStatus.CREATED, step="copying the template")
    if take_over(Incoming(work.settings), project.id, layout):
        context.log("workspace made from the files it came with")
    _copy_template(templates.get(payload.template), layout)
    History(layout, work.path).begin()
    commit = History(layout, work.path).commit("Start from the template")
    if commit:
        context.log(f"workspace made from {payload.template}, commit {commit[:8]}")
    context.throw_if_cancel_requested()
    faults.point("project.create.copied")
    _name(work, context, project)
    with context.finishing():
        work.store.update(
            project.id,
            preview_port=reserve(project.id, PREVIEW, work.settings.preview_ports),
            opencode_port=reserve(project.id, OPENCODE, work.settings.opencode_ports),
        )
        work.store.set_status(project.id, ProjectStatus.STARTING, step="starting services")
        enqueue(DockerComposeUp(project_id=project.id, reason="bootstrap"), user_id=context.job.user_id, clock=work.clock)


def _copy_template(template: templates.Template, layout: Layout) -> None:
    """Through a folder beside it and one rename, so that a killed copy is never taken for a workspace."""
    for folder in (layout.root, layout.home, layout.logs, layout.store):
        folder.mkdir(parents=True, exist_ok=True)
    if layout.workspace.exists():
        return
    half = layout.root / ".workspace.new"
    shutil.rmtree(half, ignore_errors=True)
    try:
        shutil.copytree(template.workspace, half, symlinks=True, ignore=shutil.ignore_patterns("node_modules", "dist", ".astro"))
    except OSError as error:
        shutil.rmtree(half, ignore_errors=True)
        raise Unavailable(
            f"The template could not be copied: {error.strerror or error}.", hint="Free some disk space; doce tries again."
        ) from error
    half.rename(layout.workspace)


def _name(work: Work, context: JobContext, project: ProjectView) -> None:
    """Ask the model for a name, if nobody chose one. Beside the critical path: the name from the words will do."""
    if not project.prompt or project.name != naming.name_from(project.prompt):
        return
    work.store.set_status(project.id, ProjectStatus.CREATED, step="finding a name")
    name = work.name_project(project.id, project.prompt, project.model)
    if name and name != project.name:
        work.store.rename(project.id, name=name[: naming.MAX_NAME])
        context.log(f"named {name}")


def delete(work: Work, context: JobContext, payload: ProjectDelete) -> None:
    """Remove what runs, then the files, then the row. Done twice it finds less to do."""
    project_id = payload.project_id
    if not work.store.exists(project_id):
        return
    # What was cancelled may still be ending; the one slot of the project makes sure it has.
    work.runtime.destroy(project_id)
    work.tokens.revoke(project_id)
    faults.point("project.delete.destroyed")
    root = work.layout(project_id).root
    remove_tree(root, lambda: context.throw_if_cancel_requested())
    remove_tree(work.production_stacks.layout(project_id).root, lambda: context.throw_if_cancel_requested())
    Incoming(work.settings).forget(project_id)
    faults.point("project.delete.removed")
    with context.finishing():
        release(project_id)
        work.productions.releases.forget(project_id)
        work.store.update(project_id, deleted_at=work.clock.now_ms(), preview_port=None, opencode_port=None, step=None)
        events.append(ProjectDeleted(), project_id=project_id)
        for job in jobs.active(project_id):
            jobs.cancel(job.id, clock=work.clock)


def delete_all(work: Work, context: JobContext, payload: ProjectsDeleteAllForUser) -> None:
    """Begin the deletion of every project of a user; each is a job of its own."""
    with context.finishing():
        for project_id in work.store.owned(payload.user_id):
            project = work.store.get(project_id)
            if project.status is not ProjectStatus.DELETING:
                for job in jobs.active(project_id):
                    jobs.cancel(job.id, clock=work.clock)
                work.store.set_status(project_id, ProjectStatus.DELETING, step="removing")
            enqueue(
                ProjectDelete(project_id=project_id, requested_by=payload.user_id),
                user_id=payload.user_id,
                max_attempts=5,
                clock=work.clock,
            )


def into_error(work: Work, project_id: str | None, error: str) -> None:
    """A step of the pipeline failed for good: the project says so. Called in the transaction that fails the job."""
    assert database.transaction_depth()
    if project_id is None:
        return
    try:
        project = work.store.get(project_id)
    except NotFound:
        return
    if project.status in (ProjectStatus.DELETING, ProjectStatus.STOPPED, ProjectStatus.STOPPING):
        return
    hint = f"`doce start {project.slug}` tries again; `doce logs {project.slug}` shows more."
    work.store.set_status(project_id, ProjectStatus.ERROR, error=error, hint=hint)
