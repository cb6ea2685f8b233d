"""Projects, shown to who asked: lists in pages, and one with what leads to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from doce.actions.projects import Listing, OfProject
from doce.actions.registry import ACTIONS, perform
from doce.actions.services import Services
from doce.auth.users import Person
from doce.chats.claims import Claim
from doce.errors import NotFound
from doce.projects.views import Page, ProjectView
from doce_slack import listing
from doce_slack.blocks import Block
from doce_slack.card import RUNNING, state
from doce_slack.replies import Asker

if TYPE_CHECKING:
    from doce_slack.conversation import Conversation

#: Projects that are looked through for those that run.
LOOKED = 200


async def projects(
    talk: Conversation, claim: Claim, asker: Asker, person: Person, which: str, before: str | None = None, *, replace: bool = False
) -> None:
    """A page of them, and the end of the claim. `which`: mine, all or running; `replace` the page that was there."""
    services = talk.services

    def page() -> tuple[list[tuple[ProjectView, str]], str | None]:
        if which == "all":
            given = Listing(limit=listing.PAGE, before=before)
            found: Page[ProjectView] = perform(ACTIONS["projects.list"], services, person, given)
        else:
            found = services.projects.list(person.id, limit=listing.PAGE if which == "mine" else LOOKED, before=before)
        made = [(one, state_of(services, one)) for one in found.items]
        return ([row for row in made if row[1] in RUNNING][: listing.PAGE], None) if which == "running" else (made, found.next)

    if which not in listing.WHICH:
        raise NotFound("This button means nothing any more.", hint="`/doce list` is the list of now.")
    rows, following = await talk.do(page)
    text, body = listing.listed(which, rows, following, first=before is None, now=services.clock.now_ms())
    if await talk.settle(claim, "list"):
        await asker.tell(text, body, replace=replace)


async def project(talk: Conversation, claim: Claim, asker: Asker, person: Person, word: str, said: str = "") -> None:
    """One, and the end of the claim. `said` is what was filled in."""
    services = talk.services

    def look() -> tuple[str, list[Block]]:
        found = perform(ACTIONS["projects.get"], services, person, OfProject(project=word))
        return listing.opened(services.settings, found, services.productions.view(found.id), state_of(services, found), said)

    text, body = await talk.do(look)
    if await talk.settle(claim, "open"):
        await asker.tell(text, body)


def state_of(services: Services, found: ProjectView) -> str:
    """One word for how a project is."""
    asks = found.agent == "working" and bool(services.requests.pending(found.id))
    return state(found, services.productions.view(found.id), asks=asks)
