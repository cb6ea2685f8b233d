"""What the app answers to a command or a click: on its response address, and in the acknowledgement itself."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from doce.testing.slack import blocks, dialogs, layout, limits
from doce.testing.slack.refusal import Refused
from doce.testing.slack.things import Channel, Message, User, View

if TYPE_CHECKING:
    from doce.testing.slack.twin import Slack

Raw = dict[str, Any]


@dataclass
class Address:
    """A response address: whose, where, and about which message."""

    team: str
    user: str
    channel: str
    at: float
    message: Message | None = None
    used: int = 0


class Responses:
    """Keeps the addresses it gave out."""

    def __init__(self, slack: Slack) -> None:
        self.slack = slack
        self._addresses: dict[str, Address] = {}

    def address(self, user: User, channel: Channel, message: Message | None = None) -> str:
        """A new one, good for 30 minutes and five uses."""
        path = f"/response/{user.team}/{secrets.token_hex(12)}"
        self._addresses[path] = Address(user.team, user.id, channel.id, self.slack.clock.now(), message)
        return self.slack.url + path

    def take(self, url: str, said: Any, *, free: bool = False) -> None:
        """What was posted there; `free`: in the acknowledgement, which does not count. Raises Refused with `expired_url`, `used_url` …"""
        address = self._addresses.get(url.removeprefix(self.slack.url))
        if address is None or not self.slack.world.workspaces[address.team].installed:
            raise Refused("invalid_url")
        if self.slack.clock.now() - address.at > limits.RESPONSE_URL_S:
            raise Refused("expired_url")
        if not free:
            if address.used >= limits.RESPONSE_URL_USES:
                raise Refused("used_url")
            address.used += 1
        said = {"text": said} if isinstance(said, str) else said
        if not isinstance(said, dict):
            raise Refused("invalid_payload")
        if said.get("delete_original"):
            self._delete(address)
        elif said.get("replace_original") and address.message:
            self._replace(address.message, said)
        elif said.get("text") or said.get("blocks") or said.get("attachments"):
            self._post(address, said)
        else:
            raise Refused("no_text")

    def _delete(self, address: Address) -> None:
        if address.message:
            self.slack.removed(address.message)

    def _replace(self, message: Message, said: Raw) -> None:
        laid_out = said.get("blocks") or []
        blocks.check_message(laid_out)
        message.text = str(said.get("text", ""))[: limits.TEXT]
        message.blocks, message.stream = layout.named(laid_out, self.slack.world.new_id), None
        message.attachments = said.get("attachments") or []
        self.slack.world.changed()

    def _post(self, address: Address, said: Raw) -> None:
        laid_out = said.get("blocks") or []
        blocks.check_message(laid_out)
        world, where = self.slack.world, self.slack.world.workspaces[address.team]
        about = address.message
        thread = str(said.get("thread_ts") or (about.thread_ts if about else ""))
        message = Message(
            world.new_ts(), address.channel, address.team, where.bot_user, str(said.get("text", ""))[: limits.TEXT], thread_ts=thread,
            blocks=layout.named(laid_out, world.new_id), attachments=said.get("attachments") or [], bot_id=where.bot_id,
            app_id=self.slack.app.id,
            only_for="" if said.get("response_type") == "in_channel" else address.user,
        )  # fmt: skip
        world.add(message)
        if not message.only_for:
            self.slack.events.message(message)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """What the app posts to a response address."""
        try:
            said = json.loads(await request.text())
        except ValueError:
            return web.Response(status=400, text="invalid_payload")
        try:
            self.take(request.path, said)
        except Refused as no:
            return web.json_response({"ok": False, "error": no.code}, status=404 if no.code.endswith("_url") else 400)
        return web.Response(text="ok")

    # Submitted dialogs

    def submitted(self, view: View, answer: Any) -> str:
        """Do with a dialog what the acknowledgement of its submission says; nothing: it closes. What a person sees of an answer
        that is wrong is returned."""
        world = self.slack.world
        action = answer.get("response_action") if isinstance(answer, dict) else None
        try:
            match action:
                case "errors":
                    known = {block.get("block_id") for block in view.blocks if block["type"] == "input"}
                    if not answer.get("errors") or not set(answer["errors"]) <= known:
                        return "invalid_errors"
                    view.errors = dict(answer["errors"])
                case "clear":
                    for each in dialogs.stack(world, view):
                        each.open = False
                case "update":
                    blocks.check_view(answer.get("view"), "modal")
                    dialogs.replace(world, view, answer["view"])
                case "push":
                    blocks.check_view(answer.get("view"), "modal")
                    dialogs.show(world, view.team, view.user, answer["view"], below=view)
                case _:
                    view.open = False
        except Refused as no:
            return no.code
        world.changed()
        return ""
