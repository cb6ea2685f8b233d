"""What a user prefers."""

from __future__ import annotations

import zoneinfo
from typing import Literal

from pydantic import BaseModel, ConfigDict

from doce.db.connection import database
from doce.db.models import UserSetting
from doce.errors import BadRequest

Verbosity = Literal["quiet", "normal", "full"]
Notifications = Literal["never", "long", "always"]


class Preferences(BaseModel):
    """`model` of new projects (None: the instance's), how much of a turn chat shows, when its end is told, and the zone of times."""

    model_config = ConfigDict(frozen=True)

    model: str | None = None
    verbosity: Verbosity = "normal"
    #: ``long``: after turns that took long
    notifications: Notifications = "long"
    time_zone: str = "UTC"


def of(user_id: str) -> Preferences:
    row = UserSetting.get_or_none(UserSetting.user_id == user_id)
    if row is None:
        return Preferences()
    return Preferences(model=row.model, verbosity=row.verbosity, notifications=row.notifications, time_zone=row.time_zone)


def change(user_id: str, **changes: object) -> Preferences:
    """Raises BadRequest for a time zone that nobody lives in."""
    if (zone := changes.get("time_zone")) is not None and str(zone) not in zoneinfo.available_timezones():
        raise BadRequest(f"{str(zone)[:60]!r} is no time zone.", hint="They are called Europe/Paris or America/New_York.")
    with database.atomic():
        made = Preferences.model_validate({**of(user_id).model_dump(), **changes})
        UserSetting.insert(user_id=user_id, **made.model_dump()).on_conflict("REPLACE").execute()
    return made
