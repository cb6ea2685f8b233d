"""The rows of projects. Rows stay in here; what comes out are views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peewee as pw

from doce import addresses
from doce.clock import Clock
from doce.db.connection import database
from doce.db.models import Project, Prompt, Usage
from doce.errors import Conflict, NotFound
from doce.events import log as events
from doce.events.vocabulary import ProjectStatusChanged, ProjectUpdated
from doce.naming import free_slug
from doce.projects.status import ACTIVE, PROJECT_TRANSITIONS, ProjectStatus, PromptState
from doce.projects.views import ProjectView, UsageView
from doce.settings import Settings

#: Called after a project changed, in the thread that committed; the relay keeper listens here.
changed: list[Callable[[str], None]] = []

#: Statuses in which services may be running.
LIVE = (ProjectStatus.STARTING, ProjectStatus.RUNNING, ProjectStatus.STOPPING, ProjectStatus.ERROR)


class ProjectStore:
    """Reads and changes project rows; every change of status is an event in the same transaction."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    def insert(self, *, slug: str, **columns: Any) -> ProjectView:
        """A new row, under the first free slug."""
        now = self._clock.now_ms()
        with database.atomic():
            taken: Callable[[str], bool] = lambda slug: Project.select().where(Project.slug == slug, Project.deleted_at.is_null()).exists()  # noqa: E731
            row = Project.create(
                slug=free_slug(slug, taken),
                status=ProjectStatus.CREATED.value,
                step="waiting for a worker",
                created_at=now,
                updated_at=now,
                **columns,
            )
            self._announce(row)
        return self.get(row.id)

    def get(self, project_id: str) -> ProjectView:
        """Raises NotFound for one that is not there or is deleted."""
        return self._view(self._row(project_id))

    def exists(self, project_id: str) -> bool:
        """There is a live row, in whatever state."""
        return bool(Project.select().where(Project.id == project_id, Project.deleted_at.is_null()).exists())

    def page(self, owner: str | None, limit: int, before: str | None) -> tuple[list[ProjectView], str | None]:
        """The latest projects first; `before` is the id that ended the last page."""
        query = Project.select().where(Project.deleted_at.is_null())
        if owner:
            query = query.where(Project.owner_user_id == owner)
        if before:
            query = query.where(Project.id < before)
        rows = list(query.order_by(Project.id.desc()).limit(limit + 1))
        return [self._view(row) for row in rows[:limit]], rows[limit - 1].id if len(rows) > limit else None

    def live(self, *statuses: ProjectStatus) -> list[ProjectView]:
        """Projects in these states."""
        rows = Project.select().where(Project.deleted_at.is_null(), Project.status.in_([status.value for status in statuses]))
        return [self._view(row) for row in rows]

    def update(self, project_id: str, **columns: Any) -> None:
        """Change columns that are not the status."""
        Project.update(**columns, updated_at=self._clock.now_ms()).where(Project.id == project_id).execute()

    def set_status(
        self,
        project_id: str,
        status: ProjectStatus,
        *,
        step: str | None = None,
        error: str | None = None,
        hint: str | None = None,
    ) -> None:
        """Move to `status` and tell it. Staying in the same one only updates step and error.

        Raises Conflict for a move that `PROJECT_TRANSITIONS` does not know, NotFound for a project that is gone.
        """
        with database.atomic():
            row = self._row(project_id)
            current = ProjectStatus(row.status)
            if status is not current and status not in PROJECT_TRANSITIONS[current]:
                raise Conflict(f"{row.name} is {current.value}; it cannot become {status.value} now.")
            if (current, row.step, row.error, row.error_hint) == (status, step, error, hint):
                return
            row.status, row.step, row.error, row.error_hint = status.value, step, error, hint
            row.updated_at = self._clock.now_ms()
            row.save(only=[Project.status, Project.step, Project.error, Project.error_hint, Project.updated_at])
            self._announce(row)

    def rename(self, project_id: str, *, name: str | None = None, model: str | None = None) -> ProjectView:
        """Another name or model; the slug stays, since addresses are made of it."""
        with database.atomic():
            row = self._row(project_id)
            row.name, row.model = name or row.name, model or row.model
            row.updated_at = self._clock.now_ms()
            row.save(only=[Project.name, Project.model, Project.updated_at])
            events.append(ProjectUpdated(name=row.name, slug=row.slug, model=row.model), project_id=project_id)
        return self.get(project_id)

    def candidates(self, owner: str | None) -> list[tuple[str, str, str]]:
        """(id, slug, name) of live projects, latest first."""
        query = Project.select(Project.id, Project.slug, Project.name).where(Project.deleted_at.is_null())
        if owner:
            query = query.where(Project.owner_user_id == owner)
        return [(row.id, row.slug, row.name) for row in query.order_by(Project.id.desc())]

    def _row(self, project_id: str) -> Project:
        row = Project.get_or_none(Project.id == project_id, Project.deleted_at.is_null())
        if row is None:
            raise NotFound("There is no such project.", hint="`doce list` shows yours.")
        assert isinstance(row, Project)
        return row

    def _announce(self, row: Project) -> None:
        payload = ProjectStatusChanged(
            status=row.status, step=row.step, preview_url=self._preview_url(row), error=row.error, hint=row.error_hint
        )
        events.append(payload, project_id=row.id)
        project_id = str(row.id)
        database.after_commit(lambda: [listener(project_id) for listener in changed])

    def _preview_url(self, row: Project) -> str | None:
        if row.preview_port is None or row.status != ProjectStatus.RUNNING:
            return None
        return addresses.site_url(self._settings, row.preview_port)

    def _view(self, row: Project) -> ProjectView:
        first = (
            Prompt.select(Prompt.message_id, Prompt.state).where(Prompt.project_id == row.id).order_by(Prompt.id).limit(1).tuples().first()
        )
        message_id, first_state = first or (None, PromptState.QUEUED.value)
        sql = "SELECT state, count(*) FROM prompts WHERE project_id = ? AND state IN ('queued', 'sending', 'sent') GROUP BY state"
        counts: dict[str, int] = dict(database.execute_sql(sql, (row.id,)).fetchall())
        sums = (
            Usage.select(pw.fn.SUM(Usage.input_tokens), pw.fn.SUM(Usage.output_tokens), pw.fn.SUM(Usage.cost))
            .where(Usage.project_id == row.id)
            .tuples()
            .first()
        )
        return ProjectView(
            **{name: getattr(row, name) for name in _PLAIN},
            status=ProjectStatus(row.status),
            preview_url=self._preview_url(row),
            initial_prompt_sent=first_state not in (PromptState.QUEUED, PromptState.SENDING),
            user_prompt_message_id=message_id,
            user_prompt_completed=first_state == PromptState.COMPLETED,
            agent="working" if any(state.value in counts for state in ACTIVE) else "idle",
            queued_prompts=counts.get(PromptState.QUEUED.value, 0),
            usage=UsageView(input=sums[0] or 0, output=sums[1] or 0, cost=sums[2] or 0.0),
        )


_PLAIN = (
    "id", "owner_user_id", "name", "slug", "description", "prompt", "template", "step", "error", "error_hint", "model", "preview_port",
    "opencode_port", "path", "bootstrap_session_id", "stopped_by_user", "last_viewed_at", "created_at", "updated_at",
)  # fmt: skip
