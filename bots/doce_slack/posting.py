"""Messages in a thread, posted once: written down first, posted, noted; what a crash or a lost answer leaves is looked up."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from doce.chats.messages import CARD, Message, Messages, Mode
from doce.chats.threads import Thread
from doce.testing import faults
from doce_slack.blocks import Block
from doce_slack.calls import Lost, Refused
from doce_slack.text import fitting
from doce_slack.workspaces import Do, Workspace

logger = logging.getLogger(__name__)

EVENT = "doce_message"
#: Slack does not take what is laid out in a message: it is said in plain text instead.
UNFIT = frozenset({
    "invalid_blocks", "invalid_blocks_format", "msg_too_long", "msg_blocks_too_long", "invalid_arguments", "invalid_attachments",
    "no_text", "invalid_metadata_format", "metadata_too_large", "cannot_parse_attachment", "invalid_chunks", "block_mismatch",
})  # fmt: skip
#: A message that can be changed no more: somebody deleted it, or the workspace lets nobody edit.
FIXED = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "message_not_owned_by_app", "cant_edit_message"})
#: Clocks differ: a message is looked for from so long before it was intended, seconds.
SKEW_S = 60
PAGE = 200


@dataclass(eq=False)
class Place:
    """A thread as messages are put into it."""

    thread: Thread
    workspace: Workspace
    messages: Messages
    do: Do
    #: Where its messages hang; None until its first is posted.
    root: str | None = field(init=False)
    known: dict[str, list[Message]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root = self.thread.root

    @property
    def channel(self) -> str:
        return self.thread.channel

    async def open(self) -> None:
        """Know what was posted before."""
        self.known = await self.do(self.messages.of, self.thread.id)

    def last(self, about: str) -> Message | None:
        """The last part of what was posted about something."""
        parts = self.known.get(about)
        return parts[-1] if parts else None

    async def intend(self, about: str, part: int = 0, mode: Mode = "post", covered: int = 0) -> Message:
        """Written down; with `ts` when it turns out to be posted already."""
        there = next((one for one in self.known.get(about, []) if one.part == part), None)
        if there is None:
            return self._keep(await self.do(self.messages.intend, self.thread.id, about, part=part, mode=mode, covered=covered))
        if there.ts is None and (ts := await self.find(there)):
            return await self.placed(there, ts)
        return there

    async def placed(self, message: Message, ts: str, *, closed: bool = False) -> Message:
        found = self._keep(await self.do(self.messages.placed, message, ts, closed=closed))
        if message.about == CARD and self.root is None:
            self.root = ts
        return found

    async def closed(self, message: Message) -> Message:
        return self._keep(await self.do(self.messages.closed, message))

    async def rewritten(self, message: Message, mode: Mode) -> Message:
        return self._keep(await self.do(self.messages.rewritten, message, mode))

    def _keep(self, message: Message) -> Message:
        parts = self.known.setdefault(message.about, [])
        parts[:] = sorted([*(one for one in parts if one.part != message.part), message], key=lambda one: one.part)
        return message

    async def post(self, about: str, text: str, body: list[Block], *, closed: bool = False, urgent: bool = True) -> Message:
        """Post, unless it was. Raises Refused; Lost when nobody knows (and the next try looks)."""
        message = await self.intend(about)
        if message.ts is not None:
            return message
        return await self.put(message, text, body, closed=closed, urgent=urgent)

    async def put(
        self, message: Message, text: str, body: list[Block], *, closed: bool = False, urgent: bool = True, paced: bool = False
    ) -> Message:
        """Post what was written down and is nowhere yet; `paced`: its turn has been waited for. Raises Refused, Lost."""
        faults.point("slack.intended")
        first = message.about == CARD and self.root is None
        answer = await self._say(
            "chat.postMessage", message, text, body, thread_ts=None if first else self.root, unfurl_links=False, unfurl_media=False,
            urgent=urgent, paced=paced,
        )  # fmt: skip
        faults.point("slack.called")
        found = await self.placed(message, answer["ts"], closed=closed)
        faults.point("slack.placed")
        return found

    async def update(self, message: Message, text: str, body: list[Block], *, urgent: bool = False, paced: bool = False) -> bool:
        """Show something else in it. False when it can be changed no more. Raises Refused, Lost."""
        try:
            await self._say("chat.update", message, text, body, ts=message.ts, urgent=urgent, paced=paced)
        except Refused as error:
            if error.code not in FIXED:
                raise
            logger.warning("a message can be changed no more: %s", error, extra={"thread_id": self.thread.id, "about": message.about})
            return False
        return True

    async def _say(self, method: str, message: Message, text: str, body: list[Block], **arguments: Any) -> dict[str, Any]:
        """With what is laid out, or without, when Slack does not take that."""
        metadata = {"event_type": EVENT, "event_payload": {"id": message.id}}
        said = {"channel": self.channel, "text": fitting(text) or "…", "metadata": metadata, **arguments}
        try:
            return await self.workspace.call(method, blocks=body or None, **said)
        except Refused as error:
            if error.code not in UNFIT or not body:
                raise
            logger.error(
                "Slack does not take what was laid out, plain text is sent: %s",
                error,
                extra={"about": message.about, "answer": error.answer},
            )
            said.pop("paced", None)
            return await self.workspace.call(method, blocks=[] if method == "chat.update" else None, **said)

    async def find(self, message: Message) -> str | None:
        """Where a message was posted whose answer was lost. Raises Lost."""
        try:
            candidates = [one async for one in self._since(message)]
        except Refused as error:
            logger.warning("what was posted cannot be looked up: %s", error, extra={"thread_id": self.thread.id})
            return None
        for one in candidates:
            if _id(one) == message.id:
                return str(one["ts"])
        if message.mode != "stream":
            return None
        taken = {one.ts for parts in self.known.values() for one in parts}
        # A stream carries no mark of ours: it is the one of doce's messages here that nobody knows.
        free = [one for one in candidates if not _id(one) and not one.get("files") and one["ts"] not in taken and self._is_mine(one)]
        return str(free[0]["ts"]) if free else None

    def _is_mine(self, found: dict[str, Any]) -> bool:
        return found.get("user") == self.workspace.bot_user or (bool(found.get("bot_id")) and found.get("bot_id") == self.workspace.bot_id)

    async def _since(self, message: Message) -> Any:
        oldest = f"{max(0.0, message.created_at / 1000 - SKEW_S):.6f}"
        where: dict[str, Any] = {"ts": self.root} if self.root else {}
        method = "conversations.replies" if self.root else "conversations.history"
        cursor: str | None = None
        while True:
            answer = await self.workspace.call(
                method, channel=self.channel, oldest=oldest, include_all_metadata=True, limit=PAGE, cursor=cursor, urgent=True, **where
            )
            for one in answer.get("messages", []):
                yield one
            cursor = (answer.get("response_metadata") or {}).get("next_cursor") or None
            if cursor is None:
                return


def _id(found: dict[str, Any]) -> str | None:
    metadata = found.get("metadata") or {}
    return (metadata.get("event_payload") or {}).get("id") if metadata.get("event_type") == EVENT else None


__all__ = ["Lost", "Place", "Refused"]
