"""What people take back or change after they said it: edits, deletions, and Slack's own stop button."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from doce.actions import words
from doce.actions.prompts import Edit, OfPrompt
from doce.actions.registry import ACTIONS, perform
from doce.chats.claims import Claim
from doce.chats.threads import Thread
from doce.errors import DoceError
from doce_slack import context, heard, saying
from doce_slack.calls import Lost
from doce_slack.conversation import Conversation
from doce_slack.listener import Listener
from doce_slack.replies import Asker
from doce_slack.workspaces import KIND, Workspace


class Changes:
    """`edited`, `deleted`, `stopped`: each does what one claim asks, and settles it."""

    def __init__(self, conversation: Conversation, listener: Listener) -> None:
        self._talk, self._listener = conversation, listener
        self._services, self._people, self._do = conversation.services, conversation.people, conversation.do

    async def edited(self, claim: Claim, workspace: Workspace) -> None:
        """A person changed a message: if its prompt still waits, that changes; a mention that was added counts as one."""
        event = claim.payload["event"]
        message, before = event["message"], event.get("previous_message") or {}
        user, text = str(message.get("user") or ""), str(message.get("text") or "")
        if heard.removed(event):
            await self._change(claim, workspace, {**before, "ts": message.get("ts")}, str(before.get("user") or ""), None)
        elif await self._change(claim, workspace, message, user, text):
            return
        elif heard.mentions(text, workspace.bot_user) and not heard.mentions(str(before.get("text") or ""), workspace.bot_user):
            said = {**message, "type": "app_mention", "channel": claim.channel, "channel_type": event.get("channel_type")}
            await self._listener.message(replace(claim, payload={**claim.payload, "event": said}), workspace)
        else:
            await self._talk.settle(claim, "not for doce")

    async def deleted(self, claim: Claim, workspace: Workspace) -> None:
        """A person took a message back: if its prompt still waits, it is taken out of the queue."""
        event = claim.payload["event"]
        gone = event.get("previous_message") or {}
        if not await self._change(claim, workspace, {**gone, "ts": event.get("deleted_ts")}, str(gone.get("user") or ""), None):
            await self._talk.settle(claim, "not for doce")

    async def _change(self, claim: Claim, workspace: Workspace, message: dict[str, Any], user: str, text: str | None) -> bool:
        """False when the message is no prompt of anybody's; else it is settled."""
        root = str(message.get("thread_ts") or message.get("ts"))
        thread = await self._do(self._services.chats.threads.at, KIND, claim.team, claim.channel, root)
        prompt_id = await self._do(self._services.chats.threads.prompt_of, thread.id, str(message.get("ts"))) if thread else None
        if thread is None or prompt_id is None:
            return False
        asker = Asker(workspace, claim.channel, user, root)
        try:
            person, _ = await self._people.acting(claim.team, user, claim.channel)
            spoken = None if text is None else await self._respoken(asker, thread, prompt_id, message, text)

            def do() -> None:
                if spoken is None:
                    perform(ACTIONS["prompts.remove"], self._services, person, OfPrompt(project=thread.project_id, prompt=prompt_id))
                else:
                    change = Edit(project=thread.project_id, prompt=prompt_id, text=spoken)
                    perform(ACTIONS["prompts.edit"], self._services, person, change)

            await self._talk.settle(claim, "changed", do)
        except DoceError as error:
            if isinstance(error, Lost):
                raise
            # The agent has it already: what was changed is another message's matter.
            await self._talk.settle(claim, error.code)
            if text is not None:
                await asker.error(error)
        return True

    async def _respoken(self, asker: Asker, thread: Thread, prompt_id: str, message: dict[str, Any], text: str) -> str | None:
        """The prompt of a message that says something else now; None when it is not for doce any more."""
        spoken = heard.spoken(text, bot_user=asker.workspace.bot_user, names=await self._people.names(asker.workspace, text))
        quoted = context.of((await self._do(self._services.prompts.get, prompt_id)).text)
        if quoted or message.get("thread_ts") in (None, message.get("ts")):
            # It began the thread, here or in somebody else's: its first word may have been a command's.
            first, rest = words.first_word(spoken)
            return f"{rest if first.lower() in ('new', 'create') and rest else spoken}{quoted}"
        said = saying.understood(spoken)
        if said.word == "aside":
            return None
        return await self._talk.signed(asker, thread, said.rest if said.word in ("prompt", "now") else spoken)

    async def stopped(self, claim: Claim, workspace: Workspace) -> None:
        """Somebody pressed Slack's own stop button."""
        event = claim.payload["event"]
        thread = await self._do(self._services.chats.threads.at, KIND, claim.team, claim.channel, str(event.get("thread_ts")))
        if thread is None:
            await self._talk.settle(claim, "not for doce")
            return
        asker = Asker(workspace, claim.channel, str(event.get("user")), thread.root)
        try:
            person, _ = await self._people.acting(claim.team, asker.user, claim.channel)
            await self._talk.stop(claim, person, thread.project_id)
        except DoceError as error:
            await self._listener.refuse(claim, asker, error, "", True)
