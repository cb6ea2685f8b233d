"""Since when a project is idle: nobody watches, its agent rests, nothing waits."""

from __future__ import annotations

import peewee as pw

from doce.db.models import Prompt
from doce.presence import viewers
from doce.projects.views import ProjectView
from doce.queue import jobs


def idle_since(project: ProjectView, *, now_ms: int, stale_ms: int) -> int | None:
    """Epoch ms of the last thing that happened to an idle project; None for one that is not idle."""
    if project.agent != "idle" or project.queued_prompts or jobs.active(project.id):
        return None
    if viewers.count(project.id, now_ms=now_ms, stale_ms=stale_ms):
        return None
    ended = Prompt.select(pw.fn.MAX(Prompt.finished_at)).where(Prompt.project_id == project.id).scalar()
    return max(project.last_viewed_at or 0, project.updated_at, ended or 0)
