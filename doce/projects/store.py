"""The rows of projects. Rows stay in here; what comes out are views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from doce import addresses
from doce.clock import Clock
from doce.db import hot
from doce.db.connection import database
from doce.db.models import Project
from doce.errors import Conflict, NotFound
from doce.events import log as events
from doce.events.vocabulary import ProjectStatusChanged, ProjectUpdated
from doce.naming import MAX_SLUG, free_slug
from doce.projects.status import PROJECT_TRANSITIONS, ProjectStatus, PromptState
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
            # All that begin alike at once (a number takes the place of the last few characters): the hundredth would look a hundred times.
            alike = Project.select(Project.slug).where(Project.slug % f"{slug[: MAX_SLUG - 10]}*", Project.deleted_at.is_null())
            taken = {row.slug for row in alike}
            row = Project.create(
                slug=free_slug(slug, taken.__contains__),
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
        rows = hot.projects("p.id = ?", (project_id,))
        if not rows:
            raise _gone()
        return self._view(rows[0])

    def exists(self, project_id: str) -> bool:
        """There is a live row, in whatever state."""
        return database.execute_sql("SELECT 1 FROM projects WHERE id = ? AND deleted_at IS NULL", (project_id,)).fetchone() is not None

    def page(self, seen_by: str | None, limit: int, before: str | None) -> tuple[list[ProjectView], str | None]:
        """The latest projects that `seen_by` belongs to (None: all) first; `before` is the id that ended the last page."""
        where, values = _seen_by(seen_by)
        if before:
            where, values = f"{where} AND p.id < ?", (*values, before)
        rows = hot.projects(where, (*values, limit + 1), "ORDER BY p.id DESC LIMIT ?")
        return [self._view(row) for row in rows[:limit]], rows[limit - 1]["id"] if len(rows) > limit else None

    def live(self, *statuses: ProjectStatus) -> list[ProjectView]:
        """Projects in these states."""
        marks = ", ".join("?" for _ in statuses)
        return [self._view(row) for row in hot.projects(f"p.status IN ({marks})", tuple(status.value for status in statuses))]

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

    def exact(self, seen_by: str | None, word: str) -> ProjectView | None:
        """The project with this id or slug, if there is one that `seen_by` belongs to (None: anybody's)."""
        where, values = _seen_by(seen_by)
        rows = hot.projects(f"(p.id = ? OR p.slug = ?) AND {where}", (word, word, *values))
        return self._view(rows[0]) if rows else None

    def candidates(self, seen_by: str | None) -> list[tuple[str, str, str]]:
        """(id, slug, name) of live projects that `seen_by` belongs to (None: all), latest first."""
        where, values = _seen_by(seen_by)
        sql = f"SELECT p.id, p.slug, p.name FROM projects p WHERE p.deleted_at IS NULL AND {where} ORDER BY p.id DESC"
        return [(row[0], row[1], row[2]) for row in database.execute_sql(sql, values).fetchall()]

    def owned(self, user_id: str) -> list[str]:
        """Ids of the live projects of this user."""
        sql = "SELECT id FROM projects WHERE deleted_at IS NULL AND owner_user_id = ?"
        return [str(row[0]) for row in database.execute_sql(sql, (user_id,)).fetchall()]

    def may_see(self, project_id: str, seen_by: str | None) -> bool:
        """It is there, and this user belongs to it (None: anybody's)."""
        where, values = _seen_by(seen_by)
        sql = f"SELECT 1 FROM projects p WHERE p.id = ? AND p.deleted_at IS NULL AND {where}"
        return database.execute_sql(sql, (project_id, *values)).fetchone() is not None

    def _row(self, project_id: str) -> Project:
        row = Project.get_or_none(Project.id == project_id, Project.deleted_at.is_null())
        if row is None:
            raise _gone()
        assert isinstance(row, Project)
        return row

    def _announce(self, row: Project) -> None:
        payload = ProjectStatusChanged(
            status=row.status,
            step=row.step,
            preview_url=self._preview_url(row.preview_port, row.status),
            error=row.error,
            hint=row.error_hint,
        )
        events.append(payload, project_id=row.id)
        project_id = str(row.id)
        database.after_commit(lambda: [listener(project_id) for listener in changed])

    def _preview_url(self, port: int | None, status: str) -> str | None:
        if port is None or status != ProjectStatus.RUNNING:
            return None
        return addresses.site_url(self._settings, port)

    def _view(self, row: dict[str, Any]) -> ProjectView:
        """`row` as `hot.projects` gives it."""
        message_id, first_state = row["first"] or (None, PromptState.QUEUED.value)
        tokens_in, tokens_out, cost = row["used"]
        return ProjectView(
            **{name: row[name] for name in hot.PLAIN if name != "status"},
            status=ProjectStatus(row["status"]),
            preview_url=self._preview_url(row["preview_port"], row["status"]),
            initial_prompt_sent=first_state not in (PromptState.QUEUED, PromptState.SENDING),
            user_prompt_message_id=message_id,
            user_prompt_completed=first_state == PromptState.COMPLETED,
            agent="working" if row["active"] else "idle",
            queued_prompts=row["queued"],
            usage=UsageView(input=tokens_in or 0, output=tokens_out or 0, cost=cost or 0.0),
        )


def _seen_by(user_id: str | None) -> tuple[str, tuple[str, ...]]:
    """(SQL, values) of the projects that somebody owns or is a member of; None: of all."""
    if user_id is None:
        return "1", ()
    member = "EXISTS (SELECT 1 FROM project_members m WHERE m.project_id = p.id AND m.user_id = ?)"
    return f"(p.owner_user_id = ? OR {member})", (user_id, user_id)


def _gone() -> NotFound:
    return NotFound("There is no such project.", hint="`doce list` shows yours.")
