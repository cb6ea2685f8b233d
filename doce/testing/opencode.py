"""An OpenCode without OpenCode: recordings, the message list as it was at any moment of one, and a server that plays them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import uvicorn
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from doce.opencode.client import USER
from doce.opencode.recording import read_recording
from doce.opencode.resync import Snapshot

Raw = Mapping[str, Any]


@dataclass(frozen=True)
class Recording:
    """One recorded stream. `messages`: the message lists after it, by session. `snapshots`: for a stream that was
    recorded over several connections, what the server answered at each later one, by index of its first event."""

    name: str
    events: tuple[Raw, ...]
    messages: Mapping[str, tuple[Raw, ...]] = field(default_factory=dict)
    snapshots: Mapping[int, Snapshot] = field(default_factory=dict)

    @property
    def roots(self) -> list[str]:
        """The sessions that are nobody's sub-agent, in order of appearance."""
        return [session for session in self.messages if not self._parent(session)]

    def _parent(self, session_id: str) -> str | None:
        for event in self.events:
            if event["type"].startswith("session.") and event["properties"].get("info", {}).get("id") == session_id:
                parent: str | None = event["properties"]["info"].get("parentID")
                return parent
        return None


def load(stream: Path) -> Recording:
    """``events-NAME.sse`` with ``messages-NAME.json`` and ``snapshots-NAME.json`` beside it, when they are there.

    A message file is one session's list, or an object of session id → list.
    """
    name = stream.stem.removeprefix("events-")
    events = tuple(read_recording(stream))
    lists = stream.with_name(f"messages-{name.removesuffix('-global')}.json")
    messages: dict[str, tuple[Raw, ...]] = {}
    if lists.exists() and not name.endswith("-global"):
        loaded = json.loads(lists.read_text(encoding="utf-8"))
        by_session = loaded if isinstance(loaded, dict) else {item["info"]["sessionID"]: loaded for item in loaded[:1]}
        messages = {session: tuple(items) for session, items in by_session.items()}
    taken = stream.with_name(f"snapshots-{name}.json")
    snapshots = json.loads(taken.read_text(encoding="utf-8")) if taken.exists() else []
    return Recording(name, events, messages, {each.pop("at") - 1: Snapshot(**each) for each in snapshots})


class Server:
    """What the server would answer, as far as the events it has sent tell. Text of an open part is not in its list."""

    def __init__(self) -> None:
        self.sessions: dict[str, Raw] = {}
        self.infos: dict[str, Raw] = {}
        self.parts: dict[str, dict[str, Raw]] = {}
        self.statuses: dict[str, Raw] = {}
        self.permissions: dict[str, Raw] = {}
        self.questions: dict[str, Raw] = {}
        self.todos: dict[str, list[Raw]] = {}

    def sent(self, event: Raw) -> None:
        """The server has come to this event."""
        kind, said = event["type"], event.get("properties", {})
        if kind in ("session.created", "session.updated"):
            self.sessions[said["info"]["id"]] = said["info"]
        elif kind == "message.updated":
            self.infos[said["info"]["id"]] = said["info"]
            self.sessions.setdefault(said["info"]["sessionID"], {"id": said["info"]["sessionID"]})
        elif kind == "message.part.updated":
            self.parts.setdefault(said["part"]["messageID"], {})[said["part"]["id"]] = said["part"]
        elif kind == "session.status" and said["status"]["type"] != "idle":
            self.statuses[said["sessionID"]] = said["status"]
        elif kind in ("session.idle", "session.status"):
            self.statuses.pop(said["sessionID"], None)
        elif kind == "todo.updated":
            self.todos[said["sessionID"]] = said["todos"]
        elif kind in ("permission.asked", "question.asked"):
            (self.permissions if kind.startswith("permission") else self.questions)[said["id"]] = said
        elif kind in ("permission.replied", "question.replied", "question.rejected"):
            self.permissions.pop(said["requestID"], None)
            self.questions.pop(said["requestID"], None)

    def restore(self, snapshot: Snapshot) -> None:
        """Take what was answered at a moment, in place of what was concluded."""
        for session in snapshot.sessions:
            self.sessions[session["id"]] = session
        for items in snapshot.messages.values():
            for item in items:
                self.infos[item["info"]["id"]] = item["info"]
                self.parts[item["info"]["id"]] = {part["id"]: part for part in item["parts"]}
        self.statuses = dict(snapshot.statuses)
        self.permissions = {each["id"]: each for each in snapshot.permissions}
        self.questions = {each["id"]: each for each in snapshot.questions}

    def messages(self, session_id: str) -> list[Raw]:
        """The message list of a session, oldest first."""
        infos = sorted((info for info in self.infos.values() if info["sessionID"] == session_id), key=lambda info: str(info["id"]))
        return [{"info": info, "parts": [part for _, part in sorted(self.parts.get(info["id"], {}).items())]} for info in infos]

    def snapshot(self) -> Snapshot:
        """Everything, at this moment."""
        return copy.deepcopy(
            Snapshot(
                sessions=list(self.sessions.values()),
                messages={session: self.messages(session) for session in self.sessions},
                statuses=dict(self.statuses),
                permissions=list(self.permissions.values()),
                questions=list(self.questions.values()),
                todos=dict(self.todos),
            )
        )


def server_at(recording: Recording, index: int) -> Server:
    """The server when it had sent the first `index` events of the recording."""
    server = Server()
    for position, event in enumerate(recording.events[:index]):
        if position in recording.snapshots:
            server.restore(recording.snapshots[position])
        server.sent(event)
    return server


@dataclass
class Faults:
    """What goes wrong. `cut_after`: close the stream when so many events were sent on a connection. `silent_after`: send
    nothing more, and keep it open. `lines`: sent raw before the first event. `answer`: given instead of every other answer."""

    cut_after: list[int] = field(default_factory=list)
    silent_after: int | None = None
    lines: list[str] = field(default_factory=list)
    answer: tuple[int, str] | None = None
    #: Events that are sent to nobody while the stream is down after a cut.
    lost: int = 0


class ReplayServer:
    """A recording as an HTTP server on a free port of 127.0.0.1: ``/event`` plays it, the lists beside it are those of
    the same moment. Use it as a context manager; it runs in a thread of its own.

    The recording goes on where the last connection left it. `play` holds events back until `release` lets them go.
    """

    def __init__(self, recording: Recording, *, faults: Faults | None = None, password: str = "secret") -> None:
        self.recording = recording
        self.faults = faults or Faults()
        self.password = SecretStr(password)
        self.position = 0
        self.connections = 0
        self.prompts: list[Raw] = []
        self.calls: list[str] = []
        self._server = Server()
        self._allowed = len(recording.events)
        self._changed: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # With the protocol named, asyncio turns Nagle's algorithm off; else each answer takes 40 ms.
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(self._app(), log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="replay-server", daemon=True)

    @property
    def url(self) -> str:
        """Base address."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._listener.listen(64)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._uvicorn.should_exit = True
        self._wake()
        self._thread.join(10)
        self._listener.close()

    def hold(self, after: int) -> None:
        """Send no event from index `after` on, until `release`."""
        self._allowed = after

    def release(self) -> None:
        """Send everything."""
        self._allowed = len(self.recording.events)
        self._wake()

    def _wake(self) -> None:
        if self._loop is not None and self._changed is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._changed.set)

    def _run(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Event()
        self._loop.run_until_complete(self._uvicorn.serve(sockets=[self._listener]))
        self._loop.close()

    # Answers

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/event", self._stream),
                Route("/{path:path}", self._call, methods=["GET", "POST", "DELETE"]),
            ]
        )

    def _refused(self, request: Request) -> Response | None:
        given = request.headers.get("authorization", "")
        wanted = base64.b64encode(f"{USER}:{self.password.get_secret_value()}".encode()).decode()
        if given != f"Basic {wanted}":
            return Response(status_code=401, headers={"WWW-Authenticate": 'Basic realm="Secure Area"'})
        if self.faults.answer:
            return Response(self.faults.answer[1], status_code=self.faults.answer[0])
        return None

    async def _call(self, request: Request) -> Response:
        self.calls.append(f"{request.method} {request.url.path}")
        if refused := self._refused(request):
            return refused
        parts = request.url.path.strip("/").split("/")
        if request.method != "GET":
            return await self._change(request, parts)
        found = self._look(parts)
        if found is None:
            message = f"Session not found: {parts[-1]}"
            return JSONResponse({"name": "NotFoundError", "data": {"message": message}}, status_code=404)
        return JSONResponse(found)

    async def _change(self, request: Request, parts: list[str]) -> Response:
        if parts[-1] == "prompt_async":
            self.prompts.append(await request.json())
            return Response(status_code=204)
        if parts == ["session"]:
            return JSONResponse({"id": self.recording.roots[0], **await request.json()})
        return JSONResponse(True)

    def _look(self, parts: list[str]) -> Any:
        server = self._server
        match parts:
            case ["global", "health"]:
                return {"healthy": True, "version": "1.18.33"}
            case ["permission"]:
                return list(server.permissions.values())
            case ["question"]:
                return list(server.questions.values())
            case ["session"]:
                return list(server.sessions.values())
            case ["session", "status"]:
                return server.statuses
            case ["session", session_id, *rest] if session_id in server.sessions:
                return self._look_session(session_id, rest)
        return None

    def _look_session(self, session_id: str, rest: list[str]) -> Any:
        server = self._server
        match rest:
            case []:
                return server.sessions[session_id]
            case ["message"]:
                return server.messages(session_id)
            case ["children"]:
                return [session for session in server.sessions.values() if session.get("parentID") == session_id]
            case ["todo"]:
                return server.todos.get(session_id, [])
        return None

    # The stream

    async def _stream(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        self.connections += 1
        cut = self.faults.cut_after.pop(0) if self.faults.cut_after else None
        # As they are now: a test may change them once this connection stands.
        return StreamingResponse(self._play(cut, list(self.faults.lines)), media_type="text/event-stream")

    async def _play(self, cut: int | None, lines: list[str]) -> AsyncIterator[str]:
        yield _frame({"id": "evt_0", "type": "server.connected", "properties": {}})
        for line in lines:
            yield f"{line}\n\n"
        for sent in self._events():
            if sent is None:
                await self._pause()
                continue
            number, event = sent
            if self.faults.silent_after is not None and number >= self.faults.silent_after:
                self.faults.silent_after = None
                await self._pause(for_ever=True)
            yield _frame(event)
            if cut is not None and number + 1 >= cut:
                for _ in range(min(self.faults.lost, len(self.recording.events) - self.position)):
                    self._advance()
                return
        await self._pause(for_ever=True)

    def _events(self) -> Iterator[tuple[int, Raw] | None]:
        """What this connection gets; None where it has to wait."""
        number = 0
        while self.position < len(self.recording.events):
            if self.position >= self._allowed:
                yield None
                continue
            event = self._advance()
            if event["type"] != "server.connected":
                yield number, event
                number += 1

    def _advance(self) -> Raw:
        if self.position in self.recording.snapshots:
            self._server.restore(self.recording.snapshots[self.position])
        event = self.recording.events[self.position]
        self._server.sent(event)
        self.position += 1
        return event

    async def _pause(self, *, for_ever: bool = False) -> None:
        assert self._changed is not None
        while not self._uvicorn.should_exit:
            await self._changed.wait()
            self._changed.clear()
            if not for_ever:
                return


def _frame(event: Raw) -> str:
    return f"data: {json.dumps(event)}\n\n"
