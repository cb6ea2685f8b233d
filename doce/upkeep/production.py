"""What was deployed keeps being served: rows follow the link, and a server that is gone is started again."""

from __future__ import annotations

from doce.db.models import Project
from doce.productions.deployments import PIPELINE
from doce.productions.stack import WEB
from doce.projects import templates
from doce.projects.views import ProjectView
from doce.queue import jobs
from doce.queue.handlers.work import Work
from doce.queue.types import JobType, ProductionStart

#: A server that does not stay up is not started more often than this, ms.
AGAIN_MS = 10_000


def mend_production(work: Work, project: ProjectView) -> ProductionStart | None:
    """The job that a project's deployment lacks, if any. One that a job works on is left to it."""
    row = Project.get_or_none(Project.id == project.id)
    live = work.productions.layout(project.id).live()
    if row is None or row.production_started_at is None or live is None or any(job.type in PIPELINE for job in jobs.active(project.id)):
        return None
    if live != row.production_hash:
        # A doce was killed between the switch and the row.
        work.productions.record(project.id, production_hash=live, production_error=None)
    wanted = {WEB, *([f"release-{live}"] if templates.get(project.template).kind == "server" else [])}
    running = {state.service for state in work.runtime.ps(project.id) if state.state == "running"}
    if wanted <= running or _lately(work, project.id):
        return None
    return ProductionStart(project_id=project.id, production_hash=live)


def _lately(work: Work, project_id: str) -> bool:
    """It was started a moment ago."""
    last = jobs.list(project_id=project_id, type=JobType.PRODUCTION_START.value, limit=1)
    return bool(last) and work.clock.now_ms() - last[0].created_at < AGAIN_MS
