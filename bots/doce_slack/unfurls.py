"""Links to this doce, shown as cards: only where whoever posted them may see the project."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import SplitResult, urlsplit

from doce import addresses
from doce.actions.projects import OfProject
from doce.actions.registry import ACTIONS, perform
from doce.auth.users import Person
from doce.errors import DoceError
from doce.projects.views import ProjectView
from doce_slack import blocks
from doce_slack.blocks import Block
from doce_slack.card import ICONS
from doce_slack.conversation import Conversation
from doce_slack.showing import state_of
from doce_slack.text import escaped, line
from doce_slack.workspaces import Workspace

logger = logging.getLogger(__name__)

#: Most projects whose addresses a link is compared with.
LOOKED = 200


class Unfurls:
    """`shared` answers one event; it changes nothing, so that doing it twice does no harm."""

    def __init__(self, conversation: Conversation) -> None:
        self._talk = conversation
        self._services, self._do = conversation.services, conversation.do

    async def shared(self, event: dict[str, Any], workspace: Workspace) -> None:
        person = await self._talk.people.who(workspace.team, str(event.get("user") or ""))
        links = [str(one.get("url", "")) for one in event.get("links", [])][:10]
        if person is None or not links:
            return
        cards = await self._do(self._cards, person, links)
        if not cards:
            return
        posted = event.get("channel") not in (None, "", "COMPOSER")
        where = {"channel": event["channel"], "ts": event["message_ts"]} if posted else {}
        where = where or {"unfurl_id": event.get("unfurl_id"), "source": event.get("source")}
        await workspace.attempt("chat.unfurl", fine=("cannot_unfurl_url", "message_not_found"), unfurls=cards, **where)

    def _cards(self, person: Person, links: list[str]) -> dict[str, Any]:
        found = {}
        for link in links:
            try:
                project = self._project(person, urlsplit(link.replace("&amp;", "&")))
            except (DoceError, ValueError):
                continue
            if project is not None:
                found[link] = {"blocks": self._card(project)}
        return found

    def _project(self, person: Person, link: SplitResult) -> ProjectView | None:
        """The project that a link leads to. Raises NotFound, Forbidden, ValueError."""
        ours = urlsplit(addresses.doce_url(self._services.settings))
        base = ours.path.rstrip("/")
        if (link.scheme, link.netloc) == (ours.scheme, ours.netloc) and link.path.startswith(f"{base}/projects/"):
            word = link.path.removeprefix(f"{base}/projects/").partition("/")[0]
            if not word:
                return None
            project: ProjectView = perform(ACTIONS["projects.get"], self._services, person, OfProject(project=word))
            # The beginning of a name is for people to type; a link says all of it.
            return project if word in (project.slug, project.id) else None
        if link.port and link.hostname == urlsplit(addresses.site_url(self._services.settings, link.port)).hostname:
            return self._of_site(person, link.port)
        return None

    def _of_site(self, person: Person, port: int) -> ProjectView | None:
        """The project whose preview or deployed site listens there."""
        for project in self._services.projects.list(None if person.is_admin else person.id, limit=LOOKED).items:
            if port == project.preview_port or port == self._services.productions.view(project.id).port:
                return project
        return None

    def _card(self, project: ProjectView) -> list[Block]:
        production = self._services.productions.view(project.id)
        word = state_of(self._services, project)
        live = f"<{production.url}|live v{production.version}>" if production.url else "no deploy yet"
        return [
            blocks.section(f"*{escaped(project.name)}*  ·  {ICONS[word]} {word}\n> {escaped(line(project.description, 200))}"),
            blocks.context(f"{live} · `{project.slug}`"),
            *blocks.actions(
                blocks.button("Preview", "preview", url=project.preview_url) if project.preview_url else None,
                blocks.button("Live site", "visit", url=production.url) if production.url else None,
                blocks.button("Open in doce", "open", url=f"{addresses.doce_url(self._services.settings)}/projects/{project.slug}"),
            ),
        ]
