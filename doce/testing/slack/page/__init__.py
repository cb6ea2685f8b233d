"""The page on which a person looks at the twin: what one user sees, and everything that they can do."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from doce.testing.slack import dialogs
from doce.testing.slack.refusal import Impossible
from doce.testing.slack.things import Channel, Message, User, View

if TYPE_CHECKING:
    from doce.testing.slack.twin import Slack

Raw = dict[str, Any]
FILES = {"page.js": "text/javascript", "text.js": "text/javascript", "blocks.js": "text/javascript", "page.css": "text/css"}
POLICY = "default-src 'self'; img-src * data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
#: Seconds between two looks at a world that changes all the time.
PACE = 0.1


class Page:
    """``/`` and what it loads."""

    def __init__(self, slack: Slack) -> None:
        self.slack = slack
        self.folder = Path(__file__).parent

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.index), web.get("/page/state", self.state), web.get("/page/feed", self.feed), web.post("/page/act", self.act),
            web.get("/page/{name}", self.asset), web.get("/archives/{channel}/{message}", self.archive),
        ]  # fmt: skip

    async def index(self, _request: web.Request) -> web.StreamResponse:
        return web.FileResponse(self.folder / "index.html", headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-store"})

    async def asset(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in FILES:
            return web.Response(status=404)
        text = (self.folder / name).read_text("utf-8")
        return web.Response(text=text, content_type=FILES[name], headers={"Cache-Control": "no-store"})

    async def archive(self, request: web.Request) -> web.StreamResponse:
        """A permalink leads to the message on the page."""
        digits = request.match_info["message"].removeprefix("p")
        thread = request.query.get("thread_ts") or f"{digits[:-6]}.{digits[-6:]}"
        return web.Response(status=302, headers={"Location": f"/?channel={request.match_info['channel']}&thread={thread}"})

    async def feed(self, request: web.Request) -> web.StreamResponse:
        """A line whenever something changed."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        seen = -1
        with contextlib.suppress(ConnectionError):
            while True:
                if seen == self.slack.world.version:
                    await self.slack.world.change()
                seen = self.slack.world.version
                await response.write(f"data: {seen}\n\n".encode())
                await asyncio.sleep(PACE)
        return response

    # What is seen

    async def state(self, request: web.Request) -> web.StreamResponse:
        world = self.slack.world
        world.expire()
        user = world.users.get(request.query.get("user", "")) or next(each for each in world.users.values() if not each.is_bot)
        if world.workspaces[user.team].installed:
            world.direct(user)
        rooms = [each for each in world.channels.values() if user.id in each.members]
        room = next((each for each in rooms if each.id == request.query.get("channel")), None) or rooms[0]
        thread, modal = request.query.get("thread", ""), dialogs.top(world, user.id)
        home = world.homes.get((user.team, user.id))
        return web.json_response(
            {
                "app": self.slack.app.name, "user": user.id, "channel": room.id,
                "users": [self._user(each) for each in world.users.values()],
                "names": {each.id: each.name for each in world.users.values()} | {each.id: each.name for each in world.channels.values()},
                "channels": [{"id": each.id, "name": each.name, "kind": each.kind, "members": len(each.members)} for each in rooms],
                "messages": self._seen(user, room, ""), "replies": self._seen(user, room, thread) if thread else [],
                "modal": self._view(modal) if modal else None, "home": self._view(home) if home else None,
                "sessions": [
                    {"thread_ts": each.thread_ts, "status": each.status, "loading": each.loading, "title": each.title}
                    for each in world.sessions.values() if each.channel == room.id
                ],
                "shortcuts": self._shortcuts("global"), "message_shortcuts": self._shortcuts("message"),
                "transport": "Socket Mode" if self.slack.app.socket else self.slack.app.events_url,
                "connections": len(self.slack.sockets.connections) if self.slack.app.socket else 1,
            }
        )  # fmt: skip

    def _user(self, user: User) -> Raw:
        return {"id": user.id, "name": user.name, "bot": user.is_bot, "workspace": self.slack.world.workspaces[user.team].name}

    def _shortcuts(self, kind: str) -> list[Raw]:
        return [{"callback": callback, "name": name} for (each, callback), name in (self.slack.app.shortcuts or {}).items() if each == kind]

    def _seen(self, user: User, room: Channel, thread: str) -> list[Raw]:
        """The channel, or one thread of it, with what only this person sees there."""
        world = self.slack.world
        if thread:
            root = world.posted[room.id].get(thread)
            shown = [*([root] if root else []), *world.replies(room.id, thread)]
        else:
            shown = [each for each in world.messages(room) if each.thread_ts in ("", each.ts) or each.broadcast]
        own = [each for each in world.ephemerals if each.only_for == user.id and each.channel == room.id and each.thread_ts == thread]
        return [self._message(each) for each in sorted([*shown, *own], key=lambda each: each.ts)]

    def _message(self, message: Message) -> Raw:
        world, key = self.slack.world, self.slack.page_key
        who, streaming = world.users.get(message.user), message.stream
        files = [world.files[each] for each in message.files]
        return {
            "ts": message.ts, "thread_ts": message.thread_ts, "user": message.user, "bot": bool(message.bot_id),
            "author": message.username or (who.name if who else "app"), "text": message.full_text(), "plain": message.text,
            "laid_out": bool(message.blocks or streaming), "blocks": message.shown_blocks(),
            "attachments": [*message.attachments, *message.unfurls.values()], "reactions": message.reactions,
            "edited": bool(message.edited), "stream": streaming.state if streaming else "", "ephemeral": bool(message.only_for),
            "replies": len(world.replies(message.channel, message.ts)),
            "files": [
                {
                    "title": each.title or each.name, "mimetype": each.mimetype, "alt": each.alt_text,
                    "url": f"/files-pri/{each.team}-{each.id}/{each.name}?seen={key}",
                }
                for each in files
            ],
        }  # fmt: skip

    def _view(self, view: View) -> Raw:
        raw = view.raw
        return {
            "id": view.id, "hash": view.hash, "title": view.title, "blocks": view.blocks, "errors": view.errors, "inputs": view.inputs,
            "submit": (raw.get("submit") or {}).get("text", ""), "close": (raw.get("close") or {}).get("text", ""),
        }  # fmt: skip

    # What is done

    async def act(self, request: web.Request) -> web.StreamResponse:
        """One thing that a person does; what the client would tell them when it does not work."""
        if request.content_type != "application/json":
            return web.json_response({"error": "JSON, please"}, status=415)
        said = await request.json()
        try:
            return web.json_response({"error": await self._do(said) or ""})
        except Impossible as no:
            return web.json_response({"error": str(no)})

    async def _do(self, said: Raw) -> str | None:
        slack, user, what = self.slack, said["user"], said["act"]
        world = slack.world
        message = self._named(said) if said.get("ts") else None
        view = world.views.get(said.get("view", "")) or next((each for each in world.homes.values() if each.id == said.get("view")), None)
        target = view or message
        match what:
            case "say":
                files = [(str(each["name"]), base64.b64decode(each["data"])) for each in said.get("files", ())]
                await slack.say(user, said["channel"], said["text"], thread=said.get("thread", ""), files=files)
            case "slash":
                delivery = await slack.slash(user, said["channel"], said["command"], said["text"], thread=said.get("thread", ""))
                return f"{said['command']} failed with the error “{delivery.error}”" if delivery.error else None
            case "shortcut":
                return (await slack.shortcut(user, said["callback"], message)).error
            case "click" if target:
                return (await slack.click(user, target, said["action"], said.get("value"), block_id=said.get("block", ""))).error
            case "submit" if view:
                return (await slack.submit(user, view, said["values"])).error
            case "close" if view:
                await slack.close(user, view)
            case "home":
                await slack.open_home(user)
            case "stop":
                await slack.stop_stream(user, said["channel"], said["thread"])
            case "react" | "unreact" if message:
                await (slack.react if what == "react" else slack.unreact)(user, message, said["name"])
            case "edit" if message:
                await slack.edit(user, message, said["text"])
            case "delete" if message:
                await slack.delete(user, message)
            case _:
                return f"nobody can {what}"
        return None

    def _named(self, said: Raw) -> Message:
        return self.slack.world.message(said["channel"], said["ts"])
