"""What is asked of deployments and what is told of them. Jobs do the work; the link on disk is the truth about what is live."""

from __future__ import annotations

import shutil
from enum import StrEnum

from doce import addresses
from doce.clock import Clock
from doce.db.choices import current
from doce.db.connection import database
from doce.db.models import Project
from doce.errors import Conflict, Unavailable
from doce.events import log as events
from doce.events.vocabulary import ProductionStatus as ProductionStatusEvent
from doce.productions.layout import ProductionLayout
from doce.productions.releases import Releases, ReleaseView
from doce.projects.history import History
from doce.projects.layout import Layout
from doce.projects.status import ProjectStatus
from doce.projects.views import ProjectView, View
from doce.queue import jobs
from doce.queue.enqueue import enqueue
from doce.queue.types import Job, JobState, JobType, ProductionBuild, ProductionRollback, ProductionStop
from doce.settings import Settings

#: The jobs of one deploy or rollback, in their order.
PIPELINE = (JobType.PRODUCTION_BUILD, JobType.PRODUCTION_START, JobType.PRODUCTION_WAIT_READY, JobType.PRODUCTION_ROLLBACK)
#: What a job of production does, in words.
STEPS: dict[str, str] = {
    JobType.PRODUCTION_BUILD: "building",
    JobType.PRODUCTION_START: "starting the new version",
    JobType.PRODUCTION_WAIT_READY: "waiting until it is healthy",
    JobType.PRODUCTION_ROLLBACK: "rolling back",
    JobType.PRODUCTION_STOP: "taking it off",
}


class ProductionStatus(StrEnum):
    """Of the pipeline; what is live is told by `url` and `hash`."""

    STOPPED = "stopped"
    QUEUED = "queued"
    BUILDING = "building"
    RUNNING = "running"
    FAILED = "failed"


class ProductionView(View):
    """A project's deployment. `url` and `hash` tell what is live, also while a new version is built or after it failed."""

    project_id: str
    status: ProductionStatus
    url: str | None
    port: int | None
    hash: str | None
    version: int | None
    #: why the last deploy or rollback failed
    error: str | None
    #: epoch ms since when this is served
    started_at: int | None
    #: the job that works on it now
    active_job: int | None
    #: what that job does, in words
    step: str | None
    #: the project's last event when this was looked at: what follows is in the log after it
    seq: int
    releases: list[ReleaseView]


class Productions:
    """Deploy, roll back, stop, look."""

    def __init__(self, settings: Settings, clock: Clock, releases: Releases, *, path: str) -> None:
        """`path`: PATH for git."""
        self._settings = settings
        self._clock = clock
        self.releases = releases
        self._path = path

    def layout(self, project_id: str) -> ProductionLayout:
        return ProductionLayout((self._settings.production / project_id).absolute())

    def view(self, project_id: str) -> ProductionView:
        """How it is now."""
        row, live, active = Project.get_by_id(project_id), self.layout(project_id).live(), self.active(project_id)
        served = row.production_started_at is not None and live is not None
        job = active or next((one for one in jobs.active(project_id) if one.type == JobType.PRODUCTION_STOP), None)
        found, status = self.releases.all(project_id, live), self._status(row, active, served)
        return ProductionView(
            project_id=project_id,
            seq=events.last_seq(project_id),
            status=status,
            url=addresses.site_url(self._settings, row.production_port) if served and row.production_port else None,
            port=row.production_port,
            hash=live,
            version=next((one.version for one in found if one.current), None),
            error=row.production_error,
            started_at=row.production_started_at if served else None,
            active_job=job.id if job else None,
            step=STEPS[job.type] if job and status is not ProductionStatus.QUEUED else None,
            releases=found,
        )

    def active(self, project_id: str) -> Job | None:
        """The job of the pipeline under way. One that only waits for old visitors to leave does not count."""
        row = Project.get_or_none(Project.id == project_id)
        for job in jobs.active(project_id):
            if job.type in PIPELINE and not self.drains(job, row):
                return job
        return None

    def drains(self, job: Job, row: Project | None) -> bool:
        """Its release is live already, or was until a later one took over."""
        if job.type not in (JobType.PRODUCTION_WAIT_READY, JobType.PRODUCTION_ROLLBACK) or row is None or not row.production_started_at:
            return False
        values = job.values()
        live = values.get("productionHash") == row.production_hash == self.layout(row.id).live()
        return live or row.production_started_at > values.get("startedAt", row.production_started_at)

    def _status(self, row: Project, active: Job | None, served: bool) -> ProductionStatus:
        if active is not None:
            waiting = active.type == JobType.PRODUCTION_BUILD and active.state is JobState.QUEUED and active.started_at is None
            return ProductionStatus.QUEUED if waiting else ProductionStatus.BUILDING
        if row.production_error:
            return ProductionStatus.FAILED
        return ProductionStatus.RUNNING if served else ProductionStatus.STOPPED

    def deploy(self, project: ProjectView, user_id: str) -> ProductionView:
        """Build and publish the workspace as it was last kept.

        Raises Conflict naming the pipeline that is under way, or for a project that is not made yet; Unavailable for a full disk.
        """
        if project.status in (ProjectStatus.DELETING, ProjectStatus.CREATED):
            raise Conflict(f"{project.name} is {project.status.value}; there is nothing to deploy yet.", hint="Wait until it runs.")
        self._refuse_while_busy(project)
        free = shutil.disk_usage(self._settings.data).free // (1024 * 1024)
        needed = current(self._settings, "min_free_mb")
        if free < needed:
            raise Unavailable(
                f"The disk is almost full: {free} MiB are free, {needed} are needed. What is live stays so.",
                hint="Free some disk space, then deploy again.",
            )
        commit = self._snapshot(project)
        with database.atomic():
            self._refuse_while_busy(project)
            self._change(project.id, production_error=None)
            enqueue(ProductionBuild(project_id=project.id, requested_by=user_id, snapshot=commit), user_id=user_id, clock=self._clock)
            self.tell(project.id)
        return self.view(project.id)

    def asked(self, project_id: str, user_id: str, *, since: int) -> bool:
        """Whether this person has asked for a deploy since (epoch ms): for who died before they knew that they had."""
        latest = jobs.list(project_id=project_id, type=JobType.PRODUCTION_BUILD)
        return any(job.user_id == user_id and job.created_at >= since for job in latest)

    def rollback(self, project: ProjectView, user_id: str, word: str | None = None) -> ProductionView:
        """Go back to the version before (after a stop, to what it took off), or to the one called `word`; a deploy under way is cancelled.

        Raises NotFound or Conflict when there is none.
        """
        target = self.releases.find(project.id, word) if word else self._before(project)
        with database.atomic():
            for job in jobs.active(project.id):
                if job.type in PIPELINE:
                    jobs.cancel(job.id, clock=self._clock)
            self._change(project.id, production_error=None)
            payload = ProductionRollback(project_id=project.id, production_hash=target.hash)
            enqueue(payload, user_id=user_id, priority=10, clock=self._clock)
            self.tell(project.id)
        return self.view(project.id)

    def stop(self, project: ProjectView, user_id: str) -> ProductionView:
        """Serve nothing any more; versions and the port stay."""
        now = self.view(project.id)
        if now.status is ProductionStatus.STOPPED and now.active_job is None:
            return now
        with database.atomic():
            for job in jobs.active(project.id):
                if job.type in PIPELINE:
                    jobs.cancel(job.id, clock=self._clock)
            enqueue(ProductionStop(project_id=project.id), user_id=user_id, priority=10, clock=self._clock)
            self.tell(project.id)
        return self.view(project.id)

    def tell(self, project_id: str) -> None:
        """Append how it is to the log, in the caller's transaction."""
        view = self.view(project_id)
        payload = ProductionStatusEvent(status=view.status.value, url=view.url, hash=view.hash, error=view.error, step=view.step)
        events.append(payload, project_id=project_id)

    def record(self, project_id: str, **columns: object) -> None:
        """Change what the row says of production, and tell it."""
        with database.atomic():
            self._change(project_id, **columns)
            self.tell(project_id)

    def _change(self, project_id: str, **columns: object) -> None:
        if columns:
            Project.update(**columns).where(Project.id == project_id).execute()

    def _before(self, project: ProjectView) -> ReleaseView:
        """The version before the live one; the link `previous` if its files are there."""
        layout = self.layout(project.id)
        live, kept = layout.live(), self.releases.kept(project.id)
        if Project.get_by_id(project.id).production_started_at is None and (off := [one for one in kept if one.hash == live]):
            return off[0]
        before = layout.before()
        found = [one for one in kept if one.hash == before and one.hash != live]
        version = next((one.version for one in kept if one.hash == live), None)
        found = found or [one for one in kept if one.hash != live and (version is None or one.version < version)]
        if not found:
            raise Conflict(f"{project.name} has no earlier version.", hint=f"`doce versions {project.slug}` shows what there is.")
        return found[0]

    def _snapshot(self, project: ProjectView) -> str:
        """The last commit. While the agent works that is the one before its turn: never half-written files."""
        layout = Layout((self._settings.projects / project.id).absolute())
        if not (layout.history / "HEAD").exists():
            raise Conflict(f"{project.name} has no files yet.", hint="Wait until it is made.")
        history = History(layout, self._path)
        # Between turns people may have changed files; in one, only what was kept counts.
        commit = None if project.agent == "working" else history.commit("Before a deploy")
        commit = commit or history.head()
        if commit is None:
            raise Conflict(f"{project.name} has no files yet.", hint="Wait until it is made.")
        return commit

    def _refuse_while_busy(self, project: ProjectView) -> None:
        if job := self.active(project.id):
            raise Conflict(
                f"{project.name} is being deployed already (job {job.id}, {job.type}).",
                hint=f"Watch it with `doce events {project.slug} -f`, or cancel it with `doce jobs cancel {job.id}`.",
                details={"job": job.id, "type": job.type},
            )
