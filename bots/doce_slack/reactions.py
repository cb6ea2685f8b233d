"""Reactions on doce's own messages, by those who may: a stop sign stops, a rocket deploys, arrows in a circle try again."""

from __future__ import annotations

from doce.auth.users import Person
from doce.chats.claims import Claim
from doce.chats.messages import Message
from doce.chats.threads import Thread
from doce.errors import Conflict, DoceError
from doce_slack.calls import Lost
from doce_slack.conversation import Conversation
from doce_slack.people import NotLinked
from doce_slack.replies import Asker
from doce_slack.saying import Saying
from doce_slack.workspaces import KIND, Workspace

#: Slack's names of them, and what they mean.
MEANINGS = {
    "octagonal_sign": "stop", "stop_sign": "stop", "stop": "stop", "rocket": "deploy", "repeat": "retry",
    "arrows_counterclockwise": "retry",
}  # fmt: skip


class Reactions:
    """`reacted` does one and settles its claim; all others mean nothing."""

    def __init__(self, conversation: Conversation) -> None:
        self._talk = conversation
        self._services, self._do = conversation.services, conversation.do

    async def reacted(self, claim: Claim, workspace: Workspace) -> None:
        event = claim.payload["event"]
        meaning = MEANINGS.get(str(event.get("reaction", "")).partition("::")[0])
        user = str(event.get("user") or "")
        found: tuple[Thread, Message] | None = None
        if meaning and user != workspace.bot_user:
            found = await self._do(self._message, claim.team, claim.channel, str(event["item"]["ts"]))
        if meaning is None or found is None:
            await self._talk.settle(claim, "nothing to do")
            return
        thread, message = found
        asker = Asker(workspace, claim.channel, user, thread.root)
        try:
            person, _ = await self._talk.people.acting(claim.team, user, claim.channel)
            await self._act(claim, asker, person, thread, message, meaning)
        except Lost:
            raise
        except DoceError as error:
            if await self._talk.settle(claim, error.code) and not isinstance(error, NotLinked):
                await asker.error(error)

    def _message(self, team: str, channel: str, ts: str) -> tuple[Thread, Message] | None:
        message = self._services.chats.messages.find(KIND, team, channel, ts)
        thread = self._services.chats.threads.get(message.thread_id) if message else None
        return (thread, message) if thread and message and thread.closed_at is None else None

    async def _act(self, claim: Claim, asker: Asker, person: Person, thread: Thread, message: Message, meaning: str) -> None:
        kind, _, id = message.about.partition(":")
        if meaning == "stop":
            active = await self._do(self._services.prompts.active, thread.project_id)
            if kind == "turn" and active is not None and active.id != id:
                raise Conflict("That turn is over.", hint="React to the newest message, or write `stop`.")
            await self._talk.stop(claim, person, thread.project_id)
        elif meaning == "deploy" or kind == "deploy":
            await self._talk.command(claim, asker, person, thread.project_id, Saying("deploy"))
        else:
            await self._talk.again(claim, asker, person, thread.project_id, id if kind == "turn" else None)
