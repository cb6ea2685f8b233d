"""The root card of a thread: the project's name and state, and what can be done with it; edited as that changes."""

from __future__ import annotations

from doce import addresses
from doce.productions.deployments import ProductionStatus, ProductionView
from doce.projects.status import ProjectStatus
from doce.projects.views import ProjectView
from doce.settings import Settings
from doce_slack import blocks
from doce_slack.blocks import Block
from doce_slack.text import escaped, line

ICONS = {
    "building": ":hammer_and_wrench:", "idle": ":white_circle:", "needs you": ":raised_hand:", "deploying": ":rocket:",
    "live": ":large_green_circle:", "failed": ":red_circle:", "stopped": ":black_circle:", "sleeping": ":zzz:", "deleted": ":wastebasket:",
    "starting": ":hourglass_flowing_sand:", "deleting": ":hourglass_flowing_sand:",
}  # fmt: skip

#: States in which something is going on.
RUNNING = ("building", "starting", "deploying", "needs you")


def state(project: ProjectView, production: ProductionView, *, asks: bool) -> str:
    """One word for how a project is."""
    if project.status is ProjectStatus.DELETING:
        return "deleting"
    if project.status is ProjectStatus.ERROR:
        return "failed"
    if asks:
        return "needs you"
    if production.status in (ProductionStatus.QUEUED, ProductionStatus.BUILDING):
        return "deploying"
    if project.agent == "working":
        return "building"
    if project.status in (ProjectStatus.CREATED, ProjectStatus.STARTING):
        return "starting"
    if production.url:
        return "live"
    if project.status is ProjectStatus.RUNNING:
        return "idle"
    return "stopped" if project.stopped_by_user else "sleeping"


def card(
    settings: Settings, project: ProjectView, production: ProductionView, *, by: str, asks: bool, prompt: str
) -> tuple[str, list[Block]]:
    """(plain text, blocks). `by` is the chat user who began the thread."""
    word = state(project, production, asks=asks)
    url = f"{addresses.doce_url(settings)}/projects/{project.slug}"
    title = f"*{escaped(project.name)}*  ·  {ICONS[word]} {word}"
    if project.step and word == "starting":
        title += f" ({escaped(project.step)})"
    body = [blocks.section(f"{title}\n> {escaped(line(prompt, 300))}", _menu(project))]
    if project.error:
        body.append(blocks.section(f":warning: {escaped(' '.join(part for part in (project.error, project.error_hint) if part))}"))
    live = f"<{production.url}|live v{production.version}>" if production.url else "no deploy yet"
    rehearsed = " (rehearsal, a script)" if project.model.startswith("rehearsal/") else ""
    body.append(blocks.context(f"by <@{by}> · {escaped(project.model)}{rehearsed} · {live} · `{project.slug}`"))
    busy = word in ("building", "starting", "needs you")
    can_deploy = word in ("idle", "live") or (word in ("stopped", "sleeping") and project.user_prompt_completed)
    replaces = f"Replace v{production.version} at {production.url}?" if production.url else None
    body += blocks.actions(
        blocks.button("Preview", "preview", url=project.preview_url) if project.preview_url else None,
        blocks.button("Deploy", "deploy", project.id, style="primary", ask=replaces) if can_deploy else None,
        blocks.button("Rollback", "rollback", project.id) if len([one for one in production.releases if not one.pruned]) > 1 else None,
        blocks.button("Open in doce", "open", url=url),
        blocks.button("Try again", "start", project.id) if word == "failed" else None,
        blocks.button("Start", "start", project.id) if word == "stopped" else None,
        blocks.button("Stop", "stop", project.id, style="danger") if busy else None,
    )
    return f"doce · {project.slug} — {word}", body


def _menu(project: ProjectView) -> Block:
    names = (("Rename", "rename"), ("Logs", "logs"), ("Versions", "versions"), ("Model", "model"), ("Delete…", "delete"))
    return blocks.overflow("menu", [blocks.option(name, f"{word}:{project.id}") for name, word in names])


def going(name: str) -> tuple[str, list[Block]]:
    """The card of a project while it is deleted: nothing can be done with it any more."""
    return _left(name, "deleting", "Its files, versions and address are being removed.")


def gone(name: str) -> tuple[str, list[Block]]:
    """What is left of the card of a deleted project."""
    return _left(name, "deleted", "Its files, versions and address are gone.")


def _left(name: str, word: str, rest: str) -> tuple[str, list[Block]]:
    return f"doce · {name} — {word}", [blocks.section(f"*{escaped(name)}*  ·  {ICONS[word]} {word}"), blocks.context(rest)]
