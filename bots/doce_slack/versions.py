"""Which version of a site a message of a thread is about."""

from __future__ import annotations

from doce.actions.services import Services
from doce.events import log
from doce_slack.deploys import UNDER_WAY


def version_at(services: Services, project_id: str, about: str) -> int | None:
    """Of a deploy what it put online, of a turn the last that was built of it before the next turn. None: there is none."""
    kind, _, id = about.partition(":")
    if kind == "deploy" and id.isdigit():
        return _deployed(services, project_id, int(id))
    return _after_turn(services, project_id, id) if kind == "turn" else None


def _deployed(services: Services, project_id: str, seq: int) -> int | None:
    for event in log.of_types(project_id, ("production.status",), seq - 1):
        told = event.payload
        if told.get("status") not in UNDER_WAY and not told.get("step"):
            hash = told.get("hash") if told.get("status") == "running" else None
            kept = services.productions.releases.kept(project_id)
            return next((one.version for one in kept if one.hash == hash), None)
    return None


def _after_turn(services: Services, project_id: str, prompt_id: str) -> int | None:
    prompt = services.prompts.get(prompt_id)
    if prompt.finished_at is None:
        return None
    later = log.of_types(project_id, ("chat.prompt.sent",), prompt.seq)
    until = next((event.at for event in later if event.prompt_id != prompt_id), None)
    for one in services.productions.releases.kept(project_id):
        if one.created_at >= prompt.finished_at and (until is None or one.created_at < until):
            return one.version
    return None
