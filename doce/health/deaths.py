"""Services that ended by themselves: how often, so that a broken one is given up and a restart of doce forgets nothing."""

from __future__ import annotations

from doce.db.connection import database
from doce.db.models import Death

DAY_MS = 24 * 3_600_000
#: Deaths of a service within `WINDOW_MS` after which it is given up.
MOST = 5
WINDOW_MS = 10 * 60_000


def note(project_id: str, service: str, *, now_ms: int, window_ms: int) -> int:
    """One more death; returns how many there were within `window_ms`. Forgets what is older than a day."""
    with database.atomic():
        Death.delete().where(Death.project_id == project_id, Death.at < now_ms - max(DAY_MS, window_ms)).execute()
        Death.create(project_id=project_id, service=service, at=now_ms)
        return count(project_id, service, after_ms=now_ms - window_ms)


def count(project_id: str, service: str, *, after_ms: int) -> int:
    """Deaths of a service since `after_ms`."""
    return int(Death.select().where(Death.project_id == project_id, Death.service == service, Death.at > after_ms).count())


def forget(project_id: str) -> None:
    """Begin to count anew: a person acted, or the project is given up."""
    Death.delete().where(Death.project_id == project_id).execute()


def of_last_day(project_id: str, *, now_ms: int) -> dict[str, int]:
    """Deaths within a day, by service."""
    sql = "SELECT service, count(*) FROM deaths WHERE project_id = ? AND at > ? GROUP BY service"
    return dict(database.execute_sql(sql, (project_id, now_ms - DAY_MS)).fetchall())
