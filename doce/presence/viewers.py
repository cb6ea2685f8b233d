"""The rows of viewers. They are in the database, so every process of doce counts the same ones, also after a restart."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from doce.db.connection import database
from doce.db.models import Project, Viewer
from doce.events import log as events
from doce.events.vocabulary import ViewerCount


@dataclass(frozen=True, slots=True)
class Seen:
    """Somebody who watches a project right now."""

    viewer_id: str
    user_id: str | None
    #: ``stream``, ``web``, ``slack``, ``notebook``, ``cli``
    door: str


def note(project_id: str, *, now_ms: int, stale_ms: int, seen: Iterable[Seen] = (), gone: Collection[str] = ()) -> int:
    """Take down who was seen, and strike out who went or gave no sign for `stale_ms`. Returns how many watch now.

    A change of that number is told as `viewer.count` in the same transaction.
    """
    with database.atomic():
        before = _rows(project_id)
        Viewer.delete().where(Viewer.project_id == project_id, Viewer.seen_at <= now_ms - stale_ms).execute()
        if gone:
            Viewer.delete().where(Viewer.project_id == project_id, Viewer.viewer_id.in_(list(gone))).execute()
        here = list(seen)
        for one in here:
            database.execute_sql(_SEEN, (project_id, one.viewer_id, one.user_id, one.door, now_ms))
        if here or gone:
            # Not by the store: that somebody looks is no change of the project.
            Project.update(last_viewed_at=now_ms).where(Project.id == project_id).execute()
        after = _rows(project_id)
        if after != before:
            events.append(ViewerCount(count=after), project_id=project_id)
    return after


def count(project_id: str, *, now_ms: int, stale_ms: int) -> int:
    """How many watch."""
    return int(Viewer.select().where(Viewer.project_id == project_id, Viewer.seen_at > now_ms - stale_ms).count())


def with_stale(*, now_ms: int, stale_ms: int) -> list[str]:
    """Projects that somebody left without a word."""
    rows = Viewer.select(Viewer.project_id).where(Viewer.seen_at <= now_ms - stale_ms).distinct()
    return [row.project_id for row in rows]


def forget(project_id: str) -> None:
    """Nobody watches what is deleted."""
    Viewer.delete().where(Viewer.project_id == project_id).execute()


_SEEN = "INSERT OR REPLACE INTO viewers (project_id, viewer_id, user_id, door, seen_at) VALUES (?, ?, ?, ?, ?)"


def _rows(project_id: str) -> int:
    return int(Viewer.select().where(Viewer.project_id == project_id).count())
