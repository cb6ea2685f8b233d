"""Presence: say that somebody watches."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from doce.actions.projects import OfProject
from doce.actions.registry import Call, action
from doce.presence.presence import PresenceView


class Heartbeat(OfProject):
    viewer_id: str = Field(
        min_length=1,
        max_length=100,
        pattern=r"^[A-Za-z0-9._:-]+$",
        description="Who watches: any name of the viewer's own, always the same.",
    )
    door: Literal["web", "slack", "notebook", "cli"] = Field("web", description="Through which door.")


@action("presence.touch", input=Heartbeat, output=PresenceView, role="viewer", method="POST", path="/api/projects/{project}/presence")
def touch(call: Call, given: Heartbeat) -> PresenceView:
    """Say that somebody watches a project; wakes one that slept because nobody did."""
    return call.services.presence.touch(call.project.id, given.viewer_id, call.user.id, given.door)
