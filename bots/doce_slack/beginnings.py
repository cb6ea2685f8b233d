"""How threads begin: with a new project, or on one that is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from doce.actions.projects import Create
from doce.actions.prompts import Chat
from doce.actions.registry import ACTIONS, Input, perform
from doce.auth.users import Person
from doce.chats.claims import Claim
from doce.chats.threads import Thread
from doce.events import log
from doce.projects.views import ProjectView, PromptView
from doce_slack import blocks
from doce_slack.blocks import Block
from doce_slack.replies import Asker
from doce_slack.workspaces import KIND

if TYPE_CHECKING:
    from doce_slack.conversation import Conversation


class Beginnings:
    """Each gives the new thread, whose telling has begun; None: the claim was settled before."""

    def __init__(self, talk: Conversation) -> None:
        self._talk, self._services, self._teller = talk, talk.services, talk.teller

    async def project(
        self, claim: Claim, asker: Asker, person: Person, given: Create | Input, *, root: str | None, ts: str | None
    ) -> Thread | None:
        """A new project with a thread of its own: on `root`, or on the card that is posted for it."""
        made: list[Thread] = []

        def do() -> None:
            project: ProjectView = perform(ACTIONS["projects.create"], self._services, person, given)
            thread = self._services.chats.threads.begin(
                KIND, claim.team, asker.channel, root, project_id=project.id, user_id=person.id, external_user=asker.user
            )
            prompt = self._services.prompts.next(project.id)
            assert prompt
            self._services.chats.threads.asked(prompt.id, thread.id, ts=ts, external_user=asker.user)
            made.append(thread)

        return await self._begun(claim, "new project", do, made)

    async def chat(
        self, claim: Claim, asker: Asker, person: Person, project_id: str, text: str, attached: list[Any], *, root: str | None,
        ts: str | None,
    ) -> Thread | None:  # fmt: skip
        """A new thread on a project that is there, with a prompt."""
        made: list[Thread] = []

        def do() -> None:
            thread = self._thread(claim, asker, person, project_id, root)
            given = Chat(project=thread.project_id, text=text, model=None, attachments=attached)
            prompt: PromptView = perform(ACTIONS["prompts.add"], self._services, person, given)
            self._services.chats.threads.asked(prompt.id, thread.id, ts=ts, external_user=asker.user)
            made.append(thread)

        return await self._begun(claim, "new thread", do, made)

    async def silently(self, claim: Claim, asker: Asker, person: Person, project_id: str) -> Thread | None:
        """A new thread on a project, in this channel; nothing is asked yet."""
        made: list[Thread] = []
        return await self._begun(claim, "new thread", lambda: made.append(self._thread(claim, asker, person, project_id, None)), made)

    def _thread(self, claim: Claim, asker: Asker, person: Person, project_id: str, root: str | None) -> Thread:
        """One that tells what happens from now on."""
        project: ProjectView = self._talk.perform(person, "projects.get", project=project_id)
        return self._services.chats.threads.begin(
            KIND, claim.team, asker.channel, root, project_id=project.id, user_id=person.id, external_user=asker.user,
            cursor=log.last_seq(project.id),
        )  # fmt: skip

    async def _begun(self, claim: Claim, outcome: str, do: Callable[[], None], made: list[Thread]) -> Thread | None:
        if not await self._talk.settle(claim, outcome, do):
            return None
        self._teller.added(made[0])
        return made[0]


def greeting() -> tuple[str, list[Block]]:
    """(plain text, blocks) for who has not said yet what they want."""
    text = (
        "Tell me in a sentence what you want, and I make it a site: `new a portfolio for a ceramicist`. "
        "In the thread that follows, just write; `help` there says what else there is. `/doce help` lists everything."
    )
    return text, [blocks.section(text), *blocks.actions(blocks.button("New site", "new", style="primary"))]
