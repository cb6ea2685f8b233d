"""Answers to the one who asked: seen by nobody else, in the place where they asked."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from typing import Any

import aiohttp

from doce.errors import DoceError
from doce_slack import blocks
from doce_slack.blocks import Block
from doce_slack.calls import Lost, Refused
from doce_slack.forms import About
from doce_slack.text import cut, escaped, fitting, harmless
from doce_slack.workspaces import Workspace

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asker:
    """Who asked, and where they look. `response_url` is Slack's own way to answer a command or a click (30 minutes, five times)."""

    workspace: Workspace
    channel: str
    user: str
    root: str | None = None
    response_url: str | None = None

    @classmethod
    def of(cls, body: dict[str, Any], workspace: Workspace) -> Asker:
        """Who clicked, submitted, or chose a shortcut. A dialog is where it was opened; in App Home there is no channel."""
        container, message, about = body.get("container") or {}, body.get("message") or {}, About.of(body.get("view") or {})
        channel = str((body.get("channel") or {}).get("id") or container.get("channel_id") or about.channel)
        root = container.get("thread_ts") or message.get("thread_ts") or about.root or (body.get("message_ts") if message else None)
        return cls(workspace, channel, str(body["user"]["id"]), root, response_url=body.get("response_url"))

    def soon(self, within_s: float) -> bool:
        """Whether Slack's limits let them be told within so many seconds."""
        return self.workspace.calls.pace.soon(self.workspace.team, "chat.postEphemeral") <= within_s

    async def tell(self, text: str, body: list[Block] | None = None, *, replace: bool = False) -> None:
        """Only to them. What cannot be told is logged: the work itself is done, and told in the thread."""
        message: dict[str, Any] = {"text": fitting(text), **({"blocks": body} if body else {})}
        try:
            if self.response_url and await self._respond({**message, "response_type": "ephemeral", "replace_original": replace}):
                return
            if not self.channel:
                await self._directly(message)
                return
            await self.workspace.call(
                "chat.postEphemeral", channel=self.channel, user=self.user, thread_ts=self.root, urgent=True, **message
            )
        except Refused as error:
            if error.code in ("not_in_channel", "channel_not_found", "user_not_in_channel"):
                await self._directly(message)
            else:
                logger.warning("an answer could not be shown: %s", error, extra={"channel": self.channel})
        except Lost as error:
            logger.warning("an answer could not be shown: %s", error.message, extra={"channel": self.channel})

    async def markdown(self, text: str) -> None:
        """Text of an action, which is Markdown."""
        await self.tell(text, [blocks.markdown(harmless(text))])

    async def _respond(self, message: dict[str, Any]) -> bool:
        assert self.response_url
        try:
            async with self.workspace.session.post(self.response_url, json=message) as answer:
                return answer.status < 300
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _directly(self, message: dict[str, Any]) -> None:
        """In a conversation with doce: it is not where they asked."""
        opened = await self.workspace.attempt("conversations.open", users=self.user)
        if opened:
            await self.workspace.attempt("chat.postMessage", channel=opened["channel"]["id"], **message)

    async def error(self, error: DoceError, body: list[Block] | None = None) -> None:
        """What happened, and what to do next."""
        text = f":warning: {escaped(error.message)}" + (f"\n{escaped(error.hint)}" if error.hint else "")
        await self.tell(text, [blocks.section(text), *(body or [])])

    async def broken(self, what: str) -> None:
        """A mistake of ours. The reference is in the log, too; call it while the exception is handled."""
        reference = secrets.token_hex(3)
        logger.exception("%s (ref %s)", what, reference, extra={"reference": reference, "channel": self.channel})
        await self.tell(f"Something broke on my side (ref `{reference}`). Your files are safe.")


def quoted(text: str, most: int = 300) -> str:
    """What somebody wrote, so that they have it again; mrkdwn."""
    return "\n".join(f"> {line}" for line in escaped(cut(text, most)).splitlines())
