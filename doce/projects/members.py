"""Who else belongs to a project: editors and viewers. Its owner is in its row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from doce.clock import Clock
from doce.db.connection import database
from doce.db.models import Project, ProjectMember, User
from doce.errors import BadRequest, NotFound

#: What a member may: look, or everything but delete, members and money.
MemberRole = Literal["viewer", "editor"]
#: What each may, the least first.
RANKS = ("viewer", "editor", "owner")


@dataclass(frozen=True, slots=True)
class Member:
    """A person of a project. `since` is epoch ms, None for the owner."""

    user_id: str
    name: str
    role: Literal["viewer", "editor", "owner"]
    since: int | None


class Members:
    """Looks and changes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def role_of(self, project_id: str, user_id: str) -> str | None:
        """``owner``, ``editor``, ``viewer``; None for somebody who does not belong to it."""
        sql = """
            SELECT CASE WHEN p.owner_user_id = ? THEN 'owner' ELSE
                   (SELECT m.role FROM project_members m WHERE m.project_id = p.id AND m.user_id = ?) END
              FROM projects p WHERE p.id = ? AND p.deleted_at IS NULL
        """
        row = database.execute_sql(sql, (user_id, user_id, project_id)).fetchone()
        return str(row[0]) if row and row[0] else None

    def list(self, project_id: str) -> list[Member]:
        """The owner first, then by name."""
        project = Project.get_by_id(project_id)
        sql = """
            SELECT u.id, u.name, m.role, m.created_at FROM project_members m JOIN users u ON u.id = m.user_id
             WHERE m.project_id = ? ORDER BY u.name
        """
        rows = database.execute_sql(sql, (project_id,)).fetchall()
        owner = User.get_by_id(project.owner_user_id)
        return [Member(owner.id, owner.name, "owner", None), *(Member(*row) for row in rows)]

    def set(self, project_id: str, user_id: str, role: MemberRole) -> None:
        """Let somebody in, or change what they may. Raises BadRequest for the owner."""
        with database.atomic():
            if self.role_of(project_id, user_id) == "owner":
                raise BadRequest("The owner needs no membership.", hint="`doce members transfer` gives the project to somebody else.")
            made = ProjectMember.insert(project_id=project_id, user_id=user_id, role=role, created_at=self._clock.now_ms())
            made.on_conflict(conflict_target=["project_id", "user_id"], update={"role": role}).execute()

    def remove(self, project_id: str, user_id: str) -> None:
        """Raises NotFound for somebody who is no member."""
        mine = (ProjectMember.project_id == project_id) & (ProjectMember.user_id == user_id)
        if not ProjectMember.delete().where(mine).execute():
            raise NotFound("This person is no member of the project.", hint="`doce members list` shows who is.")

    def transfer(self, project_id: str, user_id: str) -> None:
        """Give the project to somebody; its owner until now stays as an editor."""
        with database.atomic():
            before = Project.get_by_id(project_id).owner_user_id
            if before == user_id:
                return
            ProjectMember.delete().where(ProjectMember.project_id == project_id, ProjectMember.user_id == user_id).execute()
            Project.update(owner_user_id=user_id, updated_at=self._clock.now_ms()).where(Project.id == project_id).execute()
            self.set(project_id, before, "editor")
